"""The verbs of the REST API: get, list, create, replace, patch, apply, delete, deletecollection.

Each reads the request's options and body, has `writer` or the store do the work, and returns an `Answer`.
`watch` is a verb too, but a stream: see `watch`. Subresources that are no part of the object are in `subresources`.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from roadstead.api.errors import ApiError, BadRequest, Expired, Forbidden, NotFound, UnsupportedMediaType, invalid
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.api.selectors import EVERYTHING
from roadstead.apiserver import causes
from roadstead.apiserver.admission.owners import drop_repeated_owners
from roadstead.apiserver.calls import Answer, Call, telling
from roadstead.apiserver.field_selectors import check_field_selector
from roadstead.apiserver.http.content import APPLY, decode_json, decode_object, decode_yaml, media_type
from roadstead.apiserver.http.duplicates import duplicate_fields, duplicate_yaml_fields
from roadstead.apiserver.http.parameters import Continuation, DeleteOptions, ListOptions, WriteOptions
from roadstead.apiserver.lifecycle import check_identity
from roadstead.apiserver.parts import fresh, keep_equal_parts
from roadstead.apiserver.patches import patch
from roadstead.apiserver.patches.apply import Untypable
from roadstead.apiserver.schemas import CustomResource, schema_of
from roadstead.apiserver.schemas.pruning import prune
from roadstead.apiserver.store import Location, Record, Store
from roadstead.apiserver.validation import Undecodable, check_types, unknown_fields
from roadstead.apiserver.versions import convert
from roadstead.apiserver.writer import Change, Writer

_MERGE = "application/merge-patch+json"
_JSON = "application/json-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_DELETE_OPTIONS = Resource("", "v1", "", "DeleteOptions")
_UNSUPPORTED = "415: Unsupported Media Type"
_UNPATCHABLE = (
    f"the body of the request was in an unknown format - accepted media types include: {_JSON}, {_MERGE}, {APPLY}"
)
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_UNKNOWN_MANAGER = "unknown"
PARTS = frozenset({"", "status", "ephemeralcontainers"})
"""What these verbs read and write: the whole object, or by a subresource a part of it."""


class Rest:
    """The verbs on stored resources."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    @property
    def revision(self) -> int:
        """The newest revision, which lists carry as their resourceVersion."""
        return self._store.revision

    def get(self, call: Call) -> Answer:
        """Return one object. Raises NotFound."""
        return Answer(200, self._writer.need(call))

    def list_records(self, call: Call) -> tuple[list[Record], Object]:
        """Return the records that a list asks for, and the list's metadata. Raises BadRequest, Expired, Timeout."""
        options = ListOptions.of(call.query)
        check_field_selector(call.resource, options.fields)
        revision = options.resume.revision if options.resume is not None else self._store.revision
        if options.revision is not None and (options.revision > revision or options.revision_match == "Exact"):
            self._check_state(call, options.revision)
        if options.revision is not None and options.revision_match == "Exact":
            revision = options.revision
        self._check_resume(call, options)
        chosen = select(self._store, call, options)
        metadata: Object = {"resourceVersion": str(revision)}
        if options.limit and len(chosen) > options.limit:
            metadata["remainingItemCount"] = len(chosen) - options.limit
            chosen = chosen[: options.limit]
            last = chosen[-1].location
            metadata["continue"] = Continuation(revision, last.namespace, last.name).encode()
        return chosen, metadata

    def _check_state(self, call: Call, revision: int) -> None:
        """Raise Timeout if a revision has not come yet, Expired if the collection is no longer as it was then."""
        too_old = Expired("The resourceVersion for the provided list is too old.")
        try:
            if self._store.events_after(call.collection, revision):
                raise too_old
        except Expired:
            raise too_old from None

    def _check_resume(self, call: Call, options: ListOptions) -> None:
        if options.resume is None:
            return
        try:
            self._store.events_after(call.collection, options.resume.revision)
        except Expired:
            raise Expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter."
            ) from None

    async def create(self, call: Call) -> Answer:
        """Store a new object from the request's body. Raises ApiError."""
        options = with_manager(WriteOptions.of(call.query), call)
        obj = decode_object(call.content_type, call.body, call.resource.kind)
        _check_kind(call.resource, obj)
        check_identity(call.resource, obj, call.namespace, call.name)
        warnings = check_fields(call, obj, options) + drop_repeated_owners(obj)
        with telling(warnings):
            return (await self._writer.create(call, obj, options)).with_warnings(warnings)

    async def replace(self, call: Call) -> Answer:
        """Replace an object, or its status, by the request's body. Raises ApiError."""
        options = with_manager(WriteOptions.of(call.query, "UpdateOptions"), call)
        obj = decode_object(call.content_type, call.body, call.resource.kind)
        _check_kind(call.resource, obj)
        check_named(obj, call.name)
        check_identity(call.resource, obj, call.namespace, call.name)
        warnings = check_fields(call, obj, options) + drop_repeated_owners(obj)
        with telling(warnings):
            return (await self._writer.change(call, options, lambda _: obj)).with_warnings(warnings)

    async def patch(self, call: Call) -> Answer:
        """Patch an object, or its status, in any of the four ways. Raises ApiError."""
        if media_type(call.content_type) == APPLY:
            return await self._apply(call)
        options = with_manager(WriteOptions.of(call.query, "PatchOptions"), call)
        change = patch_change(call)
        warnings: tuple[str, ...] = ()

        def checked(live: Object) -> Object:
            nonlocal warnings
            patched = change(live)
            check_named(patched, call.name)
            check_identity(call.resource, patched, call.namespace, call.name)
            keep_equal_parts(patched, live)
            warnings = check_fields(call, patched, options, stored=live)
            return patched

        with unpatchable(call):
            try:
                answer = await self._writer.change(call, options, checked)
            except Undecodable:
                raise
            except ApiError as error:
                error.warnings = (*warnings, *error.warnings)
                raise
        return answer.with_warnings(warnings)

    async def _apply(self, call: Call) -> Answer:
        options = apply_options(call)
        applied = _applied(call)
        if options.validation == "Strict" and (twice := duplicates(call)):
            raise _strict(call.resource, [f'duplicate field "{path}"' for path in twice])
        place = _place(applied)
        check_named(applied, call.name)
        check_identity(call.resource, applied, call.namespace, call.name)
        unknown = unknown_fields(call.resource, applied)
        if unknown:
            raise _untyped(place, f".{unknown[0]}: field not declared in schema")
        try:
            check_types(call.resource, applied)
            return await self._writer.apply(call, options, applied)
        except Undecodable as error:
            raise _untyped(place, error.problem) from None
        except Untypable as error:
            raise _untyped(place, error.message) from None

    async def delete(self, call: Call) -> Answer:
        """Delete an object. Raises ApiError."""
        _check_deletable(call)
        return await self._writer.delete(call, delete_options(call))

    async def delete_collection(self, call: Call) -> list[Record]:
        """Delete every object that the selectors choose; returns what they were. Raises ApiError."""
        selection = ListOptions.of(call.query)
        check_field_selector(call.resource, selection.fields)
        options = delete_options(call)
        chosen = select(self._store, call, selection)[: selection.limit or None]
        for record in chosen:
            one = call_for(call, record.location)
            try:
                await self._writer.delete(one, options)
            except NotFound:
                continue
        return chosen


