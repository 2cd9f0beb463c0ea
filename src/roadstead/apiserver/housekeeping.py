"""What the server does of its own accord: old events go, deleted definitions take their objects, others get names.

A CustomResourceDefinition that is being deleted waits (by a finalizer) until no object of its kind is left; objects
with finalizers of their own may make it wait long (apiextensions-apiserver's pkg/controller/finalizer).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from roadstead.api.conditions import is_true
from roadstead.api.errors import ApiError, NotFound
from roadstead.api.objects import Object, is_deleting
from roadstead.api.resources import Resource, resource
from roadstead.apiserver.admission.kinds import CLEANUP
from roadstead.apiserver.calls import Call, User
from roadstead.apiserver.http.parameters import DeleteOptions, WriteOptions
from roadstead.apiserver.lifecycle import collection_of, rfc3339
from roadstead.apiserver.registry import DEFINITIONS, Registry
from roadstead.apiserver.store import Event, Location, Store
from roadstead.apiserver.writer import Change, Writer

_log = structlog.get_logger(__name__)
EVENT_LIFE = timedelta(hours=1)
_SWEEP_SECONDS = 60.0
_DEFINITION = resource("CustomResourceDefinition")
_EVENT = resource("Event", "v1")
_OPTIONS = WriteOptions(field_manager="roadstead")


class Housekeeping:
    """Removes what is no longer wanted, as `user`."""

    def __init__(
        self, store: Store, registry: Registry, writer: Writer, clock: Callable[[], datetime], user: User
    ) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._clock = clock
        self._user = user
        self._waiting: dict[str, str] = {}
        self._due: asyncio.Queue[str] = asyncio.Queue()
        for record in store.records(DEFINITIONS):
            self._consider(record.decode())
        store.subscribe(self._observe)

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(sweep_at):
                    await self._finish(await self._due.get())
            except TimeoutError:
                await self.sweep_events()
                sweep_at = loop.time() + _SWEEP_SECONDS
            except ApiError as error:
                _log.error("housekeeping failed", error=error.message)

    def _observe(self, event: Event) -> None:
        location = event.record.location
        if location.collection == DEFINITIONS:
            self._consider_names(location.name)
            if event.type != "DELETED":
                self._consider(event.record.decode())
        elif event.type == "DELETED" and location.collection in self._waiting:
            self._due.put_nowait(self._waiting[location.collection])

    def _consider_names(self, changed: str) -> None:
        """See again to the definitions whose names were in use: the one that has changed may have had them."""
        for name, definition in self._registry.definitions.items():
            conditions = (definition.get("status") or {}).get("conditions") or ()
            if name != changed and not is_true(conditions, "NamesAccepted"):
                self._due.put_nowait(name)

    def _consider(self, definition: Object) -> None:
        if is_deleting(definition) and CLEANUP in (definition["metadata"].get("finalizers") or ()):
            name = definition["metadata"]["name"]
            if name not in self._waiting.values():
                self._waiting[name] = name
                self._due.put_nowait(name)

    async def _finish(self, name: str) -> None:
        """Delete every object of a definition that is to go; let it go once none is left. Give others their names."""
        if name not in self._waiting:
            await self._change_definition(name, lambda definition: definition)
            return
        kind = self._registry.collections().get(name)
        own = kind is not None and not self._registry.is_built_in(kind)
        if kind is not None and own:
            for record in self._store.records(name):
                if not is_deleting(record.decode()):
                    await self._delete(kind, record.location)
            if self._store.records(name):
                return
        self._waiting.pop(name, None)
        await self._change_definition(name, _let_go)

    async def _change_definition(self, name: str, make: Change) -> None:
        try:
            await self._writer.change(
                self._call("update", _DEFINITION, Location(DEFINITIONS, "", name)), _OPTIONS, make
            )
        except NotFound:
            return

    async def sweep_events(self) -> None:
        """Delete events that were last seen longer ago than `EVENT_LIFE`."""
        oldest = rfc3339(self._clock() - EVENT_LIFE)
        for record in self._store.records(collection_of(_EVENT)):
            if _last_seen(record.decode()) < oldest:
                await self._delete(_EVENT, record.location)

    async def _delete(self, kind: Resource, location: Location) -> None:
        try:
            await self._writer.delete(self._call("delete", kind, location), DeleteOptions())
        except ApiError as error:
            if error.code != 404:
                raise

    def _call(self, verb: str, kind: Resource, location: Location) -> Call:
        return Call(verb, kind, location.namespace, location.name, "", {}, self._user)


def _let_go(definition: Object) -> Object:
    metadata = definition["metadata"]
    metadata["finalizers"] = [name for name in metadata.get("finalizers") or () if name != CLEANUP]
    return definition


def _last_seen(event: Object) -> str:
    series = event.get("series") or {}
    seen = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(seen or event["metadata"]["creationTimestamp"])
