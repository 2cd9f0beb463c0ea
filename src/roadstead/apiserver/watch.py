"""Watches: every write, told to whoever watches its resource, encoded once for all who want the same form.

The hub listens to the store. For each event it asks every watcher of the collection whether the object matches before
and after, and appends the encoded line to that watcher's buffer; the watcher's own stream empties it. A client that
does not read falls behind by a bounded number of bytes; then its stream ends, and it resumes from where it was.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime

from roadstead.api.errors import ServiceUnavailable, invalid
from roadstead.api.objects import ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.api.selectors import FieldSelector, LabelSelector
from roadstead.apiserver.calls import Call
from roadstead.apiserver.field_selectors import check_field_selector
from roadstead.apiserver.http.parameters import ListOptions
from roadstead.apiserver.lifecycle import collection_of
from roadstead.apiserver.representation import Presenter, selected_as
from roadstead.apiserver.store import Event, Record, Store
from roadstead.apiserver.store.contract import numbered
from roadstead.apiserver.versions import convert

BUFFER_BYTES = 16 << 20
BOOKMARK_SECONDS = 60.0
_SHORTEST, _LONGEST = 1800, 3600
_CHUNK_BYTES = 256 << 10


class Matcher:
    """Whether an object is among those that a request chose, by namespace, name, labels and fields."""

    def __init__(self, resource: Resource, namespace: str, labels: LabelSelector, fields: FieldSelector) -> None:
        self._resource = resource
        self._namespace = namespace
        self._labels = labels if labels.requirements else None
        self._names = [(wanted, equal) for path, wanted, equal in fields.terms if path == "metadata.name"]
        others = tuple(term for term in fields.terms if term[0] != "metadata.name")
        self._fields = FieldSelector(others) if others else None
        self.by_place = self._labels is None and self._fields is None
        """Whether only namespace and name count, which no write changes."""

    def matches(self, record: Record, decoded: Callable[[Record], ReadOnlyObject]) -> bool:
        """Say whether a version of an object is chosen; `decoded` is asked only if its fields matter."""
        if self._namespace and record.location.namespace != self._namespace:
            return False
        if any((record.location.name == wanted) is not equal for wanted, equal in self._names):
            return False
        if self._labels is not None and not self._labels.matches(record.labels):
            return False
        return self._fields is None or self._fields.matches(convert(dict(decoded(record)), self._resource))


class _Telling:
    """One event on its way to all watchers: what several of them need is made once."""

    def __init__(self, event: Event, now: datetime) -> None:
        self.event = event
        self.now = now
        self._decoded: dict[int, ReadOnlyObject] = {}
        self._lines: dict[tuple[str, str, bool], bytes] = {}

    def decoded(self, record: Record) -> ReadOnlyObject:
        """Return a record as an object that nobody may change."""
        if record.revision not in self._decoded:
            self._decoded[record.revision] = record.decode()
        return self._decoded[record.revision]

    def line(self, presenter: Presenter, kind: str, *, with_columns: bool) -> bytes:
        """Return the encoded line of this event under a type."""
        key = (presenter.cache_key, kind, with_columns)
        if key not in self._lines:
            record = self._shown(kind)
            self._lines[key] = presenter.event(kind, record, self.now, with_columns=with_columns)
        return self._lines[key]

    def _shown(self, kind: str) -> Record:
        """An object that stopped to match is shown as it was when it still did, with the revision of the change."""
        previous = self.event.previous
        if kind != "DELETED" or self.event.type == "DELETED" or previous is None:
            return self.event.record
        return numbered(previous.location, self.event.revision, previous.decode())


class Watcher:
    """The buffer between the hub and one client's stream."""

    def __init__(self, matcher: Matcher, presenter: Presenter, limit: int = BUFFER_BYTES) -> None:
        self.presenter = presenter
        self.closed = False
        self._matcher = matcher
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._told_columns = False

    def tell(self, telling: _Telling) -> None:
        """Take in an event if its object is among the chosen."""
        event, matches = telling.event, self._matcher.matches
        after = matches(event.record, telling.decoded)
        if self._matcher.by_place:
            kind = event.type if after else None
        else:
            before = event.previous is not None and matches(event.previous, telling.decoded)
            kind = selected_as(event, before=before, after=after)
        if kind is not None:
            self._append(telling.line(self.presenter, kind, with_columns=self.columns_due()))

    def columns_due(self) -> bool:
        """Say, the first time only, that the next line is this watch's first."""
        due, self._told_columns = not self._told_columns, True
        return due

    def chosen(self, records: Iterable[Record]) -> list[Record]:
        """Return those of the records that this watcher chose."""
        return [record for record in records if self._matcher.matches(record, Record.decode)]

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size > self._limit:
            self.close()
        self._wake.set()

    def close(self) -> None:
        """End the stream once what it holds was fetched; a client that fell behind loses that too and resumes."""
        if self._size > self._limit:
            self._lines.clear()
        self.closed = True
        self._wake.set()

    async def fetch(self, seconds: float) -> bytes:
        """Return what has gathered, waiting at most this long for it; empty if nothing came."""
        if not self._lines and not self.closed:
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return b""
        chunk = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        return chunk


