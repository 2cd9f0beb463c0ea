import pytest
from structlog.testing import capture_logs

from roadstead.service.identity import Identity
from roadstead.service.interceptors import AccessLog, Authentication, Errors
from roadstead.service.refusal import unauthenticated


class Passwords:
    def verify(self, claim, client):
        if claim.password == "wonderland":
            return Identity(name=claim.name, proof="password")
        return unauthenticated("wrong password")


@pytest.fixture
def logged(serving, server_sort, kind, recorder):
    """Make a call and return its one log event."""

    def logged(word: bytes, *metadata: tuple[str, str]) -> dict:
        before = len(recorder.seen)
        with capture_logs() as logs, serving(server_sort, AccessLog(), recorder, Errors(), AUTHENTICATION) as client:
            client.call(kind, word, metadata=metadata)
            recorder.wait(before + 1)
        (event,) = [log for log in logs if log["event"] == "rpc"]
        return event

    return logged


AUTHENTICATION = Authentication(Passwords())


def test_a_call_is_one_event_with_who_what_and_how(logged, kind):
    event = logged(b"hello", ("username", "alice"), ("password", "wonderland"))
    assert (event["method"], event["code"], event["identity"]) == (f"test.Echo/{kind}", "OK", "alice")
    assert event["peer"].startswith("ipv4:127.0.0.1:")
    assert 0 < event["ms"] < 10_000
    assert "wonderland" not in str(event)


def test_a_refusal_is_logged_with_its_reason(logged):
    event = logged(b"hello", ("username", "alice"), ("password", "looking-glass"))
    assert (event["code"], event["identity"], event["reason"]) == ("UNAUTHENTICATED", None, "wrong password")
    assert "looking-glass" not in str(event)


def test_a_servers_fault_is_an_error_and_a_callers_is_not(logged):
    alice = (("username", "alice"), ("password", "wonderland"))
    assert logged(b"boom", *alice)["log_level"] == "error"
    assert logged(b"abort", *alice)["log_level"] == "info"
