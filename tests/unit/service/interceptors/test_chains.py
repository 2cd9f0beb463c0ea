"""Both chains, all four kinds of RPC, every way in which a call can end."""

import threading
import time
from concurrent.futures import Future

import grpc
import pytest
from echo_service import OWN_SERVERS, RAISED, SERVERS
from polling import wait_until
from structlog.testing import capture_logs

from roadstead.service.identity import Identity
from roadstead.service.interceptors import AsyncChain, Deadline, Errors, ReplyMetadata, Stage
from roadstead.service.refusal import Refusal, unauthenticated

REFUSAL = Refusal(grpc.StatusCode.PERMISSION_DENIED, "no", retry_after=0.25)


@pytest.fixture(params=[*SERVERS, *OWN_SERVERS])
def server_sort(request) -> str:
    """Both ways in: a chain as interceptor, and the library's own servers."""
    return request.param


class AtHeaders(Stage):
    def __init__(self, answer=None) -> None:
        self.answer = answer
        self.peers: list[str] = []

    def admit(self, call):
        self.peers.append(call.peer)
        call.identity = Identity(name="alice", proof="password")
        return self.answer


class Later(AtHeaders):
    """Answers from another thread, a little later: as a password that has to be hashed does."""

    def admit(self, call):
        self.peers.append(call.peer)
        future: Future = Future()

        def settle() -> None:
            call.identity = Identity(name="alice", proof="password")
            future.set_result(self.answer)

        threading.Timer(0.02, settle).start()
        return future


class Holding(Stage):
    """Counts what it holds; refuses if told to."""

    def __init__(self, answer=None) -> None:
        self.answer = answer
        self.entered = self.held = 0

    def enter(self, call):
        if self.answer is not None:
            return self.answer
        self.entered += 1
        self.held += 1
        return None

    def leave(self, call):
        self.held -= 1


class Broken(Stage):
    def __init__(self, moment: str) -> None:
        self.moment = moment

    def admit(self, call):
        return self._fail("admit")

    def enter(self, call):
        return self._fail("enter")

    def leave(self, call):
        self._fail("leave")

    def observe(self, call, outcome):
        self._fail("observe")

    def _fail(self, moment: str) -> None:
        if moment == self.moment:
            raise RuntimeError("secret of a stage")


def test_a_call_goes_through(serving, server_sort, kind, recorder):
    holding = Holding()
    with serving(server_sort, recorder, holding) as client:
        ended = client.call(kind, b"hello")
        assert (ended.code, set(ended.replies)) == ("OK", {b"re:hello"})
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "OK")]
    wait_until(lambda: (holding.entered, holding.held) == (1, 0))


ADMITTING = [AtHeaders, Later]


@pytest.mark.parametrize("stage", ADMITTING)
def test_the_identity_reaches_the_handler(serving, server_sort, kind, stage):
    with serving(server_sort, stage()) as client:
        assert set(client.call(kind, b"who").replies) == {b"alice"}


def test_identities_do_not_leak_into_the_next_call(serving, server_sort, kind):
    class OnlyOnce(Stage):
        first = True

        def admit(self, call):
            if self.first:
                call.identity = Identity(name="alice", proof="password")
            self.first = False

    with serving(server_sort, OnlyOnce()) as client:
        assert set(client.call(kind, b"who").replies) == {b"alice"}
        assert set(client.call(kind, b"who").replies) == {b"nobody"}


@pytest.mark.parametrize("stage", [*ADMITTING, Holding])
def test_a_refusal_reaches_the_client_and_not_the_handler(serving, server_sort, kind, recorder, stage):
    with serving(server_sort, recorder, stage(REFUSAL)) as client:
        ended = client.call(kind, b"hello")
        assert (ended.code, ended.details) == ("PERMISSION_DENIED", "no")
        assert ended.trailing["grpc-retry-pushback-ms"] == "250"
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "PERMISSION_DENIED")]


@pytest.mark.parametrize("stage", ADMITTING)
@pytest.mark.parametrize("method", ["stream_stream", "unary_unary"])
def test_a_refusal_does_not_wait_for_the_request(serving, server_sort, stage, method):
    never = threading.Event()

    def requests():
        never.wait(10)
        yield b""

    with serving(server_sort, stage(unauthenticated("x"))) as client:
        # On the wire a request is a stream of one: this caller never sends it.
        call = client._channel.stream_stream(f"/test.Echo/{method}")(requests(), timeout=8)
        started = time.monotonic()
        assert call.code().name == "UNAUTHENTICATED"
        assert time.monotonic() - started < 4
        never.set()


