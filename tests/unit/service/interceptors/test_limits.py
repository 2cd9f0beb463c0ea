import grpc
import pytest
from echo_service import GATE, OWN_SERVERS
from grpc_health.v1 import health_pb2
from polling import wait_until

from roadstead.service.identity import Identity
from roadstead.service.interceptors import Call, Concurrency, Rate, Stage


class Named(Stage):
    """Believes every caller's name."""

    def admit(self, call):
        name = dict(call.metadata).get("name")
        call.identity = Identity(name=name, proof="password") if name else None


CHECK = health_pb2.HealthCheckRequest()
ALICE, BOB = (("name", "alice"),), (("name", "bob"),)


@pytest.mark.parametrize("caller", [ALICE, ()])
def test_a_caller_has_so_many_calls_at_once(serving, server_sort, kind, caller):
    limit = Concurrency(2)
    with serving(server_sort, Named(), limit) as client:
        GATE.clear()
        first = [client.open(kind, b"gate", caller) for _ in range(2)]
        wait_until(lambda: list(limit._running.values()) == [2])
        assert client.call(kind, b"hello", metadata=caller).code == "RESOURCE_EXHAUSTED"
        assert client.call(kind, b"hello", metadata=BOB).code == "OK", "others are not held up"
        GATE.set()
        for call in first:
            assert b"re:gate" in (call.result() if kind.endswith("unary") else next(call))
        wait_until(lambda: client.call(kind, b"hello", metadata=caller).code == "OK")


def test_a_caller_has_so_many_calls_per_second(serving, server_sort, kind):
    now = 0.0
    with serving(server_sort, Named(), Rate(10, burst=2, clock=lambda: now)) as client:

        def call(metadata=ALICE) -> str:
            return client.call(kind, b"hello", metadata=metadata).code

        assert [call() for _ in range(4)] == ["OK", "OK", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]
        assert call(BOB) == "OK"
        now = 0.1
        assert [call(), call()] == ["OK", "RESOURCE_EXHAUSTED"]
        told = client.call(kind, b"hello", metadata=ALICE)
        assert (told.code, told.trailing["grpc-retry-pushback-ms"]) == ("RESOURCE_EXHAUSTED", "100")


def test_callers_who_have_left_are_forgotten():
    stage = Concurrency(1)
    for number in range(100):
        call = Call("a.B/C", (), 0.0)
        call.identity = Identity(name=f"user-{number}", proof="password")
        assert stage.enter(call) is None
        assert stage.enter(call).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        stage.leave(call)
    assert stage._running == {}


@pytest.mark.parametrize("server_sort", OWN_SERVERS)
def test_health_is_neither_refused_nor_counted(serving, server_sort):
    limit = Concurrency(1)
    with serving(server_sort, limit, Rate(1, burst=2, clock=lambda: 0.0)) as client, client.health() as health:
        watches = [health.Watch(CHECK) for _ in range(2)]
        assert [next(watch).status for watch in watches] == [1, 1], "a probe beside one that is running"
        assert [health.Check(CHECK, timeout=10).status for _ in range(3)] == [1, 1, 1]
        assert limit._running == {}
        GATE.clear()
        held = client.open("unary_unary", b"gate")
        wait_until(lambda: list(limit._running.values()) == [1])
        assert client.call("unary_unary", b"hello").details == "too many calls at once"
        for watch in watches:
            watch.cancel()
        assert health.Check(CHECK, timeout=10).status == 1, "a probe from an address that is at its limit"
        assert list(limit._running.values()) == [1]
        GATE.set()
        assert held.result() == b"re:gate"
        wait_until(lambda: limit._running == {})
        assert client.call("unary_unary", b"hello").code == "OK", "the second of two: no probe took one"
        assert client.call("unary_unary", b"hello").details == "too many calls"
        assert health.Check(CHECK, timeout=10).status == 1
