"""How a server leaves: SIGTERM → NOT_SERVING → lame duck → GOAWAY, running RPCs finish → exit 0.

`stop` closes the listening socket at once, while kube-proxy and Envoy go on sending new connections until they have
heard that the pod is leaving. So the server first says NOT_SERVING and keeps serving for `lame_duck` seconds. A second
signal skips what is left of the waiting.
"""

import asyncio
import queue
import signal
import threading
from typing import Any, Protocol

import msgspec
import structlog

from roadstead.service.health import Board, Health

_log = structlog.get_logger(__name__)


class Drain(msgspec.Struct, frozen=True):
    """How long to leave: `lame_duck` seconds until others have heard of it, then `grace` for running RPCs.

    Together they belong below the pod's `terminationGracePeriodSeconds` (30 by default).
    """

    lame_duck: float = 1.5
    grace: float = 20.0


class Stoppable(Protocol):
    """The part of `grpc.aio.Server` that leaving needs."""

    async def stop(self, grace: float | None) -> None:
        """Send GOAWAY, let RPCs finish within `grace` seconds, then cancel them."""


class Lifecycle:
    """Leaves once, however often and by whomever it is asked."""

    def __init__(self, health: Health, drain: Drain) -> None:
        self._health = health
        self._drain = drain
        self._leaving = asyncio.Event()
        self._hurried = asyncio.Event()

    @property
    def leaving(self) -> asyncio.Event:
        """Set as soon as the server is to leave: endless streams should end themselves now."""
        return self._leaving

    def leave(self) -> None:
        """Begin to leave; asked again, hurry."""
        if self._leaving.is_set():
            self._hurried.set()
        self._leaving.set()

    async def run(self, server: Stoppable) -> None:
        """Wait until asked to leave, then leave."""
        await self._leaving.wait()
        _begin(self._health, self._drain)
        await self._pause(self._drain.lame_duck)
        self._health.close()
        await server.stop(0 if self._hurried.is_set() else self._drain.grace)
        _log.info("stopped")

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            return

    def listen(self, loop: asyncio.AbstractEventLoop, *, interrupt: bool = True) -> None:
        """Leave on SIGTERM and SIGINT; without `interrupt`, ignore SIGINT."""
        loop.add_signal_handler(signal.SIGTERM, self.leave)
        if interrupt:
            loop.add_signal_handler(signal.SIGINT, self.leave)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class ThreadStoppable(Protocol):
    """The part of `grpc.Server` that leaving needs."""

    def stop(self, grace: float | None) -> threading.Event:
        """Send GOAWAY, let RPCs finish within `grace` seconds, then cancel them; set the event when that is done."""


class ThreadLifecycle:
    """`Lifecycle` for threads. `leaving` is set as soon as the server is to leave."""

    def __init__(self, health: Board, drain: Drain) -> None:
        self._health = health
        self._drain = drain
        # A signal's handler runs in the middle of anything, so it may take no lock; a SimpleQueue's `put` needs none.
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.leaving = threading.Event()

    def leave(self) -> None:
        """Begin to leave; asked again, hurry."""
        self._asked.put(None)

    def run(self, server: ThreadStoppable) -> None:
        """Wait until asked to leave, then leave."""
        self._asked.get()
        self.leaving.set()
        _begin(self._health, self._drain)
        hurried = self._is_asked_within(self._drain.lame_duck)
        self._health.close()
        server.stop(0 if hurried else self._drain.grace).wait()
        _log.info("stopped")

    def _is_asked_within(self, seconds: float) -> bool:
        try:
            self._asked.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def listen(self, *, interrupt: bool = True) -> None:
        """Leave on SIGTERM and SIGINT; without `interrupt`, ignore SIGINT. Only the main thread may ask for this."""

        def asked(_number: int, _frame: Any) -> None:
            self.leave()

        signal.signal(signal.SIGTERM, asked)
        # A terminal interrupts the whole group of processes; then it is for their parent to say what that means.
        signal.signal(signal.SIGINT, asked if interrupt else signal.SIG_IGN)


def _begin(health: Board, drain: Drain) -> None:
    health.drain()
    _log.info("draining", lame_duck=drain.lame_duck, grace=drain.grace)