@pytest.mark.parametrize("stage", ADMITTING)
def test_all_is_as_ever_after_an_admission(serving, server_sort, kind, recorder, stage):
    first, holding = stage(), Holding()
    with serving(server_sort, recorder, Errors(), first, Judging(), holding) as client:
        assert client.call(kind, b"hello").replies == client.call(kind, b"hello").replies != []
        assert client.call(kind, b"who").replies[0] == b"alice"
        ends = [client.call(kind, word) for word in (b"boom", b"abort", b"refuse", b"no")]
        assert [end.code for end in ends] == ["INTERNAL", "FAILED_PRECONDITION", "NOT_FOUND", "PERMISSION_DENIED"]
        assert "secret" not in ends[0].details
        codes = [code for _, code in recorder.wait(7)]
    assert codes == ["OK", "OK", "OK", "INTERNAL", "FAILED_PRECONDITION", "NOT_FOUND", "PERMISSION_DENIED"]
    assert [peer.rpartition(":")[0] for peer in first.peers] == ["ipv4:127.0.0.1"] * 7
    wait_until(lambda: (holding.entered, holding.held) == (7, 0))


def test_what_was_entered_is_left_when_a_later_stage_refuses(serving, server_sort, kind):
    first = Holding()
    with serving(server_sort, first, Holding(REFUSAL)) as client:
        assert client.call(kind, b"hello").code == "PERMISSION_DENIED"
    wait_until(lambda: (first.entered, first.held) == (1, 0))


def test_what_was_entered_is_left_when_a_later_stage_fails(serving, server_sort, kind):
    first = Holding()
    with serving(server_sort, first, Broken("enter")) as client:
        assert client.call(kind, b"hello").code == "INTERNAL"
    wait_until(lambda: (first.entered, first.held) == (1, 0))


def test_an_exception_becomes_internal_without_its_text(serving, server_sort, kind, recorder):
    holding = Holding()
    with serving(server_sort, recorder, Errors(), holding) as client:
        ended = client.call(kind, b"boom")
        assert ended.code == "INTERNAL"
        assert "secret" not in ended.details
        assert "id" in ended.details
        assert recorder.wait(1)[0][1] == "INTERNAL"
    wait_until(lambda: holding.held == 0)


def test_an_exception_without_the_errors_stage_has_no_text_either(serving, server_sort, kind):
    with serving(server_sort) as client:
        assert (client.call(kind, b"boom").code, client.call(kind, b"boom").details) == ("INTERNAL", "internal error")


@pytest.mark.parametrize(("word", "code", "details"), [
    (b"abort", "FAILED_PRECONDITION", "not today"),
    (b"refuse", "NOT_FOUND", "no such thing"),
])  # fmt: skip
def test_a_handler_chooses_its_status(serving, server_sort, kind, recorder, word, code, details):
    with serving(server_sort, recorder, Errors()) as client:
        ended = client.call(kind, word)
        assert (ended.code, ended.details) == (code, details)
        assert recorder.wait(1) == [(f"test.Echo/{kind}", code)]


@pytest.mark.parametrize("moment", ["admit", "enter"])
def test_a_stage_that_fails_before_the_handler_refuses(serving, server_sort, kind, moment):
    with serving(server_sort, Broken(moment), Errors()) as client:
        ended = client.call(kind, b"hello")
        assert ended.code == "INTERNAL"
        assert "secret" not in ended.details


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("secret of an exception")


class Looking(Stage):
    def convert(self, call, error):
        raise ValueError(str(error))


def test_an_exception_that_cannot_be_looked_at_is_an_exception(serving, server_sort, kind, recorder):
    RAISED[b"odd"] = Unspeakable()
    with capture_logs(), serving(server_sort, recorder, Looking(), Errors()) as client:
        ended = client.call(kind, b"odd")
        assert (ended.code, "its id is" in ended.details) == ("INTERNAL", True)
    with capture_logs(), serving(server_sort, recorder, Looking()) as client:
        ended = client.call(kind, b"odd")
        assert (ended.code, ended.details) == ("INTERNAL", "internal error")
    del RAISED[b"odd"]


@pytest.mark.parametrize("moment", ["leave", "observe"])
def test_a_stage_that_fails_after_the_handler_changes_nothing(serving, server_sort, kind, moment):
    holding = Holding()
    with serving(server_sort, holding, Broken(moment)) as client:
        assert client.call(kind, b"hello").code == "OK"
    wait_until(lambda: (holding.entered, holding.held) == (1, 0))


def test_a_client_that_cancels_is_let_go(serving, kind, recorder):
    holding = Holding()
    with serving("async", recorder, holding) as client:
        call = client.open(kind, b"sleep")
        wait_until(lambda: holding.held == 1)
        call.cancel()
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "CANCELLED")]
    wait_until(lambda: holding.held == 0)


