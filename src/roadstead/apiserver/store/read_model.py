"""What readers see: the newest version of every object, and each collection's latest events.

Pure bookkeeping without input or output; the stores decide when a write enters it. Each collection has a log of its
own, so that a busy one (leases, events) does not push the others' history out.
"""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice

from roadstead.api.errors import Expired, Timeout
from roadstead.apiserver.store.contract import Event, EventType, Location, Record

LOG_EVENTS = 1024
LOG_BYTES = 8 << 20
"""A collection's log ends where either is passed: a thousand small objects, or a few large Secrets."""


class _Log:
    """The latest events of one collection. `floor` is the newest revision that is no longer in it."""

    __slots__ = ("events", "floor", "size")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.floor = 0
        self.size = 0

    def append(self, event: Event) -> list[Event]:
        self.events.append(event)
        self.size += len(event.record.body)
        dropped: list[Event] = []
        while len(self.events) > 1 and (len(self.events) > LOG_EVENTS or self.size > LOG_BYTES):
            oldest = self.events.popleft()
            self.size -= len(oldest.record.body)
            self.floor = oldest.revision
            dropped.append(oldest)
        return dropped

    def after(self, revision: int) -> list[Event]:
        newer = 0
        for event in reversed(self.events):
            if event.revision <= revision:
                break
            newer += 1
        return list(islice(self.events, len(self.events) - newer, None))


class ReadModel:
    """All objects and logs. `revision` is the newest write that was applied, `origin` the number before the first."""

    def __init__(self, origin: int = 0) -> None:
        self.revision = origin
        self._origin = origin
        self._collections: dict[str, dict[str, dict[str, Record]]] = {}
        self._sorted: dict[tuple[str, str], list[str]] = {}
        self._logs: dict[str, _Log] = {}
        self._subscribers: list[Callable[[Event], None]] = []

    def get(self, location: Location) -> Record | None:
        """Return the object's newest version, or None."""
        return self._collections.get(location.collection, {}).get(location.namespace, {}).get(location.name)

    def records(self, collection: str, namespace: str = "") -> list[Record]:
        """Return a collection, or one namespace of it, ordered by namespace and name."""
        namespaces = self._collections.get(collection, {})
        found: list[Record] = []
        for chosen in [namespace] if namespace else sorted(namespaces):
            records = namespaces.get(chosen)
            if records:
                found += [records[name] for name in self._names(collection, chosen, records)]
        return found

    def _names(self, collection: str, namespace: str, records: Mapping[str, Record]) -> list[str]:
        """Return the names in order; they are sorted again only after one has come or gone."""
        names = self._sorted.get((collection, namespace))
        if names is None:
            names = self._sorted[collection, namespace] = sorted(records)
        return names

    def events_after(self, collection: str, revision: int) -> list[Event]:
        """Return a collection's events after a revision. Raises Expired or Timeout as the contract says."""
        if revision > self.revision:
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            raise Timeout(
                f"Timeout: Too large resource version: {revision}, current: {self.revision}",
                {"causes": [cause], "retryAfterSeconds": 1},
            )
        log = self._logs.get(collection)
        floor = max(self._origin, log.floor if log is not None else 0)
        if revision < floor:
            raise Expired(f"too old resource version: {revision} ({floor})")
        return log.after(revision) if log is not None else []

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have a function called with every applied event; returns what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def restore(self, record: Record) -> None:
        """Take in a version that is older than the log: state without an event."""
        self._set(record)
        self.forget_until(record.location.collection, record.revision)

    def forget_until(self, collection: str, revision: int) -> None:
        """Note that the log of a collection does not reach back to this revision."""
        self.revision = max(self.revision, revision)
        log = self._logs.setdefault(collection, _Log())
        log.floor = max(log.floor, revision)

    def apply(self, record: Record, *, deleted: bool) -> list[Event]:
        """Make a write visible and tell the subscribers; returns the events that fell out of the log for it."""
        previous = self.get(record.location)
        event = Event(_event_type(previous, deleted), record, previous)
        if deleted:
            self._remove(record.location)
        else:
            self._set(record)
        self.revision = max(self.revision, record.revision)
        dropped = self._logs.setdefault(record.location.collection, _Log()).append(event)
        for callback in list(self._subscribers):
            callback(event)
        return dropped

    def _set(self, record: Record) -> None:
        collection, namespace, name = record.location
        records = self._collections.setdefault(collection, {}).setdefault(namespace, {})
        if name not in records:
            self._sorted.pop((collection, namespace), None)
        records[name] = record

    def _remove(self, location: Location) -> None:
        namespaces = self._collections.get(location.collection, {})
        records = namespaces.get(location.namespace, {})
        records.pop(location.name, None)
        self._sorted.pop((location.collection, location.namespace), None)
        if not records:
            namespaces.pop(location.namespace, None)


def _event_type(previous: Record | None, deleted: bool) -> EventType:
    if deleted:
        return "DELETED"
    return "ADDED" if previous is None else "MODIFIED"