def call_for(call: Call, location: Location) -> Call:
    """Return a call that names one object of the collection."""
    return Call(call.verb, call.resource, location.namespace, location.name, "", call.query, call.user, call.user_agent)


@contextlib.contextmanager
def unpatchable(call: Call) -> Iterator[None]:
    """Blame the patch, by raising Invalid, if what it makes of an object cannot be decoded."""
    try:
        yield
    except Undecodable as error:
        cause = causes.invalid("patch", str(call.body, "utf-8", "replace"), error.problem)
        raise invalid("", "", "", [cause]) from None


def check_named(obj: Object, name: str) -> None:
    """Hold a replacement to saying what it replaces. Raises BadRequest."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict | None) and not (metadata or {}).get("name"):
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def _check_kind(resource: Resource, obj: Object) -> None:
    """Hold an object of a custom kind to saying what it is; one of ours may leave it to the URL. Raises BadRequest."""
    if not isinstance(resource, CustomResource):
        return
    if not obj.get("kind"):
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object 'Kind' is missing"
        )
    if not obj.get("apiVersion"):
        expected = f"does not match the expected API version ({resource.api_version})"
        raise BadRequest(f"the API version in the data () {expected}")


def _check_deletable(call: Call) -> None:
    """Raise Forbidden for the namespaces that every cluster has."""
    if call.collection == "namespaces" and call.name in _IMMORTAL:
        details = {"name": call.name, "group": "", "kind": "namespaces"}
        raise Forbidden(f'namespaces "{call.name}" is forbidden: this namespace may not be deleted', details)


def delete_options(call: Call) -> DeleteOptions:
    """Read how to delete from body and query. Raises BadRequest."""
    body = decode_object(call.content_type, call.body) if call.body.strip() else None
    if body is not None:
        check_types(_DELETE_OPTIONS, body)
        if body.get("kind") not in {None, "", "DeleteOptions"}:
            raise BadRequest(f'no kind "{body["kind"]}" is registered for version "{body.get("apiVersion")}"')
    return DeleteOptions.of(call.query, body)


def select(store: Store, call: Call, options: ListOptions) -> list[Record]:
    """Return the records that the selectors choose, from where the last page ended, in order."""
    if options.exact_name and (call.namespace or not call.resource.namespaced):
        record = store.get(call.location_of(options.exact_name))
        records = [record] if record is not None else []
    else:
        records = store.records(call.collection, call.namespace)
    if options.resume is not None:
        after = (options.resume.namespace, options.resume.name)
        records = [record for record in records if (record.location.namespace, record.location.name) > after]
    if options.labels is not EVERYTHING and options.labels.requirements:
        records = [record for record in records if options.labels.matches(record.labels)]
    if options.fields.terms:
        resource = call.resource
        records = [record for record in records if options.fields.matches(convert(record.decode(), resource))]
    return records


def patch_change(call: Call) -> Change:
    """Return what a patch's body makes of an object. Raises BadRequest or UnsupportedMediaType."""
    kind = media_type(call.content_type)
    if kind == _JSON:
        operations: Any = decode_json(call.body)
        return lambda live: patch.json_patch(live, operations)
    if kind not in {_MERGE, _STRATEGIC}:
        raise UnsupportedMediaType(_UNPATCHABLE if isinstance(call.resource, CustomResource) else _UNSUPPORTED)
    document = decode_json(call.body)
    if not isinstance(document, dict):
        raise BadRequest("the body of the patch must be an object")
    if kind == _MERGE:
        return lambda live: patch.merge_patch(live, document)
    # It is decoded as what the live object is: a kind that it names means nothing.
    identity = ("apiVersion", "kind")
    merged = {field: value for field, value in document.items() if field not in identity}
    return lambda live: patch.strategic_merge_patch(call.resource, live, merged)


