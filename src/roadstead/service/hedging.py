"""Asking a second server when the first is slow: hedging, which grpc's service config promises and grpcio ignores.

Only for methods that may be carried out twice. A call that has no answer after `delay` is sent again, to the next pod
if calls go round; the first answer counts and the others are cancelled. A budget keeps hedges few: servers that are
slow because they are busy must not get twice the calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import msgspec

_PUSHBACK = "grpc-retry-pushback-ms"


class Hedging(msgspec.Struct, frozen=True):
    """Up to `attempts` calls in all, each `delay` seconds after the one before, or as soon as that was UNAVAILABLE.

    On average no more than `budget` hedges are sent per call, and ten at once. Raises ValueError for no attempt at all.
    """

    delay: float = 0.05
    attempts: int = 2
    budget: float = 0.1

    def __post_init__(self) -> None:
        """Check the number of attempts."""
        if self.attempts < 1:
            raise ValueError(f"Hedging: attempts must be 1 or more, not {self.attempts}")


class Budget:
    """What may still be spent on hedges. For one event loop."""

    def __init__(self, per_call: float, most: float = 10.0) -> None:
        self._per_call = per_call
        self._most = most
        self._tokens = most

    def earn(self) -> None:
        """Count a call."""
        self._tokens = min(self._most, self._tokens + self._per_call)

    def spend(self) -> bool:
        """Take the price of a hedge, if it is there."""
        affordable = self._tokens >= 1.0
        self._tokens -= affordable
        return affordable


async def hedged(start: Callable[[], Awaitable[Any]], hedging: Hedging, budget: Budget) -> Any:
    """Return the grpc.aio call that ended first with something to say, of those that `start` starts.

    An UNAVAILABLE is nothing to say while another call is running or may be started.
    """
    budget.earn()
    race = _Race(start, hedging, budget)
    try:
        await race.begin()
        while (decided := await race.next_event()) is None:
            pass
        return decided
    finally:
        race.cancel()


class _Race:
    def __init__(self, start: Callable[[], Awaitable[Any]], hedging: Hedging, budget: Budget) -> None:
        self._start = start
        self._delay = hedging.delay
        self._left = hedging.attempts
        self._budget = budget
        self._running: list[Any] = []
        self._ended: asyncio.Queue[Any] = asyncio.Queue()

    async def begin(self) -> None:
        """Start one more call."""
        self._left -= 1
        call = await self._start()
        self._running.append(call)
        call.add_done_callback(self._ended.put_nowait)

    async def next_event(self) -> Any:
        """Wait until a call ends, or until it is time for another. Returns the call that decides, if there is one."""
        ended = await self._next_ended()
        if ended is None:
            await self._begin_another()
            return None
        self._running.remove(ended)
        if await ended.code() is not grpc.StatusCode.UNAVAILABLE:
            return ended
        if await _asks_for_rest(ended):
            self._left = 0
        await self._begin_another()
        return None if self._running else ended

    def cancel(self) -> None:
        """Cancel whatever is still running."""
        for call in self._running:
            call.cancel()

    async def _next_ended(self) -> Any:
        if not self._left:
            return await self._ended.get()
        try:
            async with asyncio.timeout(self._delay):
                return await self._ended.get()
        except TimeoutError:
            return None

    async def _begin_another(self) -> None:
        if self._left and self._budget.spend():
            await self.begin()
        else:
            self._left = 0


async def _asks_for_rest(call: Any) -> bool:
    return any(key == _PUSHBACK for key, _ in await call.trailing_metadata() or ())
