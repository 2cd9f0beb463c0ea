import asyncio
import os
import signal
import sys
import threading

import pytest

from roadstead.service import Drain, Server, ThreadedServer, run, running


@pytest.fixture(params=[Server, ThreadedServer])
def server(request):
    made = request.param(port=0, address="127.0.0.1", drain=Drain(0, 0))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_serves_until_it_is_to_leave(server, monkeypatch):
    # In a loop of asyncio's, whatever is installed: one poller of grpc.aio's serves all tests of a run.
    monkeypatch.setattr(running, "_loop_factory", lambda: None)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    run(server)
    assert server.health.status("") == 2


def test_uvloop_is_used_if_it_is_there(monkeypatch):
    uvloop = pytest.importorskip("uvloop")
    factory = running._loop_factory()
    loop = factory()
    assert isinstance(loop, uvloop.Loop)
    loop.close()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(running.importlib.util, "find_spec", lambda name: None)
    assert running._loop_factory() is None


def test_the_parent_of_several_processes_needs_no_loop(monkeypatch):
    server = Server(port=0, processes=3)
    asked = []
    monkeypatch.setattr(Server, "supervise", lambda self: asked.append(self) or True)
    monkeypatch.setattr(asyncio, "Runner", None)
    run(server)
    assert asked == [server]


def test_several_processes_are_started_by_run_alone():
    with pytest.raises(RuntimeError, match=r"served by run\(\)"):
        ThreadedServer(port=0, processes=2).start()