def apply_options(call: Call) -> WriteOptions:
    """Return the options of an apply. Raises Invalid if it names no field manager."""
    return WriteOptions.of(call.query, "PatchOptions", apply=True)


def with_manager(options: WriteOptions, call: Call) -> WriteOptions:
    """Return the options with a field manager: what the client named, else the program it says it is."""
    if options.field_manager:
        return options
    program = re.split(r"[/ ]", call.user_agent, maxsplit=1)[0][:128]
    manager = program if program.isprintable() and program else _UNKNOWN_MANAGER
    return WriteOptions(options.dry_run, manager, options.validation, options.force)


def _applied(call: Call) -> Object:
    """Return the body of an apply, which is an object of the request's kind. Raises BadRequest."""
    applied = decode_yaml(call.body)
    if applied is None:
        applied = {}
    if not isinstance(applied, dict):
        raise BadRequest("error decoding patch: an apply patch must be an object")
    resource, version, kind = call.resource, applied.get("apiVersion") or "", applied.get("kind") or ""
    if (version, kind) != (resource.api_version, resource.kind):
        raise BadRequest(f"invalid object type: {_with_group(str(version))}, Kind={kind}")
    return applied


def _place(applied: Object) -> str:
    """Return what is applied as it names itself, which is not always all of its name."""
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    named = "/".join(str(metadata.get(field) or "") for field in ("namespace", "name"))
    return f"{named}; {_with_group(applied['apiVersion'])}, Kind={applied['kind']}"


def _with_group(version: str) -> str:
    """Return an apiVersion with a slash, which that of the core group does not have."""
    return version if "/" in version else f"/{version}"


def _untyped(place: str, problem: str) -> BadRequest:
    """Return the answer for an apply that does not fit the schema, which no field validation makes good."""
    return BadRequest(f"failed to create typed patch object ({place}): {problem}")


def check_fields(call: Call, obj: Object, options: WriteOptions, *, stored: Object | None = None) -> tuple[str, ...]:
    """Drop fields that the resource does not have, in place, and return warnings about them if they are wanted.

    The object is the request's body, in which fields may come twice, or else what a patch made of the stored one,
    whose own parts need no second look. Raises BadRequest, which names them all, if the client asked for strictness.
    """
    twice = duplicates(call) if options.validation != "Ignore" else []
    unknown = unknown_fields(call.resource, fresh(obj, stored))
    if stored is not None:  # what is patched has no order of its own
        unknown = sorted(unknown)
    complaints = [f'duplicate field "{path}"' for path in twice] + [f'unknown field "{path}"' for path in unknown]
    if complaints and options.validation == "Strict":
        raise _strict(call.resource, complaints)
    if unknown:
        prune(obj, schema_of(call.resource))
    return tuple(complaints) if options.validation == "Warn" else ()


def duplicates(call: Call) -> list[str]:
    """Return the paths of the fields that a body has twice; only JSON and YAML can, and of patches those of objects."""
    kind = media_type(call.content_type)
    if "yaml" in kind:
        return duplicate_yaml_fields(call.body)
    return duplicate_fields(call.body) if kind in {"", "application/json", _MERGE, _STRATEGIC} else []


def _strict(resource: Resource, complaints: list[str]) -> Undecodable:
    return Undecodable(resource, f"strict decoding error: {', '.join(complaints)}")
