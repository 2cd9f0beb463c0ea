import asyncio
import threading
import time

from polling import PATIENCE, until

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
