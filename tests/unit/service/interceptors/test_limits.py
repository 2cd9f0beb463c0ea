import grpc
import pytest
from echo_service import GATE, OWN_SERVERS
from grpc_health.v1 import health_pb2
from polling import wait_until

from roadstead.service.credentials.forwarded import TrustedGateways
from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authentication, Call, Concurrency, Deadline, Rate, Stage
from roadstead.service.interceptors.limits import caller_of


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


def test_behind_a_gateway_that_is_named_each_client_has_limits_of_his_own(serving, server_sort, kind):
    gateways = TrustedGateways.of(networks=["127.0.0.0/8"])
    authentication = Authentication(is_open=lambda _: True, gateways=gateways)
    places = Concurrency(5)
    with serving(server_sort, authentication, Rate(1, burst=1, clock=lambda: 0.0), places) as client:

        def call(address: str) -> str:
            return client.call(kind, b"hello", metadata=(("x-forwarded-for", address),)).code

        assert [call("198.51.100.1"), call("198.51.100.1")] == ["OK", "RESOURCE_EXHAUSTED"]
        assert call("198.51.100.2") == "OK"
        wait_until(lambda: places._running == {})


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


@pytest.mark.parametrize(("make", "problem"), [
    (lambda: Concurrency(0), "Concurrency: limit must be 1 or more, not 0"),
    (lambda: Rate(0), "Rate: per_second must be more than 0, not 0"),
    (lambda: Rate(float("nan")), "Rate: per_second must be more than 0, not nan"),
    (lambda: Rate(5, burst=0), "Rate: burst must be 1 or more, not 0"),
    (lambda: Deadline(default=0), "Deadline: default must be more than 0 seconds, not 0"),
    (lambda: Deadline(cap=-1), "Deadline: cap must be more than 0 seconds, not -1"),
])  # fmt: skip
def test_a_limit_that_would_refuse_everybody_is_a_mistake(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()


@pytest.mark.parametrize(("one", "other", "are_one"), [
    ("ipv4:192.0.2.1:5", "ipv4:192.0.2.1:6", True),
    ("ipv4:192.0.2.1:5", "ipv4:192.0.2.2:5", False),
    ("ipv6:%5B2001:db8::1%5D:5", "ipv6:%5B2001:db8::2%5D:5", True),
    ("ipv6:%5B2001:db8::1%5D:5", "ipv6:%5B2001:db8:0:1::1%5D:5", False),
    ("ipv6:%5B::ffff:192.0.2.1%5D:5", "ipv4:192.0.2.1:6", True),
    ("unix:/run/a", "unix:/run/a", True),
])  # fmt: skip
def test_whom_an_address_stands_for(one, other, are_one):
    callers = {caller_of(Call("a.B/C", (), 0.0, peer=peer)) for peer in (one, other)}
    assert len(callers) == (1 if are_one else 2)


def test_an_identity_is_no_address():
    call = Call("a.B/C", (), 0.0, peer="ipv4:192.0.2.1:5")
    stranger = caller_of(call)
    call.identity = Identity(name="192.0.2.1", proof="token")
    assert caller_of(call) != stranger


def test_ten_thousand_callers_do_not_make_room_for_more_calls_of_one():
    stage = Rate(1, burst=2, clock=lambda: 0.0)

    def call(name: str) -> bool:
        made = Call("a.B/C", (), 0.0, identity=Identity(name=name, proof="token"))
        return stage.enter(made) is None

    assert [call("mallory") for _ in range(3)] == [True, True, False]
    assert all(call(f"user-{number}") for number in range(20_000))
    assert not call("mallory")
