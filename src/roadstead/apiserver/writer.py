"""Every change of an object, step by step: prepare, complete, validate, note who owns what, store.

An object's lock is held from reading it until its write is durable, so a patch never loses a race and a replace loses
only when the client's resourceVersion says so. A write that changes nothing is not a write: same resourceVersion, no
event. Errors of the disk become an InternalError for the client.
"""

import contextlib
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime

from roadstead.api.errors import BadRequest, Forbidden, InternalError, not_found
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver import crd, lifecycle
from roadstead.apiserver.admission import storage
from roadstead.apiserver.admission.allocation import ServiceAllocator
from roadstead.apiserver.admission.defaults import apply_defaults, write_zeros
from roadstead.apiserver.admission.kinds import admit_change, admit_new
from roadstead.apiserver.admission.limits import Limits
from roadstead.apiserver.admission.policies.enforcement import Policies
from roadstead.apiserver.admission.scheduling import fill_in_priority
from roadstead.apiserver.admission.service_account_volume import mount_token
from roadstead.apiserver.admission.warnings import deletion_warnings, object_warnings
from roadstead.apiserver.calls import Answer, Call, already_exists, missing, success
from roadstead.apiserver.http.parameters import DeleteOptions, WriteOptions
from roadstead.apiserver.parts import keep_equal_parts
from roadstead.apiserver.patches import apply
from roadstead.apiserver.registry import DEFINITIONS, Registry
from roadstead.apiserver.store import Location, Record, StorageFailed, Store
from roadstead.apiserver.validation import refusal, validate
from roadstead.apiserver.versions import convert

_NAME_ATTEMPTS = 8
_PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io"
_CLAIMS = "persistentvolumeclaims"
_STORAGE_CLASSES = "storageclasses.storage.k8s.io"
Change = Callable[[Object], Object]
"""What a client wants of an object: gets its own copy of the stored one, returns the new one, raises ApiError."""
Guard = Callable[[Call, Object, Object | None], None]
"""Gets who calls, a validated object, and the stored one of an update; raises ApiError if they may not write that."""


