"""How a server leaves: SIGTERM → NOT_SERVING → lame duck → GOAWAY, running RPCs finish → exit 0.

`stop` closes the listening socket at once, while kube-proxy and Envoy go on sending new connections until they have
heard that the pod is leaving. So the server first says NOT_SERVING and keeps serving for `lame_duck` seconds. A second
signal skips what is left of the waiting, whenever it comes: running RPCs are cancelled then.
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
# Seconds after which a signal is noticed that came in the moment before its thread went to sleep: then Python does not
# run the handler before something wakes the thread.
_NAP = 0.5


class Drain(msgspec.Struct, frozen=True):
    """How long to leave: `lame_duck` seconds until others have heard of it, then `grace` for running RPCs.

    Together they belong below the pod's `terminationGracePeriodSeconds` (30 by default).
    """

    lame_duck: float = 1.5
    grace: float = 20.0


class Stoppable(Protocol):
    """The part of `grpc.aio.Server` that leaving needs."""

    async def stop(self, grace: float | None) -> None:
        """Send GOAWAY, let RPCs finish within `grace` seconds, then cancel them; asked again, by the shorter grace."""


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
        await self._stop(server)
        _log.info("stopped")

    async def _stop(self, server: Stoppable) -> None:
        if self._hurried.is_set():
            await server.stop(0)
            return
        async with asyncio.TaskGroup() as group:
            hurrying = group.create_task(self._hurry(server))
            await server.stop(self._drain.grace)
            if not self._hurried.is_set():
                hurrying.cancel()

    async def _hurry(self, server: Stoppable) -> None:
        await self._hurried.wait()
        await server.stop(0)  # beside the call that waits; of several the shortest grace counts

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
        """Send GOAWAY, let RPCs finish within `grace` seconds, then cancel them; set the event when that is done.

        Asked again, do so by the shorter grace.
        """


class ThreadLifecycle:
    """`Lifecycle` for threads. `leaving` is set as soon as the server is to leave."""

    def __init__(self, health: Board, drain: Drain) -> None:
        self._health = health
        self._drain = drain
        # A signal's handler runs in the middle of anything, so it may take no lock; a SimpleQueue's `put` needs none.
        # It says whether somebody asks; the other word is that the server has stopped.
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.leaving = threading.Event()

    def leave(self) -> None:
        """Begin to leave; asked again, hurry."""
        self._asked.put(True)

    def run(self, server: ThreadStoppable) -> None:
        """Wait until asked to leave, then leave."""
        self._next_word()
        self.leaving.set()
        _begin(self._health, self._drain)
        hurried = self._is_asked_within(self._drain.lame_duck)
        self._health.close()
        stopped = server.stop(0 if hurried else self._drain.grace)
        if not hurried and self._is_asked_before(stopped):
            server.stop(0)
        stopped.wait()
        _log.info("stopped")

    def _is_asked_within(self, seconds: float) -> bool:
        try:
            self._asked.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _is_asked_before(self, stopped: threading.Event) -> bool:
        def tell() -> None:
            stopped.wait()
            self._asked.put(False)

        threading.Thread(target=tell, name="lifecycle", daemon=True).start()
        return self._next_word()

    def _next_word(self) -> bool:
        while True:
            try:
                return self._asked.get(timeout=_NAP)
            except queue.Empty:
                continue

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
