from contextvars import Context

import pytest

from roadstead.service import current_call
from roadstead.service.current_call import CurrentCall
from roadstead.service.deadline import set_time_left
from roadstead.service.identity import Identity, current_identity, set_current_identity
from roadstead.service.interceptors import Call, Stage

ALICE = Identity("alice", "password")


class Alice(Stage):
    def admit(self, call):
        call.identity = ALICE


def test_a_handler_knows_its_call(serving, server_sort, kind):
    with serving(server_sort, Alice()) as client:
        ended = client.call(kind, b"call", metadata=(("x-tenant", "blue"),))
        assert set(ended.replies) == {f"test.Echo/{kind} blue alice".encode()}
        ended = client.call(kind, b"call")
        assert set(ended.replies) == {f"test.Echo/{kind} None alice".encode()}


def test_outside_of_a_handler_there_is_none():
    with pytest.raises(LookupError, match="no RPC is being handled"):
        current_call()


def test_a_handler_can_be_tested_with_a_caller_and_no_call():
    def scenario() -> None:
        assert current_identity() is None
        set_current_identity(ALICE)
        assert current_identity() == ALICE
        with pytest.raises(LookupError, match="no RPC is being handled"):
            current_call()

    Context().run(scenario)


def test_what_it_says():
    metadata = (("x-tenant", "blue"), ("x", "1"), ("x", "2"), ("y-bin", b"\xff"))
    inner = Call("a.B/C", metadata, 0.0)
    inner.peer = "ipv4:127.0.0.1:5"
    call = CurrentCall(inner)
    assert (call.method, call.identity, call.peer, call.metadata) == ("a.B/C", None, "ipv4:127.0.0.1:5", metadata)
    assert (call.value("x-tenant"), call.value("x"), call.value("y-bin"), call.value("z")) == ("blue", None, None, None)
    assert (call.time_left(), call.trace_id) == (None, None)
    set_time_left(5)
    assert 4 < call.time_left() <= 5


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        CurrentCall(Call("a.B/C", (), 0.0)).identity = Identity("mallory", "password")


def test_a_call_in_a_log_shows_no_password():
    call = Call("a.B/C", (("password", "w0nd3r"),), 0.0)
    assert "w0nd3r" not in repr(call) + str(call.__rich_repr__())
