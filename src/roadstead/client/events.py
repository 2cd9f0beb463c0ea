"""Events: what a component tells people about an object, in `kubectl describe` and `kubectl events`.

The same event again raises the count of the first one instead of filling the store. `EventLog` decides (pure);
`EventRecorder` writes in the background, so that recording never delays or fails the work it tells of.
"""

import asyncio
import contextlib
import datetime
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, TypeAlias

import structlog

from roadstead.api.errors import ApiError, NotFound
from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.api.resources import resource
from roadstead.client.client import ApiClient
from roadstead.lib.tasks import cancel_all, spawn

_log = structlog.get_logger(__name__)
_EVENT = resource("Event", "v1")
_REMEMBERED = 4096
_BACKLOG = 1000
_MESSAGE_LIMIT = 1024
# Events tell of work; they do not compete with it for the server while it is being done.
_COURTESY = 0.05

EventType: TypeAlias = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to an object."""

    regarding: ReadOnlyObject
    type: EventType
    reason: str
    message: str

    def same_as(self) -> tuple[str, ...]:
        """Return what makes two occurrences one event with a count of two."""
        reference = reference_to(self.regarding)
        return (reference["kind"], reference["namespace"], reference["name"], reference["uid"], *self._said())

    def _said(self) -> tuple[str, str, str]:
        return self.type, self.reason, self.message


@dataclass(slots=True)
class _Series:
    namespace: str
    name: str
    count: int = 1


def reference_to(obj: ReadOnlyObject) -> dict[str, str]:
    """Return the `v1.ObjectReference` of an object."""
    metadata = metadata_of(obj)
    return {
        "apiVersion": obj.get("apiVersion") or "",
        "kind": obj.get("kind") or "",
        "namespace": metadata.get("namespace") or "",
        "name": metadata.get("name") or "",
        "uid": metadata.get("uid") or "",
        "resourceVersion": metadata.get("resourceVersion") or "",
    }


class EventLog:
    """Which events have been written: says of each occurrence whether it is a new event or one more of an old one."""

    def __init__(self, component: str, instance: str = "") -> None:
        self._source = {"component": component, "host": instance} if instance else {"component": component}
        self._instance = instance or component
        self._series: OrderedDict[tuple[str, ...], _Series] = OrderedDict()

    def again(self, occurrence: Occurrence, now: datetime.datetime) -> tuple[str, str, Object] | None:
        """Return `(namespace, name, patch)` for an event that was written before, else None."""
        series = self._series.get(occurrence.same_as())
        if series is None:
            return None
        self._series.move_to_end(occurrence.same_as())
        series.count += 1
        return series.namespace, series.name, {"count": series.count, "lastTimestamp": _timestamp(now)}

    def first(self, occurrence: Occurrence, now: datetime.datetime) -> Object:
        """Return the Event to create for an occurrence, and remember it."""
        reference = reference_to(occurrence.regarding)
        namespace = reference["namespace"] or "default"
        name = f"{reference['name'][:230]}.{int(now.timestamp() * 1e9):x}"
        self._series[occurrence.same_as()] = _Series(namespace, name)
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {key: value for key, value in reference.items() if value},
            "reason": occurrence.reason,
            "message": occurrence.message,
            "type": occurrence.type,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._instance,
            "firstTimestamp": _timestamp(now),
            "lastTimestamp": _timestamp(now),
            "count": 1,
        }

    def forget(self, occurrence: Occurrence) -> None:
        """Forget an event that is not on the server, so that the next occurrence is a new event."""
        self._series.pop(occurrence.same_as(), None)


class EventRecorder:
    """Record events of one component; `record` returns at once, `flush` waits until all are written."""

    def __init__(self, client: ApiClient, *, component: str, instance: str = "") -> None:
        self._client = client
        self._log = EventLog(component, instance)
        self._pending: asyncio.Queue[Occurrence] = asyncio.Queue(_BACKLOG)
        self._writer: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def record(self, regarding: ReadOnlyObject, type_: EventType, reason: str, message: str) -> None:
        """Tell people something about an object. Events beyond a backlog are dropped: they inform, nothing waits."""
        try:
            self._pending.put_nowait(Occurrence(regarding, type_, reason, message[:_MESSAGE_LIMIT]))
        except asyncio.QueueFull:
            _log.warning("event dropped", reason=reason, object=metadata_of(regarding).get("name"))
            return
        if self._writer is None or self._writer.done():
            self._writer = spawn(self._write_pending(), name="events")

    async def flush(self) -> None:
        """Wait until every event so far is written, or could not be."""
        if self._writer is not None:
            self._hurry.set()
            await asyncio.wait([self._writer])
            self._hurry.clear()

    async def aclose(self) -> None:
        """Stop writing; events that are not written yet are lost."""
        if self._writer is not None:
            await cancel_all([self._writer])

    async def _write_pending(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COURTESY):
                await self._hurry.wait()
        while not self._pending.empty():
            occurrence = self._pending.get_nowait()
            try:
                await self._write(occurrence)
            except ApiError as error:
                # Often the namespace is being deleted; nobody could read the event either.
                self._log.forget(occurrence)
                _log.debug("event not written", reason=occurrence.reason, error=error.message)

    async def _write(self, occurrence: Occurrence) -> None:
        now = datetime.datetime.now(datetime.UTC)
        repeated = self._log.again(occurrence, now)
        if repeated is not None:
            namespace, name, patch = repeated
            try:
                await self._client.patch(_EVENT, name, namespace, patch)
            except NotFound:  # expired since
                self._log.forget(occurrence)
            else:
                return
        await self._client.create(_EVENT, self._log.first(occurrence, now))


def _timestamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
