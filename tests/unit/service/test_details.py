import sys

import grpc
import grpc.aio
import pytest
from echo_service import RAISED
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, Help, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service import RpcError, details
from roadstead.service.channel import channel
from roadstead.service.details import KEY, details_of, shortened_text, status_metadata
from roadstead.service.interceptors import Call, Errors, Rate, Stage
from roadstead.service.refusal import Refusal, Refused, unauthenticated

INVALID = grpc.StatusCode.INVALID_ARGUMENT
# What a client's grpc takes at most if nobody tells it otherwise.
USUAL_LIMIT = 8192


def violations(count: int, length: int = 40) -> BadRequest:
    entries = [BadRequest.FieldViolation(field=f"user.emails[{n}]", description="x" * length) for n in range(count)]
    return BadRequest(field_violations=entries)


def on_the_wire(metadata) -> int:
    return sum(32 + len(key) + (len(value) * 4 + 2) // 3 for key, value in metadata)


@pytest.fixture(autouse=True)
def raised():
    yield RAISED
    RAISED.clear()


@pytest.fixture
def failed(serving, server_sort, kind, recorder):
    """Call a word and return the error that the client catches."""

    def failed(word: bytes, *stages: Stage) -> grpc.RpcError:
        with serving(server_sort, recorder, Errors(), *stages) as client:
            call = client.open(kind, word)
            with pytest.raises(grpc.RpcError) as caught:
                call.result() if hasattr(call, "result") and kind.endswith("unary") else list(call)
            return caught.value

    return failed


def test_details_of_a_handlers_error_reach_the_client(failed, raised):
    told = [violations(2), ErrorInfo(reason="NO_SUCH_COUNTRY", domain="example.com"), StringValue(value="own")]
    raised[b"detailed"] = RpcError(INVALID, "no such country", details=told)
    error = failed(b"detailed")
    assert (error.code(), error.details()) == (INVALID, "no such country")
    assert list(details_of(error)) == told


def test_errors_without_details_send_none(failed):
    error = failed(b"refuse")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert details_of(error) == ()
    assert KEY not in dict(error.trailing_metadata())


def test_an_unknown_exception_sends_none_either(failed):
    error = failed(b"boom")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert details_of(error) == ()


def test_too_many_details_are_cut_and_the_status_arrives(failed, raised):
    help_link = Help(links=[Help.Link(url="https://example.com/help")])
    raised[b"large"] = RpcError(
        INVALID, "ä" * 5000, details=[violations(2000), DebugInfo(detail="y" * 9000), help_link]
    )
    error = failed(b"large")
    assert error.code() is INVALID
    assert error.details().startswith("ääää")
    cut, kept = details_of(error)
    assert 20 < len(cut.field_violations) < 200
    assert kept == help_link
    assert on_the_wire(error.trailing_metadata()) < USUAL_LIMIT


class Refusing(Stage):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal

    def admit(self, call):
        return self.refusal


def test_a_refusal_tells_a_program_no_more_than_a_person(failed):
    error = failed(b"hello", Refusing(unauthenticated("unknown user")))
    (told,) = details_of(error)
    assert (told.reason, told.domain, dict(told.metadata)) == ("CREDENTIALS_REJECTED", "roadstead.dev", {})
    assert b"unknown user" not in dict(error.trailing_metadata())[KEY]


def test_a_refusal_for_a_time_says_for_how_long(failed):
    rate = Rate(per_second=0.5, burst=1)
    rate.enter(Call("test.Echo/unary_unary", (), 0.0, peer="ipv4:127.0.0.1:1"))
    error = failed(b"hello", rate)
    info, retry = details_of(error)
    assert info.reason == "TOO_MANY"
    assert isinstance(retry, RetryInfo)
    assert 0 < retry.retry_delay.ToMilliseconds() <= 2000
    assert 0 < int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) <= 2000


def test_a_handler_can_refuse_as_stages_do(failed, raised):
    raised[b"busy"] = Refused(Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "later", retry_after=1.5))
    error = failed(b"busy")
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"
    (retry,) = details_of(error)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_without_the_extra_refusals_say_it_in_words_only(monkeypatch, failed):
    monkeypatch.setattr(details, "available", lambda: False)
    error = failed(b"hello", Refusing(Refusal(INVALID, "no", retry_after=0.25, public_reason="NO")))
    assert (error.details(), dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) == ("no", "250")
    assert KEY not in dict(error.trailing_metadata())
    assert details_of(error) == ()


