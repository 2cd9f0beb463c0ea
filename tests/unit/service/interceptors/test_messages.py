"""Requests that do not arrive whole, and messages that are none: one clear answer, and one event, whatever the kind."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest
from echo_service import OWN_SERVERS, SERVERS
from structlog.testing import capture_logs

from roadstead.service.interceptors import Deadline, Errors, Stage, ThreadChain
from roadstead.service.interceptors.messages import is_fine

LARGEST = 4 * 1024 * 1024
UNARY_REQUESTS = ("unary_unary", "unary_stream")
STREAMED_REQUESTS = ("stream_unary", "stream_stream")


@pytest.fixture(params=[*SERVERS, *OWN_SERVERS])
def server_sort(request) -> str:
    return request.param


class Silent:
    """A request that never comes, or no more of it; a test ends it."""

    def __init__(self, *first: bytes) -> None:
        self._first = first
        self._ended = threading.Event()

    def __iter__(self):
        yield from self._first
        self._ended.wait(30)

    def end(self) -> None:
        self._ended.set()


@pytest.fixture
def silent():
    made = Silent()
    yield made
    made.end()


def raw(client, kind: str, requests):
    """Call a method with any number of requests: on the wire, each kind is a stream of both."""
    return client._channel.stream_stream(f"/test.Echo/{kind}")(iter(requests), timeout=20)


def code_of(call) -> str:
    """Take all replies, and return how the call ended."""
    with suppress(grpc.RpcError):
        list(call)
    return call.code().name


def told_of_one_who_goes(kind: str) -> set[str]:
    """The codes that a server may note for a caller who breaks off.

    grpc says first that no more comes, and then why. A handler that only reads may be through before the second word;
    one that replies will find that nobody is there.
    """
    return {"CANCELLED", "OK"} if kind == "stream_stream" else {"CANCELLED"}


def _failures(logs) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == "error"]


def whole(recorder, client, kind: str, earlier: str) -> None:
    """Check that the RPC before had one event with this code, and that the server goes on."""
    assert recorder.wait(1) == [(f"test.Echo/{kind}", earlier)]
    assert client.call(kind, b"hello").code == "OK"
    assert [code for _, code in recorder.wait(2)] == [earlier, "OK"]


@pytest.mark.parametrize("kind", UNARY_REQUESTS)
def test_a_request_that_is_missing(serving, server_sort, kind, recorder):
    with serving(server_sort, recorder, Errors()) as client:
        call = raw(client, kind, [])
        assert (call.code().name, call.details()) == ("INVALID_ARGUMENT", "the request is missing")
        whole(recorder, client, kind, "INVALID_ARGUMENT")


@pytest.mark.parametrize("stages", [(), (Errors(),)])
def test_a_request_that_is_no_message(serving, server_sort, kind, recorder, stages):
    def parse(content: bytes) -> bytes:
        if content == b"odd":
            raise ValueError("secret: what the decoder thinks of it")
        return content

    with capture_logs() as logs, serving(server_sort, recorder, *stages, parse=parse) as client:
        ended = client.call(kind, b"odd")
        assert (ended.code, ended.details) == ("INVALID_ARGUMENT", "the request cannot be decoded")
        whole(recorder, client, kind, "INVALID_ARGUMENT")
    assert _failures(logs) == [], "a stranger's bytes are no failure of ours"


def test_a_request_that_never_comes_and_is_cancelled(serving, server_sort, kind, recorder, silent):
    class Admitted(Stage):
        """Tells when an RPC has come."""

        def __init__(self) -> None:
            self.entered = threading.Event()

        def enter(self, call):
            self.entered.set()

    admitted = Admitted()
    with serving(server_sort, recorder, admitted) as client:
        call = raw(client, kind, silent)
        assert admitted.entered.wait(10)
        call.cancel()
        ((_, code),) = recorder.wait(1)
        assert code in told_of_one_who_goes(kind)
        whole(recorder, client, kind, code)


def test_a_request_that_is_too_large(serving, server_sort, kind, recorder):
    with serving(server_sort, recorder, Errors()) as client:
        with capture_logs() as logs:
            assert code_of(raw(client, kind, [b"x" * (LARGEST + 1)])) == "RESOURCE_EXHAUSTED"
            ((_, code),) = recorder.wait(1)
        # grpc's core has ended this call, and tells the server no more than that.
        assert code in told_of_one_who_goes(kind)
        whole(recorder, client, kind, code)
    assert _failures(logs) == []


@pytest.mark.parametrize("kind", STREAMED_REQUESTS)
def test_an_upload_that_becomes_too_large_is_never_taken_for_a_whole_one(serving, kind, recorder):
    """grpc.aio tells handlers of both alike."""
    with serving("async", recorder, Errors()) as client:
        for _ in range(20):
            assert code_of(raw(client, kind, [b"one", b"x" * (LARGEST + 1)])) == "RESOURCE_EXHAUSTED"
        assert {code for _, code in recorder.wait(20)} == {"CANCELLED"}


def test_the_servers_limit_ends_a_call_whose_request_never_comes(serving, server_sort, kind, recorder, silent):
    with serving(server_sort, recorder, Deadline(cap=0.2)) as client:
        call = raw(client, kind, silent)
        # In threads nobody can send a status for the thread that waits, so the call is cancelled.
        expected = "CANCELLED" if "hread" in server_sort else "DEADLINE_EXCEEDED"
        assert call.code().name == expected
        whole(recorder, client, kind, expected)


@pytest.mark.parametrize("kind", STREAMED_REQUESTS)
def test_the_servers_limit_ends_an_upload_without_end(serving, server_sort, kind, recorder):
    class Endless:
        over = False

        def __iter__(self):
            while not self.over:
                yield b"more"

    endless = Endless()
    # A thread that happens to wait for the next message just then is cut off.
    expected = {"DEADLINE_EXCEEDED", "CANCELLED"} if "hread" in server_sort else {"DEADLINE_EXCEEDED"}
    with serving(server_sort, recorder, Deadline(cap=0.2)) as client:
        try:
            told = code_of(raw(client, kind, endless))
        finally:
            endless.over = True
        assert told in expected
        assert recorder.wait(1) == [(f"test.Echo/{kind}", told)]


class Holding(Stage):
    """Counts what it holds."""

    def __init__(self) -> None:
        self.entered = 0
        self.left = threading.Semaphore(0)

    def enter(self, call):
        self.entered += 1

    def leave(self, call):
        self.left.release()


def test_a_caller_who_takes_no_reply_keeps_no_thread(recorder):
    """The reply waits for a window that never opens, and its thread with it."""

    def replies(request, context):
        while True:
            yield b"x" * 65536

    holding = Holding()
    handlers = {"M": grpc.unary_stream_rpc_method_handler(replies)}
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, interceptors=[ThreadChain(recorder, Deadline(cap=0.3), holding)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_stream("/t.T/M")(b"", timeout=20)
            assert next(call)
            assert recorder.wait(1) == [("t.T/M", "CANCELLED")]
            assert holding.left.acquire(timeout=10)
        server.stop(None).wait()


def test_a_response_that_is_none(serving, server_sort, kind, recorder):
    with capture_logs() as logs, serving(server_sort, recorder, Errors()) as client:
        ended = client.call(kind, b"none")
        assert (ended.code, "its id is" in ended.details) == ("INTERNAL", True)
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "INTERNAL")]
    assert _failures(logs) == ["handler failed"]


@pytest.mark.parametrize("kind", ["unary_unary", "stream_unary"])
def test_with_a_code_of_its_own_a_handler_owes_no_response(serving, server_sort, kind, recorder):
    with serving(server_sort, recorder, Errors()) as client:
        ended = client.call(kind, b"code")
        assert (ended.code, ended.details) == ("ALREADY_EXISTS", "there is one")
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "ALREADY_EXISTS")]


def test_a_task_that_was_cancelled_within_a_handler_is_a_failure_of_it(serving, kind, recorder):
    with capture_logs() as logs, serving("async", recorder, Errors()) as client:
        ended = client.call(kind, b"cancelled")
        assert (ended.code, "its id is" in ended.details) == ("INTERNAL", True)
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "INTERNAL")]
    assert _failures(logs) == ["handler failed"]


def test_a_failure_that_no_stage_answers_is_in_the_log_all_the_same(serving, server_sort, kind):
    with capture_logs() as logs, serving(server_sort) as client:
        assert client.call(kind, b"boom").details == "internal error"
    assert _failures(logs) == ["handler failed"]


@pytest.mark.parametrize(("code", "fine"), [
    (None, True), (grpc.StatusCode.OK, True), (0, True), (grpc.StatusCode.NOT_FOUND, False), (5, False),
])  # fmt: skip
def test_a_handler_owes_a_response_unless_it_has_set_the_code_of_an_error(code, fine):
    """A code may be a number, too, as grpc takes it."""

    class Context:
        def code(self):
            return code

    assert is_fine(Context()) is fine
