"""What only threads can run out of; the protocol itself is in `test_health.py`, for both."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from roadstead.service import thread_health as module
from roadstead.service.health import SERVING
from roadstead.service.health_methods import SERVICE_NAME
from roadstead.service.interceptors import ThreadChain
from roadstead.service.thread_health import ThreadHealth, thread_health_handlers

CHECK = health_pb2.HealthCheckRequest


class Bed(NamedTuple):
    health: ThreadHealth
    stub: health_pb2_grpc.HealthStub
    target: str


@pytest.fixture
def bed(monkeypatch):
    monkeypatch.setattr(module, "_MOST_WATCHERS", 3)
    health = ThreadHealth()
    # No thread at all for RPCs would be an error; one, which nobody gets, is as good.
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[ThreadChain()])
    server.add_registered_method_handlers(SERVICE_NAME, thread_health_handlers(health))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Bed(health, health_pb2_grpc.HealthStub(channel), f"127.0.0.1:{port}")
    server.stop(None).wait()


def test_watchers_do_not_keep_a_probe_waiting(bed):
    health, stub, _ = bed
    health.set("", SERVING)
    watches = [stub.Watch(CHECK(), timeout=20) for _ in range(3)]
    assert [next(watch).status for watch in watches] == [SERVING] * 3
    assert stub.Check(CHECK(), timeout=5).status == SERVING


def test_one_watcher_too_many_is_told_so_and_one_who_leaves_makes_room(bed):
    _, stub, _ = bed
    with ExitStack() as stack:
        watches = [stub.Watch(CHECK(), timeout=20) for _ in range(3)]
        for watch in watches:
            stack.callback(watch.cancel)
            next(watch)
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Watch(CHECK(), timeout=5))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches[0].cancel()
        deadline = time.monotonic() + 10
        while _refused(stub):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_callers_who_send_nothing_do_not_keep_a_probe_waiting(bed, method):
    """Anybody may call health, without credentials and as often as he likes."""
    health, stub, _ = bed
    health.set("", SERVING)
    sent = threading.Event()

    def nothing():
        sent.wait(60)
        yield from ()

    with grpc.insecure_channel(bed.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_stream(f"/{SERVICE_NAME}/{method}")
        silent = [call(nothing()) for _ in range(40)]
        assert stub.Check(CHECK(), timeout=20).status == SERVING
        assert next(stub.Watch(CHECK(), timeout=20)).status == SERVING
        assert {each.code() for each in silent} == {grpc.StatusCode.CANCELLED}
        sent.set()


def _refused(stub) -> bool:
    watch = stub.Watch(CHECK(), timeout=5)
    try:
        next(watch)
    except grpc.RpcError:
        return True
    watch.cancel()
    return False