class Writer:
    """Creates, changes and deletes objects in a store."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        allocator: ServiceAllocator,
        limits: Limits,
        clock: Callable[[], datetime],
        guard: Guard,
        policies: Policies,
        *,
        mount_tokens: bool,
    ) -> None:
        self._store = store
        self._registry = registry
        self._allocator = allocator
        self._limits = limits
        self._clock = clock
        self._guard = guard
        self._policies = policies
        self._mount_tokens = mount_tokens

    async def create(self, call: Call, obj: Object, options: WriteOptions) -> Answer:
        """Store a new object, whose identity was checked. Raises ApiError."""
        generated = not obj["metadata"].get("name")
        prefix = obj["metadata"].get("generateName", "")
        warnings = self._prepare_new(call, obj, options, tracked=True)
        for _ in range(_NAME_ATTEMPTS):
            location = call.location_of(obj["metadata"]["name"])
            async with self._store.lock(location):
                there = self._store.get(location)
                if there is None:
                    return (await self._insert(call, location, obj, options)).with_warnings(warnings)
            if not generated:
                break
            obj["metadata"]["name"] = lifecycle.generated_name(prefix)
        going = there is not None and "deletionTimestamp" in there.decode()["metadata"]
        raise already_exists(call.resource, location.name, going=going)

    async def change(self, call: Call, options: WriteOptions, make: Change) -> Answer:
        """Change a stored object. Raises ApiError, NotFound if there is none."""
        async with self._store.lock(call.location):
            record = self.need(call)
            live = self._decoded(call, record)
            return await self._replace(call, options, record, live, make(self._decoded(call, record)), tracked=True)

    async def apply(self, call: Call, options: WriteOptions, applied: Object) -> Answer:
        """Apply an object server-side: create it, or merge it by field ownership. Raises ApiError, Conflict."""
        async with self._store.lock(call.location):
            record = self._store.get(call.location)
            if record is None and call.subresource:
                raise missing(call.resource, call.name)
            live = self._decoded(call, record) if record is not None else None
            merged = apply.server_side_apply(
                call.resource,
                live,
                applied,
                manager=options.field_manager,
                force=options.force,
                subresource=call.subresource,
                now=self._now(),
            )
            if record is not None and live is not None:
                return await self._replace(call, options, record, self._decoded(call, record), merged, tracked=False)
            warnings = self._prepare_new(call, merged, options, tracked=False)
            return (await self._insert(call, call.location, merged, options)).with_warnings(warnings)

    async def delete(self, call: Call, options: DeleteOptions) -> Answer:
        """Delete an object, or note that it is to go. Raises ApiError, NotFound if there is none."""
        async with self._store.lock(call.location):
            record = self.need(call)
            live = self._decoded(call, record)
            deletion = lifecycle.plan_delete(call.resource, live, options, self._clock())
            warnings = (
                *self._policies.check(call, options, None, live),
                *deletion_warnings(call.resource, options.propagation),
            )
            told = deletion.obj
            if deletion.action == "remove":
                told = lifecycle.told_of_removal(call.resource, live, told) or success(call.resource, live)
            if options.dry_run:
                return Answer(200, obj=told, warnings=warnings)
            if deletion.action == "remove":
                await self._stored(self._store.delete(call.location, self._for_store(call, deletion.obj)))
                return Answer(200, obj=told, warnings=warnings)
            if deletion.action == "mark":
                record = await self._stored(self._store.put(call.location, self._for_store(call, deletion.obj)))
            return Answer(200, record, warnings=warnings)

    def need(self, call: Call) -> Record:
        """Return the record of the object that a call names. Raises NotFound."""
        record = self._store.get(call.location)
        if record is None:
            raise missing(call.resource, call.name)
        return record

    def _prepare_new(self, call: Call, obj: Object, options: WriteOptions, *, tracked: bool) -> tuple[str, ...]:
        """Complete and check a new object. Returns what to warn of; raises ApiError."""
        resource, now = call.resource, self._now()
        lifecycle.prepare_create(resource, obj, now=now, uid=str(uuid.uuid4()))
        self._check_namespace(call, obj["metadata"]["name"])
        with complete(resource, obj, None):
            apply_defaults(resource, obj)
            if tracked:
                # Before admission: what the server adds is nobody's field. What cannot be tracked is not valid either.
                with contextlib.suppress(BadRequest):
                    apply.track_update(
                        resource, None, obj, manager=options.field_manager, subresource=call.subresource, now=now
                    )
            self._limits.fill_in(call.collection, call.namespace, obj)
            admit_new(resource, obj, now)
            self._accept_names(call, obj, now)
            if call.collection == "pods":
                self._admit_pod(call, obj)
            if call.collection == _CLAIMS:
                storage.give_class(obj, self._storage_classes())
        write_zeros(resource, obj)
        self._guard(call, obj, None)
        return (*self._policies.check(call, options, obj, None), *object_warnings(resource, obj, None))

    def _accept_names(self, call: Call, obj: Object, now: str) -> None:
        """Say in a definition's status which of its names it has."""
        if call.collection == DEFINITIONS:
            crd.accept(obj, now, self._registry.names_in_use(obj))

    def _admit_pod(self, call: Call, pod: Object) -> None:
        """Give a new pod what other objects say that it gets."""
        fill_in_priority(pod, (record.decode() for record in self._store.records(_PRIORITY_CLASSES)))
        if self._mount_tokens:
            self._mount_token(call, pod)

    def _storage_classes(self) -> Iterator[Object]:
        return (record.decode() for record in self._store.records(_STORAGE_CLASSES))

    def _mount_token(self, call: Call, pod: Object) -> None:
        account = self._store.get(Location("serviceaccounts", call.namespace, pod["spec"]["serviceAccountName"]))
        mount_token(pod, account.decode() if account is not None else None)

    async def _insert(self, call: Call, location: Location, obj: Object, options: WriteOptions) -> Answer:
        service = call.collection == "services"
        if service:
            self._allocator.allocate(location, obj, None)
        try:
            with self._limits.room_for(call.resource, location, obj):
                if options.dry_run:
                    return Answer(201, obj=obj)
                return Answer(201, await self._stored(self._store.put(location, self._for_store(call, obj))))
        finally:
            # What was stored has been claimed by its event; a dry run or a failed write gives back what it reserved.
            if service and self._store.get(location) is None:
                self._allocator.release(location, obj)

    async def _replace(
        self, call: Call, options: WriteOptions, record: Record, live: Object, new: Object, *, tracked: bool
    ) -> Answer:
        resource, now = call.resource, self._now()
        changed = lifecycle.prepare_update(resource, live, new, call.subresource)
        keep_equal_parts(changed, live)
        with complete(resource, changed, live):
            if call.subresource == "":
                admit_change(resource, live, changed, now)
            apply_defaults(resource, changed, live)
            if call.subresource == "":
                self._accept_names(call, changed, now)
        write_zeros(resource, changed, live)
        if call.collection == _CLAIMS and call.subresource == "":
            storage.check_growth(live, changed, self._storage_classes())
        self._guard(call, changed, live)
        warnings = self._policies.check(call, options, changed, live)
        allocated = self._allocate(call, changed, live)
        if call.subresource == "":
            warnings = (*warnings, *object_warnings(resource, changed, live))
        lifecycle.count_generation(resource, live, changed)
        if lifecycle.is_unchanged(live, changed):
            return Answer(200, record, warnings=warnings)
        if tracked:
            apply.track_update(
                resource, live, changed, manager=options.field_manager, subresource=call.subresource, now=now
            )
        room = (
            self._limits.room_for(resource, call.location, changed, live)
            if not call.subresource
            else contextlib.nullcontext()
        )
        try:
            with room:
                return (await self._keep(call, options, changed)).with_warnings(warnings)
        finally:
            if allocated:
                self._settle(call.location, changed)

    async def _keep(self, call: Call, options: WriteOptions, changed: Object) -> Answer:
        if options.dry_run:
            return Answer(200, obj=changed)
        stored = self._for_store(call, changed)
        if lifecycle.is_gone(call.resource, changed):
            return Answer(200, await self._stored(self._store.delete(call.location, stored)))
        return Answer(200, await self._stored(self._store.put(call.location, stored)))

    def _allocate(self, call: Call, changed: Object, live: Object) -> bool:
        if call.collection != "services" or call.subresource:
            return False
        self._allocator.allocate(call.location, changed, live)
        return True

    def _settle(self, location: Location, attempted: Object) -> None:
        """Hold what the stored Service holds and no more, whether or not the attempt was stored."""
        self._allocator.release(location, attempted)
        record = self._store.get(location)
        if record is not None:
            self._allocator.claim(location, record.decode())

    def _check_namespace(self, call: Call, name: str) -> None:
        if not call.resource.namespaced:
            return
        record = self._store.get(Location("namespaces", "", call.namespace))
        if record is None:
            raise not_found("namespaces", "", call.namespace)
        if record.decode()["metadata"].get("deletionTimestamp"):
            problem = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {call.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            details = {"name": name, "group": call.resource.group, "kind": call.resource.plural, "causes": [cause]}
            raise Forbidden(f'{call.resource.plural} "{name}" is forbidden: {problem}', details)

    def _decoded(self, call: Call, record: Record) -> Object:
        return convert(record.decode(), call.resource)

    def _for_store(self, call: Call, obj: Object) -> Object:
        stored = convert(obj, self._registry.storage_resource(call.resource))
        return {**stored, "metadata": dict(stored["metadata"])}

    async def _stored(self, write: Awaitable[Record]) -> Record:
        try:
            return await write
        except StorageFailed as error:
            raise InternalError(str(error)) from error

    def _now(self) -> str:
        return lifecycle.rfc3339(self._clock())


@contextlib.contextmanager
def complete(resource: Resource, new: Object, old: Object | None) -> Iterator[None]:
    """Validate an object that the body of this context completes.

    The body sees what a client sent, of any shape. Where it stumbles, validation usually says better what is wrong;
    if not even that can read it, the object is refused for what it stumbled over.
    """
    stumbled: Exception | None = None
    try:
        yield
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        stumbled = error
    try:
        causes = validate(resource, new, old)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise _incomprehensible(resource, stumbled or error) from error
    if causes:
        raise refusal(resource, new, causes)
    if stumbled is not None:
        raise _incomprehensible(resource, stumbled) from stumbled


def _incomprehensible(resource: Resource, problem: Exception) -> BadRequest:
    return BadRequest(f"the {resource.kind} cannot be understood: {type(problem).__name__}: {problem}")
