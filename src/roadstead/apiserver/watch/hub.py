"""All watches of the server: who is told of a write, and each watch from its first line to its last."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime

from roadstead.api.errors import ServiceUnavailable
from roadstead.api.resources import Resource
from roadstead.apiserver.calls import Call
from roadstead.apiserver.field_selectors import check_field_selector
from roadstead.apiserver.http.parameters import ListOptions
from roadstead.apiserver.lifecycle import collection_of
from roadstead.apiserver.representation import Presenter
from roadstead.apiserver.store import Event, Location, Record, Store
from roadstead.apiserver.watch.audience import Audience, Key, Matcher, Telling
from roadstead.apiserver.watch.delivery import Delivery
from roadstead.apiserver.watch.watcher import CHUNK_BYTES, Watcher

BOOKMARK_SECONDS = 60.0
_BUSY_SECONDS = 1.0  # after which a bookmark is tried again that would have overtaken events
_SHORTEST, _LONGEST = 1800, 3600


class WatchHub:
    """Tells all watchers about all writes."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._audiences: dict[Location, dict[Key, Audience]] = {}
        """By what they watch (an empty namespace or name means all): an event finds its audiences by four look-ups."""
        self._delivery = Delivery()
        self._stopping = False
        store.subscribe(self._publish)

    @property
    def watchers(self) -> int:
        """How many watches are open."""
        return sum(len(audience.watchers) for audience in self._all())

    def open(self, call: Call, presenter: Presenter) -> "WatchStream":
        """Begin a watch. Raises BadRequest, Invalid, Expired or Timeout if it cannot be what the client asked for.

        Raises ServiceUnavailable once all watches were ended: the server is about to stop.
        """
        if self._stopping:
            raise ServiceUnavailable("the server is stopping")
        options = ListOptions.of(call.query, watch=True)
        check_field_selector(call.resource, options.fields)
        audience, watcher = self._audience(call, presenter, options), Watcher()
        initial: list[Record] = []
        if options.initial_events:
            if options.revision is not None:
                self._store.events_after(call.collection, max(options.revision, self._store.revision))
            initial = audience.chosen(self._store.records(call.collection, call.namespace))
            if initial:
                audience.columns_due()  # they go with the first of these, whatever happens before it is sent
        elif options.revision is not None:
            now = self._clock()
            for event in self._store.events_after(call.collection, options.revision):
                if (line := audience.line(Telling(event, now))) is not None:
                    watcher.take(line)
        self._audiences.setdefault(audience.place, {})[audience.key] = audience
        self._delivery.admit(audience, watcher)
        return WatchStream(self, audience, watcher, initial, self._store.revision, options, self._clock)

    def _audience(self, call: Call, presenter: Presenter, options: ListOptions) -> Audience:
        """Return the audience of a watch, which may be new; it is kept only once somebody is in it."""
        place = Location(call.collection, call.namespace, options.exact_name)
        key: Key = (presenter.cache_key, options.labels, options.fields)
        shared = self._audiences.get(place, {}).get(key)
        if shared is not None and not presenter.first_line_differs:
            return shared
        matcher = Matcher(call.resource, call.namespace, options.labels, options.fields)
        return Audience(place, (*key, object()) if presenter.first_line_differs else key, matcher, presenter)

    def leave(self, audience: Audience, watcher: Watcher) -> None:
        """Forget a watcher; may be called twice."""
        audience.watchers.discard(watcher)
        here = self._audiences.get(audience.place, {})
        if not audience.watchers and here.get(audience.key) is audience:
            del here[audience.key]
            if not here:
                del self._audiences[audience.place]

    def _publish(self, event: Event) -> None:
        collection, namespace, name = event.record.location
        telling: Telling | None = None
        for place in {(namespace, name), (namespace, ""), ("", name), ("", "")}:
            for audience in self._audiences.get(Location(collection, *place), {}).values():
                telling = telling or Telling(event, self._clock())
                if audience.tell(telling):
                    self._delivery.announce(audience)

    def _all(self) -> Iterable[Audience]:
        return [audience for audiences in self._audiences.values() for audience in audiences.values()]

    def bookmark_revision(self) -> int | None:
        """Return the revision up to which every watcher was told everything; None while events are on their way."""
        return self._store.revision if self._delivery.done else None

    def close(self, resource: Resource | None = None) -> None:
        """End all watches and begin no more, or end those of one resource that is no longer served."""
        self._stopping = self._stopping or resource is None
        self._delivery.finish()
        for place, audiences in self._audiences.items():
            if resource is None or place.collection == collection_of(resource):
                for audience in audiences.values():
                    for watcher in audience.watchers:
                        watcher.close()


class WatchStream:
    """The lines of one watch: state first if wanted, then events, with bookmarks between; ends at its time-out."""

    def __init__(
        self,
        hub: WatchHub,
        audience: Audience,
        watcher: Watcher,
        initial: list[Record],
        revision: int,
        options: ListOptions,
        clock: Callable[[], datetime],
    ) -> None:
        self.watcher = watcher
        self._hub = hub
        self._audience = audience
        self._presenter = audience.presenter
        self._initial = initial
        self._revision = revision
        self._options = options
        self._clock = clock

    def leave(self) -> None:
        """End this watch's part in the hub; may be called twice."""
        self._hub.leave(self._audience, self.watcher)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield whole lines, several at once where several are there; what the watcher pushes does not come here."""
        try:
            async for chunk in self._state():
                yield chunk
            async for chunk in self._live():
                yield chunk
        finally:
            self.leave()

    async def _state(self) -> AsyncIterator[bytes]:
        now = self._clock()
        lines: list[bytes] = []
        size = 0
        for position, record in enumerate(self._initial):
            lines.append(self._presenter.event("ADDED", record, now, with_columns=position == 0))
            size += len(lines[-1])
            if size > CHUNK_BYTES:
                yield b"".join(lines)
                await asyncio.sleep(0)  # others get their turn during a long list
                lines, size = [], 0
        if self._options.initial_events and self._options.bookmarks:
            lines.append(self._presenter.bookmark(self._revision, initial_events_end=True))
        self._initial = []
        if lines:
            yield b"".join(lines)

    async def _live(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + (self._options.timeout_seconds or random.randint(_SHORTEST, _LONGEST))  # noqa: S311 - spread, no secret
        pause = BOOKMARK_SECONDS
        while (left := end - loop.time()) > 0:
            chunk = await self.watcher.fetch(min(left, pause))
            pause = BOOKMARK_SECONDS
            if chunk:
                yield chunk
            elif self.watcher.closed:
                return
            elif self._options.bookmarks:
                revision = self._hub.bookmark_revision()
                if revision is None:
                    pause = _BUSY_SECONDS
                else:
                    yield self._presenter.bookmark(revision, initial_events_end=False)
