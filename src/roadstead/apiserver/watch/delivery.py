"""Handing lines to many watchers, without keeping anybody else waiting.

What happened in one turn of the event loop goes out together, a block per audience. Handing out may take at most about
half of the loop's time: after each slice it rests as long as the slice took. So with few watchers every write goes out
at once, and with many the writes of a few milliseconds share their way.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice

from roadstead.apiserver.watch.audience import Audience
from roadstead.apiserver.watch.watcher import Watcher

_SLICE_SECONDS = 0.005
_BETWEEN_LOOKS = 16  # watchers that are served before the clock is looked at


class Delivery:
    """The way from audiences to their watchers, in order for each."""

    def __init__(self) -> None:
        self._due: dict[Audience, None] = {}
        self._rounds: deque[tuple[bytes, Iterator[Watcher]]] = deque()
        self._turn: asyncio.Handle | None = None
        self._rest_until = 0.0

    @property
    def done(self) -> bool:
        """Whether every watcher was handed everything."""
        return not self._due and not self._rounds

    def announce(self, audience: Audience) -> None:
        """Note that lines gathered for an audience; they go out soon."""
        self._due[audience] = None
        self._schedule()

    def admit(self, audience: Audience, watcher: Watcher) -> None:
        """Let a watcher in to what happens from now on; what gathered before is for those who were there."""
        self._begin_round(audience)
        audience.watchers.add(watcher)

    def finish(self) -> None:
        """Hand out everything now."""
        self._begin_rounds()
        while self._rounds:
            self._hand_out(_BETWEEN_LOOKS)

    def _begin_rounds(self) -> None:
        for audience in list(self._due):
            self._begin_round(audience)

    def _begin_round(self, audience: Audience) -> None:
        if audience in self._due:
            del self._due[audience]
            self._rounds.append((audience.gathered(), iter(tuple(audience.watchers))))

    def _schedule(self) -> None:
        if self._turn is None:
            loop = asyncio.get_running_loop()
            resting = self._rest_until > loop.time()
            self._turn = loop.call_at(self._rest_until, self._work) if resting else loop.call_soon(self._work)

    def _work(self) -> None:
        time = asyncio.get_running_loop().time
        self._turn = None
        begun = time()
        self._begin_rounds()
        while self._rounds and time() - begun < _SLICE_SECONDS:
            self._hand_out(_BETWEEN_LOOKS)
        now = time()
        self._rest_until = now + (now - begun)
        if self._rounds:
            self._schedule()

    def _hand_out(self, count: int) -> None:
        block, watchers = self._rounds[0]
        served = 0
        for watcher in islice(watchers, count):
            watcher.take(block)
            served += 1
        if served < count:
            self._rounds.popleft()