class WatchHub:
    """Tells all watchers about all writes."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._watchers: dict[str, set[Watcher]] = {}
        self._stopping = False
        store.subscribe(self._publish)

    @property
    def watchers(self) -> int:
        """How many watches are open."""
        return sum(len(watchers) for watchers in self._watchers.values())

    def open(self, call: Call, presenter: Presenter) -> "WatchStream":
        """Begin a watch. Raises BadRequest, Invalid, Expired or Timeout if it cannot be what the client asked for.

        Raises ServiceUnavailable once all watches were ended: the server is about to stop.
        """
        if self._stopping:
            raise ServiceUnavailable("the server is stopping")
        options = ListOptions.of(call.query)
        check_field_selector(call.resource, options.fields)
        _check(options)
        watcher = Watcher(Matcher(call.resource, call.namespace, options.labels, options.fields), presenter)
        initial: list[Record] = []
        if _wants_state(options):
            if options.revision is not None:
                self._store.events_after(call.collection, max(options.revision, self._store.revision))
            initial = watcher.chosen(self._store.records(call.collection, call.namespace))
            if initial:
                watcher.columns_due()  # they go with the first of these, whatever happens before it is sent
        elif options.revision is not None:
            now = self._clock()
            for event in self._store.events_after(call.collection, options.revision):
                watcher.tell(_Telling(event, now))
        revision = self._store.revision
        self._watchers.setdefault(call.collection, set()).add(watcher)
        return WatchStream(self, watcher, initial, revision, options, self._clock)

    def _publish(self, event: Event) -> None:
        watchers = self._watchers.get(event.record.location.collection)
        if watchers:
            telling = _Telling(event, self._clock())
            for watcher in watchers:
                watcher.tell(telling)

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        watchers = self._watchers.get(collection_of(watcher.presenter.resource), set())
        watchers.discard(watcher)

    def bookmark_revision(self) -> int:
        """Return the revision up to which every watcher was told everything."""
        return self._store.revision

    def close(self, resource: Resource | None = None) -> None:
        """End all watches and begin no more, or end those of one resource that is no longer served."""
        self._stopping = self._stopping or resource is None
        for collection, watchers in self._watchers.items():
            if resource is None or collection == collection_of(resource):
                for watcher in watchers:
                    watcher.close()


class WatchStream:
    """The lines of one watch: state first if wanted, then events, with bookmarks between; ends at its time-out."""

    def __init__(
        self,
        hub: WatchHub,
        watcher: Watcher,
        initial: list[Record],
        revision: int,
        options: ListOptions,
        clock: Callable[[], datetime],
    ) -> None:
        self._hub = hub
        self.watcher = watcher
        self._initial = initial
        self._revision = revision
        self._options = options
        self._clock = clock

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield whole lines, several at once where several are there."""
        try:
            async for chunk in self._state():
                yield chunk
            async for chunk in self._live():
                yield chunk
        finally:
            self._hub.leave(self.watcher)

    async def _state(self) -> AsyncIterator[bytes]:
        presenter, now = self.watcher.presenter, self._clock()
        lines: list[bytes] = []
        size = 0
        for position, record in enumerate(self._initial):
            lines.append(presenter.event("ADDED", record, now, with_columns=position == 0))
            size += len(lines[-1])
            if size > _CHUNK_BYTES:
                yield b"".join(lines)
                await asyncio.sleep(0)  # others get their turn during a long list
                lines, size = [], 0
        if self._options.initial_events:
            lines.append(presenter.bookmark(self._revision, initial_events_end=True))
        self._initial = []
        if lines:
            yield b"".join(lines)

    async def _live(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + (self._options.timeout_seconds or random.randint(_SHORTEST, _LONGEST))  # noqa: S311 - spread, no secret
        while not self.watcher.closed and (left := end - loop.time()) > 0:
            chunk = await self.watcher.fetch(min(left, BOOKMARK_SECONDS))
            if chunk:
                yield chunk
            elif self._options.bookmarks and not self.watcher.closed:
                yield self.watcher.presenter.bookmark(self._hub.bookmark_revision(), initial_events_end=False)


def _wants_state(options: ListOptions) -> bool:
    if options.initial_events is not None:
        return options.initial_events
    return options.revision is None


def _check(options: ListOptions) -> None:
    """Hold to the rules of sendInitialEvents (apimachinery's pkg/apis/meta/internalversion/validation)."""
    causes: list[tuple[str, str, str]] = []
    if options.initial_events is not None and options.revision_match != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(("FieldValueForbidden", "resourceVersionMatch", message))
    if options.initial_events is None and options.revision_match:
        message = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(("FieldValueForbidden", "resourceVersionMatch", message))
    if causes:
        raise invalid("ListOptions", "meta.k8s.io", "", causes)
