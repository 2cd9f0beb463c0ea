"""Controllers run: informers fill queues, workers plan, and what was planned is carried out through the API.

The only place of this part that waits for anything. A conflict means that something newer is on its way: plan again.
Nothing raises out of here; what fails is logged, becomes part of the next plan's input, and is tried again later.
"""

import asyncio
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import structlog

from roadstead.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, controller_of, key_of, metadata_of
from roadstead.api.resources import BUILT_IN, Resource, resource
from roadstead.client import ApiClient, EventRecorder, Informer, Informers, own_informers, requests
from roadstead.controllers.actions import Action, Bind, Create, Delete, Event, Patch, Replace, Requeue
from roadstead.controllers.controller import Controller, Situation
from roadstead.controllers.custom import custom_resources
from roadstead.lib.clock import now
from roadstead.lib.retry import Backoff
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.lib.workqueue import WorkQueue

_log = structlog.get_logger(__name__)
_WORKERS = 4
_AT_ONCE = 16
_DEFINITION = "CustomResourceDefinition"
_TERMINATING = "being terminated"


_BUILT_IN = {(entry.api_version, entry.kind): entry for entry in BUILT_IN}


class InformerView:
    """A `View` of informers, one per kind."""

    def __init__(self, informers: Mapping[str, Informer]) -> None:
        self._informers = informers
        for informer in informers.values():
            informer.add_index("namespace", lambda obj: [key_of(obj).namespace])
            informer.add_index("owner", _owner_values)

    def get(self, kind: str, key: ObjectKey) -> Object | None:
        """Return one object, or None."""
        return self._informers[kind].objects.get(key)

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return list(self._informers[kind].objects.values())

    def in_namespace(self, kind: str, namespace: str) -> list[Object]:
        """Return the objects of one namespace."""
        return self._informers[kind].indexed("namespace", namespace)

    def owned_by(self, kind: str, uid: str) -> list[Object]:
        """Return the objects with an owner reference to this uid."""
        return self._informers[kind].indexed("owner", uid)

    def orphans(self, kind: str, namespace: str) -> list[Object]:
        """Return the objects of one namespace that no controller controls."""
        return self._informers[kind].indexed("owner", f"nobody in {namespace}")


def _owner_values(obj: ReadOnlyObject) -> Iterable[str]:
    for reference in metadata_of(obj).get("ownerReferences") or ():
        yield reference["uid"]
    if controller_of(obj) is None:
        yield f"nobody in {key_of(obj).namespace}"


class Runner:
    """Run controllers against one API server until cancelled."""

    def __init__(
        self, client: ApiClient, controllers: Sequence[Controller], *, informers: Informers | None = None
    ) -> None:
        inform = informers or own_informers(client)
        self._client = client
        self._controllers = controllers
        kinds = dict.fromkeys(kind for entry in controllers for kind in (*entry.triggers, *entry.reads))
        self._informers = {kind: inform(resource(kind)) for kind in kinds}
        self._view = InformerView(self._informers)
        self._started: set[str] = set()

    async def run(self) -> None:
        """Start the controllers in order, each as soon as it knows all it reads; go on until cancelled."""
        tasks: list[asyncio.Task[Any]] = []
        loops: list[ControlLoop] = []
        try:
            for controller in self._controllers:
                await self._learn(controller, tasks)
                loop = ControlLoop(self._client, controller, self._view, self._informers)
                loops.append(loop)
                tasks += loop.start()
            await asyncio.Event().wait()
        finally:
            await cancel_all(tasks)
            for loop in loops:
                await loop.close()

    async def _learn(self, controller: Controller, tasks: list[asyncio.Task[Any]]) -> None:
        """Start the informers that a controller needs and none before it did, and wait until they are synced."""
        needed = [kind for kind in (*controller.triggers, *controller.reads) if kind not in self._started]
        for kind in dict.fromkeys(needed):
            self._started.add(kind)
            tasks.append(spawn(self._informers[kind].run(), name=f"informer {kind}"))
            if controller.unhurried:
                await self._informers[kind].wait_synced()
        await asyncio.gather(*(self._informers[kind].wait_synced() for kind in needed))


