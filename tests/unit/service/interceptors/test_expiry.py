import time

import pytest

from roadstead.service.identity import Identity
from roadstead.service.interceptors import Call, Expiry, Stage


class Arriving(Stage):
    """Every caller has a credential that expires in so many seconds."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def admit(self, call: Call) -> None:
        expires = None if self._seconds is None else time.time() + self._seconds
        call.identity = Identity("alice", "token", expires=expires)


def test_a_stream_ends_with_its_credential_and_a_unary_call_goes_on(serving, server_sort, kind, recorder):
    with serving(server_sort, recorder, Arriving(0.1), Expiry(skew=0.1)) as client:
        ended = client.call(kind, b"sleep" if kind != "unary_unary" else b"hello")
        if kind == "unary_unary":
            assert ended.code == "OK"
        else:
            assert (ended.code, ended.details) == ("UNAUTHENTICATED", "the credentials have expired")
            assert ended.seconds < 4
            assert recorder.wait(1) == [(f"test.Echo/{kind}", "UNAUTHENTICATED")]


@pytest.mark.parametrize(("streams", "expires", "limit"), [
    (True, 1000.0, 130.0), (True, None, None), (False, 1000.0, None), (True, 100.0, 0.0),
])  # fmt: skip
def test_the_limit(streams, expires, limit):
    call = Call("test.Echo/x", (), 0.0, streams=streams)
    call.identity = Identity("alice", "token", expires=expires)
    assert Expiry(skew=30, clock=lambda: 900.0).enter(call) is None
    assert call.time_limit == limit


def test_a_nearer_limit_stays():
    call = Call("test.Echo/x", (), 0.0, streams=True)
    call.limit(5)
    call.identity = Identity("alice", "token", expires=1000.0)
    Expiry(clock=lambda: 900.0).enter(call)
    assert (call.time_limit, call.limit_refusal.code.name) == (5, "DEADLINE_EXCEEDED")
