import asyncio
import os
import signal
import threading
import time
from contextlib import contextmanager

import grpc
import pytest
from echo_service import AT_GATE, GATE, Client, async_handlers, sync_handlers
from polling import PATIENCE, until, wait_until

from roadstead.service import Server as OwnServer
from roadstead.service import ThreadedServer
from roadstead.service.health import Health
from roadstead.service.lifecycle import Drain, Lifecycle, ThreadLifecycle
from roadstead.service.thread_health import ThreadHealth


class Server:
    """Notes what is asked of it, with what health said at that moment."""

    def __init__(self, health: Health) -> None:
        self.stopped: list[tuple[float | None, set[int]]] = []
        self._health = health

    async def stop(self, grace: float | None) -> None:
        self.stopped.append((grace, set(self._health._statuses.values())))
        self.at = time.monotonic()


def test_it_leaves_only_when_it_is_asked_and_in_order():
    async def scenario() -> None:
        health = Health(["a.Service"])
        lifecycle, server = Lifecycle(health, Drain(lame_duck=0.05, grace=7)), Server(health)
        health.set_all(1)
        running = asyncio.get_running_loop().create_task(lifecycle.run(server))
        await asyncio.sleep(0.02)
        assert server.stopped == []
        left = time.monotonic()
        lifecycle.leave()
        await until(lambda: set(health._statuses.values()) == {2})
        await running
        assert server.stopped == [(7, {2})]
        assert server.at - left >= 0.05, "NOT_SERVING, and still open"

    asyncio.run(scenario())


def test_a_second_request_hurries_it():
    async def scenario() -> None:
        health = Health()
        lifecycle, server = Lifecycle(health, Drain(lame_duck=60, grace=60)), Server(health)
        running = asyncio.get_running_loop().create_task(lifecycle.run(server))
        await asyncio.sleep(0)
        started = time.monotonic()
        lifecycle.leave()
        lifecycle.leave()
        await asyncio.wait_for(running, 5)
        assert time.monotonic() - started < 5
        assert server.stopped[0][0] == 0

    asyncio.run(scenario())


def test_endless_streams_can_hear_of_it():
    lifecycle = Lifecycle(Health(), Drain())
    assert not lifecycle.leaving.is_set()
    lifecycle.leave()
    assert lifecycle.leaving.is_set()


class ThreadServer:
    def __init__(self, health: ThreadHealth) -> None:
        self.stopped: list[tuple[float | None, set[int]]] = []
        self._health = health

    def stop(self, grace: float | None) -> threading.Event:
        self.stopped.append((grace, set(self._health._statuses.values())))
        self.at = time.monotonic()
        done = threading.Event()
        done.set()
        return done


def test_threads_leave_only_when_they_are_asked_and_in_order():
    health = ThreadHealth(["a.Service"])
    lifecycle, server = ThreadLifecycle(health, Drain(lame_duck=0.3, grace=7)), ThreadServer(health)
    health.set_all(1)
    running = threading.Thread(target=lifecycle.run, args=(server,))
    running.start()
    assert not lifecycle.leaving.wait(0.02)
    left = time.monotonic()
    lifecycle.leave()
    assert lifecycle.leaving.wait(PATIENCE)
    running.join(PATIENCE)
    assert server.stopped == [(7, {2})]
    assert server.at - left >= 0.3, "NOT_SERVING, and still open"


def test_a_second_request_hurries_threads():
    health = ThreadHealth()
    lifecycle, server = ThreadLifecycle(health, Drain(lame_duck=60, grace=60)), ThreadServer(health)
    lifecycle.leave()
    lifecycle.leave()
    started = time.monotonic()
    lifecycle.run(server)
    assert time.monotonic() - started < 5
    assert server.stopped == [(0, {2})]


@contextmanager
def handling_signals():
    """Give the signals back that a server's `listen` has taken."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


LONG = Drain(lame_duck=0, grace=600)


class Caller(threading.Thread):
    """Calls a handler that never returns, tells the server to leave, and once more when the grace period has begun."""

    def __init__(self, ask) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self.server = None
        self.codes: list[grpc.StatusCode] = []
        self.waited = False

    def run(self) -> None:
        wait_until(lambda: self.server.health.status("") == 1)
        client = Client(self.server.port)
        AT_GATE.clear()
        GATE.clear()
        endless = [client.open(kind, b"gate") for kind in ("unary_unary", "stream_stream")]
        assert AT_GATE.wait(PATIENCE)
        self._ask(self.server)
        # The listener is closed as the first thing of the grace period.
        fresh = Client(self.server.port)
        wait_until(lambda: fresh.call("unary_unary", b"late", timeout=5).code == "UNAVAILABLE")
        self.waited = not any(call.done() for call in endless)
        self._ask(self.server)
        self.codes = [call.code() for call in endless]
        GATE.set()
        client.close()
        fresh.close()

    def was_cut_short(self) -> bool:
        cut = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
        return self.waited and len(self.codes) == 2 and cut.issuperset(self.codes)


def kill(_server) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("ask", [kill, lambda server: server.lifecycle.leave()], ids=["signal", "leave"])
def test_a_second_request_cuts_the_grace_of_threads_short(ask):
    caller = Caller(ask)
    server = caller.server = ThreadedServer(port=0, address="127.0.0.1", drain=LONG)
    server.add_registered_method_handlers("test.Echo", sync_handlers())
    caller.start()
    with handling_signals():
        server.run()
    caller.join(PATIENCE)
    assert caller.was_cut_short()


def test_a_second_request_cuts_the_grace_short(loop_thread):
    caller = Caller(lambda server: loop_thread.loop.call_soon_threadsafe(server.lifecycle.leave))
    server = caller.server = OwnServer(port=0, address="127.0.0.1", drain=LONG)
    server.add_registered_method_handlers("test.Echo", async_handlers())

    async def serve() -> None:
        await server.start()
        await server.wait()

    caller.start()
    loop_thread.run(serve(), PATIENCE)
    caller.join(PATIENCE)
    assert caller.was_cut_short()
