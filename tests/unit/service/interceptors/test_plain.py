"""Plain functions on a grpc.aio server: what their context can do, and callers who go at every moment."""

import threading
import time
from contextlib import contextmanager, suppress

import grpc
import grpc.aio
import pytest
from polling import wait_until
from structlog.testing import capture_logs

from roadstead.service.interceptors import AsyncChain, Errors, ReplyMetadata, Stage


@pytest.fixture
def served(loop_thread):
    @contextmanager
    def served(kind: str, function, *stages: Stage):
        """A server with this plain function as its one method; yields what calls it."""

        async def start() -> tuple[grpc.aio.Server, int]:
            server = grpc.aio.server(interceptors=[AsyncChain(*stages)])
            handler = getattr(grpc, f"{kind}_rpc_method_handler")(function)
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"M": handler}),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            return server, port

        server, port = loop_thread.run(start())
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield getattr(channel, kind)("/t.T/M")
        loop_thread.run(server.stop(None))

    return served


def test_what_a_handler_can_ask(served):
    found = {}

    def ask(request, context):
        found.update(
            metadata=dict(context.invocation_metadata()), peer=context.peer(), active=context.is_active(),
            left=context.time_remaining(), transport=context.auth_context()["transport_security_type"],
            identities=context.peer_identities(), key=context.peer_identity_key(),
        )  # fmt: skip
        return b"done"

    with served("unary_unary", ask) as call:
        assert call(b"", timeout=5, metadata=[("x", "y")]) == b"done"
    assert found["metadata"]["x"] == "y"
    assert found["peer"].startswith("ipv4:127.0.0.1:")
    assert found["active"]
    # gRPC rounds a timeout up when it sends it, so that a server may see a little more than the client asked for.
    assert 3 < found["left"] < 6
    assert found["transport"] == [b"insecure"]
    assert (found["identities"], found["key"]) == (None, None)


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
@pytest.mark.parametrize("aborts", [True, False])
def test_what_a_handler_can_tell(served, kind, aborts):
    def tell(request, context):
        context.send_initial_metadata([("first", "1")])
        context.set_trailing_metadata([("last", "2")])
        if aborts:
            context.abort(grpc.StatusCode.NOT_FOUND, "nothing")
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("nothing")
        assert (context.code(), context.details()) == (grpc.StatusCode.NOT_FOUND, "nothing")
        return b"x"

    def tell_often(request, context):
        yield tell(request, context)

    function = tell_often if kind.endswith("stream") else tell
    with served(kind, function) as call, pytest.raises(grpc.RpcError) as caught:
        list(call(b"", timeout=5)) if kind.endswith("stream") else call(b"", timeout=5)
    ended = caught.value
    assert (ended.code().name, ended.details()) == ("NOT_FOUND", "nothing")
    assert dict(ended.initial_metadata())["first"] == "1"
    assert dict(ended.trailing_metadata())["last"] == "2"


def test_a_handler_can_end_its_call(served):
    def cancel(request, context):
        assert context.cancel()
        wait_until(lambda: not context.is_active())
        assert not context.cancel()
        return b""

    with served("unary_unary", cancel) as call, pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=5)
    assert caught.value.code().name == "CANCELLED"


def test_a_handler_that_waits_for_messages_is_told_that_the_caller_has_gone(served, recorder):
    ended, began = threading.Event(), threading.Event()

    def read(requests, context):
        assert context.add_callback(ended.set)
        assert next(requests) == b"one"
        began.set()
        for _ in requests:
            pass
        # To grpc.aio a caller who goes may look for a moment like one who has no more to say.
        assert ended.wait(10)
        return b"never"

    def messages():
        yield b"one"
        ended.wait(10)

    with capture_logs() as logs, served("stream_unary", read, recorder, Errors()) as call:
        running = call.future(messages())
        assert began.wait(10)
        running.cancel()
        assert ended.wait(10)
        assert recorder.wait(1) == [("t.T/M", "CANCELLED")]
    assert logs == [], "that is no failure of the handler"


def test_the_generator_of_a_caller_who_has_gone_is_closed(served):
    closed, context_of = threading.Event(), []

    def count(request, context):
        context_of.append(context)
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    with served("unary_stream", count) as call:
        stream = call(b"")
        assert next(stream) == b"x"
        stream.cancel()
        assert closed.wait(10)
    assert context_of[0].peer().startswith("ipv4:")
    assert context_of[0].add_callback(closed.set) is False


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_callers_who_go_at_every_moment_harm_nobody(served, recorder, kind):
    """grpc.aio's own context for plain functions ends the process here, and keeps its threads."""

    def look(request, context):
        if kind.startswith("stream"):
            list(request)
        time.sleep(0.005)
        context.auth_context()
        return context.peer().encode()

    def look_often(request, context):
        for _ in range(3):
            yield look(request, context) if not kind.startswith("stream") else b"x"

    stages = (recorder, ReplyMetadata({"x-pod": "foo"}), Errors())
    with served(kind, look_often if kind.endswith("stream") else look, *stages) as call:
        start = call if kind.endswith("stream") else call.future

        def request():
            return iter([b"x"]) if kind.startswith("stream") else b"x"

        moments = [0.002 * (number % 6) for number in range(60)] + [0.000_02 * number for number in range(60)] * 3
        for moment in moments:
            running = start(request(), timeout=10)
            time.sleep(moment)
            running.cancel()
        with suppress(grpc.FutureCancelledError):
            answer = start(request(), timeout=10)
            assert (list(answer) if kind.endswith("stream") else answer.result()) not in ([], b"")
        wait_until(lambda: any(code == "OK" for _, code in recorder.seen))
    assert {code for _, code in recorder.seen} <= {"OK", "CANCELLED"}