class ControlLoop:
    """One controller at work: its queue, its workers and its memory of failures."""

    def __init__(
        self, client: ApiClient, controller: Controller, view: InformerView, informers: Mapping[str, Informer]
    ) -> None:
        self._client = client
        self._controller = controller
        self._view = view
        self._informers = informers
        self._queue: WorkQueue[Hashable] = WorkQueue()
        self._backoff: Backoff[Hashable] = Backoff()
        self._failures: dict[Hashable, str] = {}
        self._events = EventRecorder(client, component=controller.name)

    def start(self) -> list[asyncio.Task[Any]]:
        """Listen to what concerns the controller, and return its workers."""
        for kind in self._controller.triggers:
            self._informers[kind].on_change(self._listener(kind))
        return [spawn(self._work(), name=f"{self._controller.name} {number}") for number in range(_WORKERS)]

    async def close(self) -> None:
        """Drop timers and write out events, after the workers have ended."""
        self._queue.close()
        await self._events.aclose()

    def _listener(self, kind: str) -> Any:
        trigger = self._controller.triggers[kind]

        def listen(_: ObjectKey, old: Object | None, new: Object | None) -> None:
            for key in trigger(self._view, old, new):
                self._queue.add(key)

        return listen

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._once(key)
            finally:
                self._queue.done(key)

    async def _once(self, key: Hashable) -> None:
        try:
            live = await self._controller.look(self._client, self._view, key) if self._controller.look else None
            situation = Situation(self._view, key, now(), self._failures.get(key, ""), live)
            await self._carry_out(self._controller.decide(situation), key)
        except (Conflict, NotFound, AlreadyExists) as error:
            _log.debug("plan again", controller=self._controller.name, object=str(key), why=error.message)
            self._queue.add_after(key, self._backoff.failed(key))
        except ApiError as error:
            self._note_failure(key, error)
            self._queue.add_after(key, self._backoff.failed(key))
        except Exception:  # noqa: BLE001  a plan that cannot be made must not end the plans of all other objects
            _log.exception("plan failed", controller=self._controller.name, object=str(key))
            self._queue.add_after(key, self._backoff.failed(key))
        else:
            self._backoff.succeeded(key)
            self._failures.pop(key, None)

    def _note_failure(self, key: Hashable, error: ApiError) -> None:
        if error.code >= 500 or _TERMINATING in error.message:
            # The server's trouble, or the end of a namespace: nothing that the object should complain of.
            _log.debug("not done", controller=self._controller.name, object=str(key), error=error.message)
            return
        self._failures[key] = error.message
        _log.info("refused", controller=self._controller.name, object=str(key), error=error.message)

    async def _carry_out(self, actions: Sequence[Action], key: Hashable) -> None:
        """Carry out actions in order; creations in a row, and deletions in a row, some at a time."""
        first_error: ApiError | None = None
        for kind, group in groupby(actions, key=type):
            if kind in (Create, Delete):
                first_error = await self._side_by_side(list(group)) or first_error
                continue
            for action in group:
                await self._carry_out_one(action, key)
        if first_error is not None:
            raise first_error

    async def _side_by_side(self, actions: Sequence[Action]) -> ApiError | None:
        for start in range(0, len(actions), _AT_ONCE):
            batch = actions[start : start + _AT_ONCE]
            results = await asyncio.gather(
                *(self._carry_out_one(action, None) for action in batch), return_exceptions=True
            )
            errors = [result for result in results if isinstance(result, BaseException)]
            for error in errors:
                if not isinstance(error, ApiError):
                    raise error
            if errors:
                return next(error for error in errors if isinstance(error, ApiError))
        return None

    async def _carry_out_one(self, action: Action, key: Hashable) -> None:
        match action:
            case Create():
                stored = await self._client.create(self._resource_of(action.object), action.object)
                self._seen(stored)
                self._announce(action.announce, stored)
            case Delete():
                await self._delete(action)
            case Patch():
                await self._patch(action)
            case Bind():
                await self._bind(action)
            case Replace():
                what = self._resource_of(action.object)
                await self._client.replace(what, action.object, subresource=action.subresource)
            case Event():
                self._announce(action, {})
            case Requeue():
                self._queue.add_after(key, action.seconds)

    async def _delete(self, action: Delete) -> None:
        namespace, name = key_of(action.object)
        uid = metadata_of(action.object).get("uid")
        what = self._resource_of(action.object)
        request = requests.delete(what, name, namespace, propagation=action.propagation, preconditions_uid=uid)
        try:
            answer = await self._client.request(request)
        except NotFound:
            answer = {}
        informer = self._informers.get(what.kind)
        if answer.get("kind") == what.kind and metadata_of(answer).get("deletionTimestamp"):
            self._seen(answer)
        elif informer is not None:
            informer.deleted(action.object)
        self._announce(action.announce, action.object)

    async def _patch(self, action: Patch) -> None:
        namespace, name = key_of(action.object)
        what = self._resource_of(action.object)
        stored = await self._client.patch(what, name, namespace, action.patch, subresource=action.subresource)
        self._seen(stored)
        self._announce(action.announce, stored)

    async def _bind(self, action: Bind) -> None:
        namespace, name = key_of(action.pod)
        metadata = {"name": name, "namespace": namespace, "uid": metadata_of(action.pod).get("uid")}
        target = {"apiVersion": "v1", "kind": "Node", "name": action.node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._client.create(resource("Pod"), binding, subresource="binding")
        self._announce(action.announce, action.pod)

    def _resource_of(self, obj: ReadOnlyObject) -> Resource:
        """Return the resource of an object; custom kinds are looked up in the definitions. Raises NotFound."""
        api_version, kind = obj["apiVersion"], obj["kind"]
        found = _BUILT_IN.get((api_version, kind))
        if found is None and _DEFINITION in self._informers:
            custom = custom_resources(self._view.all(_DEFINITION))
            found = next((entry for entry in custom if (entry.api_version, entry.kind) == (api_version, kind)), None)
        if found is None:
            raise NotFound(f"no resource is known for kind {kind} in {api_version}")
        return found

    def _seen(self, stored: Object) -> None:
        informer = self._informers.get(stored.get("kind") or "")
        if informer is not None:
            informer.wrote(stored)

    def _announce(self, event: Event | None, about: ReadOnlyObject) -> None:
        if event is not None:
            message = event.message.replace("{name}", metadata_of(about).get("name") or "")
            self._events.record(event.regarding, event.type, event.reason, message)