def test_without_the_extra_its_name_is_told_to_whoever_wants_details(monkeypatch):
    monkeypatch.setattr(details, "available", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r"roadstead\[details\]"):
        RpcError(INVALID, "no", details=[violations(1)])


def test_the_extra_is_looked_for(monkeypatch):
    assert details.available()
    details.available.cache_clear()
    monkeypatch.setitem(sys.modules, "google.rpc.status_pb2", None)
    assert not details.available()
    details.available.cache_clear()


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, 0, 99, "NOT_FOUND", None])
def test_an_error_has_a_status_of_an_error(code):
    with pytest.raises(ValueError, match="is no status"):
        RpcError(code, "no")


@pytest.mark.parametrize("message", [None, 5, b"no"])
def test_an_error_has_a_text(message):
    with pytest.raises(TypeError, match=f"the message of an error is a text, not {type(message).__name__}"):
        RpcError(INVALID, message)


def test_only_messages_are_details():
    with pytest.raises(TypeError, match="not str"):
        RpcError(INVALID, "no", details=["a text"])


def test_what_a_handler_sends_with_its_error_is_kept(serving, server_sort, raised):
    class Setting(Stage):
        def enter(self, call):
            call.context.set_trailing_metadata((("x-cost", "7"), ("grpc-retry-pushback-ms", "1")))

    raised[b"detailed"] = RpcError(INVALID, "no", details=[violations(1)])
    with serving(server_sort, Setting(), Errors(), Refusing(None)) as client:
        ended = client.call("unary_unary", b"detailed")
    assert ended.trailing["x-cost"] == "7"
    assert KEY in ended.trailing


def test_grpc_aio_errors_are_read_too(serving, server_sort, loop_thread, raised):
    raised[b"detailed"] = RpcError(INVALID, "no", details=[violations(1)])

    async def scenario(port: int) -> grpc.aio.AioRpcError:
        async with channel(f"127.0.0.1:{port}") as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened.unary_unary("/test.Echo/unary_unary")(b"detailed")
            return caught.value

    with serving(server_sort, Errors()) as client:
        assert details_of(loop_thread.run(scenario(client.port))) == (violations(1),)


def status_of(type_url: str, value: bytes) -> bytes:
    return Status(code=3, details=[PackedMessage(type_url=type_url, value=value)]).SerializeToString()


@pytest.mark.parametrize("value", [
    b"\xff\xff",
    b"",
    Status(code=5).SerializeToString(),
    status_of("type.googleapis.com/google.rpc.BadRequest", b"\xff"),
    status_of("type.googleapis.com/no.Such", b"x"),
    status_of("nonsense", b"x"),
])  # fmt: skip
def test_nonsense_of_a_server_does_not_fail(value):
    error = grpc.aio.AioRpcError(INVALID, grpc.aio.Metadata(), grpc.aio.Metadata((KEY, value)), "no")
    assert all(isinstance(detail, PackedMessage) for detail in details_of(error))


def test_errors_that_never_had_metadata_have_no_details():
    assert details_of(grpc.RpcError()) == ()


@given(st.lists(st.one_of(
    st.builds(violations, st.integers(0, 400), st.integers(0, 300)),
    st.builds(ErrorInfo, reason=st.text(max_size=3000)),
    st.builds(DebugInfo, stack_entries=st.lists(st.text(max_size=500), max_size=60)),
), max_size=8), st.text(max_size=3000))  # fmt: skip
def test_whatever_is_told_fits(told, text):
    pairs = status_metadata(INVALID, text, told)
    message = sum(1 if " " <= c <= "~" and c != "%" else 3 * len(c.encode()) for c in shortened_text(text))
    assert message <= 1024
    # grpc's own: :status, content-type, grpc-status, grpc-message.
    assert on_the_wire(pairs) + message + 200 < USUAL_LIMIT


@given(st.text(max_size=80))
def test_short_texts_stay(text):
    assert shortened_text(text) == text