class Never(Stage):
    """Has no answer, as a password that waits for a long queue."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.future: Future = Future()
        self.future.set_running_or_notify_cancel()

    def admit(self, call):
        self.asked.set()
        return self.future


def test_a_client_that_cancels_before_it_is_known_is_observed(serving, kind, recorder):
    never = Never()
    with serving("async", recorder, never) as client:
        call = client.open(kind, b"hello")
        assert never.asked.wait(10)
        call.cancel()
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "CANCELLED")]


def test_a_clients_deadline_ends_the_handler(serving, kind, recorder):
    with serving("async", recorder) as client:
        ended = client.call(kind, b"sleep", timeout=0.3)
        assert ended.code == "DEADLINE_EXCEEDED"
        assert recorder.wait(1)[0][1] in ("DEADLINE_EXCEEDED", "CANCELLED")


def test_the_servers_cap_ends_a_call_that_may_take_longer(serving, server_sort, kind, recorder):
    with serving(server_sort, recorder, Deadline(cap=0.2)) as client:
        ended = client.call(kind, b"sleep", timeout=20)
        assert (ended.code, ended.details) == ("DEADLINE_EXCEEDED", "the server's time limit is over")
        assert ended.seconds < 4
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "DEADLINE_EXCEEDED")]


def test_reply_metadata_goes_with_replies_and_refusals(serving, server_sort, kind):
    stamp = ReplyMetadata({"x-pod": "foo-1"})
    with serving(server_sort, stamp) as client:
        assert client.call(kind, b"hello").initial["x-pod"] == "foo-1"
        assert client.call(kind, b"abort").initial["x-pod"] == "foo-1"
    with serving(server_sort, stamp, AtHeaders(REFUSAL)) as client:
        assert client.call(kind, b"hello").initial["x-pod"] == "foo-1"


def test_an_unknown_method_is_unimplemented_and_observed(serving, server_sort, recorder):
    with serving(server_sort, recorder) as client:
        assert client.call("unary_unary", b"x", method="Nothing").code == "UNIMPLEMENTED"
        assert recorder.wait(1) == [("test.Echo/Nothing", "UNIMPLEMENTED")]


@pytest.mark.parametrize("stage", ADMITTING)
@pytest.mark.parametrize(("answer", "code"), [(REFUSAL, "PERMISSION_DENIED"), (None, "UNIMPLEMENTED")])
def test_who_is_refused_is_not_told_whether_a_method_exists(serving, server_sort, recorder, kind, stage, answer, code):
    with serving(server_sort, recorder, stage(answer)) as client:
        ended = client.call(kind, b"x", method="Nothing")
        assert (ended.code, ended.details) == (code, "no" if answer else "Method not found!")
        assert recorder.wait(1) == [("test.Echo/Nothing", code)]
        assert client.call(kind, b"x").code == (code if answer else "OK")


class Judging(Stage):
    """Refuses the word "no", whenever it comes."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def enter(self, call):
        call.judge_request = self.judge

    def judge(self, call, request):
        self.seen.append(request)
        return REFUSAL if request == b"no" else None


def test_each_message_of_a_request_is_judged_before_the_handler_gets_it(serving, server_sort, kind, recorder):
    judging = Judging()
    with serving(server_sort, recorder, judging) as client:
        assert client.call(kind, b"yes").code == "OK"
        ended = client.call(kind, b"no")
        assert (ended.code, ended.details, ended.replies) == ("PERMISSION_DENIED", "no", [])
        assert recorder.wait(2)[1] == (f"test.Echo/{kind}", "PERMISSION_DENIED")
    assert judging.seen == [b"yes", b"no"]


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_later_message_ends_a_stream(serving, server_sort, kind):
    with serving(server_sort, Judging()) as client:
        assert client.call(kind, b"yes", b"boom-not", b"no", b"boom").code == "PERMISSION_DENIED"


def test_a_handler_that_reads_by_itself_gets_no_unjudged_message(loop_thread):
    got = []

    async def reading(requests, context):
        while (message := await context.read()) is not grpc.aio.EOF:
            got.append(message)
        return b"done"

    async def scenario() -> list[str]:
        server = grpc.aio.server(interceptors=[AsyncChain(Judging())])
        handlers = {"M": grpc.stream_unary_rpc_method_handler(reading)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ended = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for words in ([b"a", b"b"], [b"c", b"no"]):
                call = channel.stream_unary("/t.T/M")(iter(words))
                ended.append((await call.code()).name)
        await server.stop(None)
        return ended

    assert loop_thread.run(scenario()) == ["OK", "PERMISSION_DENIED"]
    assert got == [b"a", b"b", b"c"]
