import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from roadstead.service.health import NOT_SERVING, SERVING, Health
from roadstead.service.health_methods import SERVICE_NAME
from roadstead.service.interceptors import ThreadChain
from roadstead.service.thread_health import ThreadHealth, thread_health_handlers

CHECK = health_pb2.HealthCheckRequest
NAMES = health_pb2.HealthCheckResponse.ServingStatus.Name


@pytest.fixture(params=["async", "threads"])
def bed(request):
    """A health service on a server, a stub for it, and how to call a function where the service runs."""
    with request.getfixturevalue(f"{request.param}_bed") as made:
        yield made


@pytest.fixture
def threads_bed():
    return _threads_bed()


@contextmanager
def _threads_bed():
    health = ThreadHealth(["a.Service"])
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[ThreadChain()])
    server.add_registered_method_handlers(SERVICE_NAME, thread_health_handlers(health))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health, health_pb2_grpc.HealthStub(channel), lambda function, *words: function(*words)
    server.stop(None).wait()


@pytest.fixture
def async_bed(loop_thread):
    return _async_bed(loop_thread)


@contextmanager
def _async_bed(loop_thread):
    async def start():
        health, server = Health(["a.Service"]), grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return health, server, port

    health, server, port = loop_thread.run(start())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health, health_pb2_grpc.HealthStub(channel), loop_thread.loop.call_soon_threadsafe
    loop_thread.run(server.stop(None))


def check(stub, service: str) -> str:
    return NAMES(stub.Check(CHECK(service=service), timeout=10).status)


def test_each_service_has_a_status(bed):
    health, stub, _ = bed
    assert [check(stub, name) for name in ("", "a.Service")] == ["NOT_SERVING"] * 2
    health.set("a.Service", SERVING)
    assert [check(stub, name) for name in ("", "a.Service")] == ["NOT_SERVING", "SERVING"]
    with pytest.raises(grpc.RpcError) as caught:
        check(stub, "b.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_watch_tells_changes_and_only_changes(bed):
    health, stub, soon = bed
    watch = stub.Watch(CHECK(service="a.Service"), timeout=10)
    assert NAMES(next(watch).status) == "NOT_SERVING"
    soon(health.set, "a.Service", NOT_SERVING)
    soon(health.set, "a.Service", SERVING)
    assert NAMES(next(watch).status) == "SERVING"
    soon(health.drain)
    assert NAMES(next(watch).status) == "NOT_SERVING"


def test_a_watch_of_what_is_not_there_waits_for_it(bed):
    health, stub, soon = bed
    watch = stub.Watch(CHECK(service="later.Service"), timeout=10)
    assert NAMES(next(watch).status) == "SERVICE_UNKNOWN"
    soon(health.set, "later.Service", SERVING)
    assert NAMES(next(watch).status) == "SERVING"


def test_a_draining_server_never_serves_again(bed):
    health, stub, _ = bed
    health.drain()
    health.set("a.Service", SERVING)
    assert check(stub, "a.Service") == "NOT_SERVING"


def test_watchers_do_not_hold_up_a_server_that_stops(bed):
    health, stub, soon = bed
    watch = stub.Watch(CHECK(service=""), timeout=10)
    next(watch)
    soon(health.close)
    with pytest.raises(grpc.RpcError) as caught:
        next(watch)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_watcher_that_does_not_read_holds_nobody_up():
    class Stuck:
        async def write(self, response) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        health = Health(["a.Service"])
        stuck = asyncio.get_running_loop().create_task(health.Watch(CHECK(service=""), Stuck()))
        await asyncio.sleep(0)
        health.drain()
        health.close()
        stuck.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 5))
