import asyncio
import socket

import grpc
import grpc.aio
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from polling import until

from roadstead.service.channel import bearer, channel
from roadstead.service.hedging import Hedging
from roadstead.service.interceptors import Stage
from roadstead.service.refusal import Refusal
from roadstead.service.tracing.client import ThreadTracing, tracing_interceptors

UNAVAILABLE = Refusal(grpc.StatusCode.UNAVAILABLE, "not now")


async def call_async(opened: grpc.aio.Channel, kind: str, word: bytes, **settings) -> str:
    invoke = getattr(opened, kind)(f"/test.Echo/{kind}")
    request = iter([word]) if kind.startswith("stream") else word
    try:
        if kind.endswith("unary"):
            await invoke(request, **settings)
        else:
            async for _ in invoke(request, **settings):
                pass
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def call_in_thread(opened: grpc.Channel, kind: str, word: bytes, **settings) -> str:
    invoke = getattr(opened, kind)(f"/test.Echo/{kind}")
    request = iter([word]) if kind.startswith("stream") else word
    try:
        invoke(request, **settings) if kind.endswith("unary") else list(invoke(request, **settings))
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


@pytest.fixture(params=["channel", "plain grpc.aio", "threads"])
def make_call(request, loop_thread):
    """Call an echo service over a traced channel of one of the sorts; returns the status."""

    async def with_channel(target: str, *arguments, **settings) -> str:
        async with channel(target, tracing=True) as opened:
            return await call_async(opened, *arguments, **settings)

    async def plain(target: str, *arguments, **settings) -> str:
        async with grpc.aio.insecure_channel(target, interceptors=tracing_interceptors(target)) as opened:
            if "timeout" in settings:
                # grpc.aio itself (not our channel) cancels its caller when a deadline hits requests still to be sent.
                await opened.channel_ready()
            return await call_async(opened, *arguments, **settings)

    def threaded(target: str, *arguments, **settings) -> str:
        with grpc.insecure_channel(target) as opened:
            return call_in_thread(grpc.intercept_channel(opened, ThreadTracing(target)), *arguments, **settings)

    if request.param == "threads":
        return threaded
    opening = with_channel if request.param == "channel" else plain
    return lambda *arguments, **settings: loop_thread.run(opening(*arguments, **settings))


def both(spans) -> tuple:
    """Return the client's span and the server's, as soon as they have ended."""
    return tuple(sorted(spans.wait(2), key=lambda span: span.kind is SpanKind.SERVER))


def test_a_call_is_a_span_that_the_servers_joins(make_call, traced_server, spans, kind):
    target = traced_server()
    assert make_call(target, kind, b"hello", metadata=(("x", "y"),)) == "OK"
    client, server = both(spans)
    assert (client.name, client.kind) == (f"test.Echo/{kind}", SpanKind.CLIENT)
    assert dict(client.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"test.Echo/{kind}",
        "rpc.response.status_code": "OK",
        "server.address": "127.0.0.1",
        "server.port": int(target.rpartition(":")[2]),
    }
    assert client.status.status_code is StatusCode.UNSET
    assert server.context.trace_id == client.context.trace_id
    assert server.parent.span_id == client.context.span_id


def test_every_status_but_ok_is_a_failure_for_the_caller(make_call, traced_server, spans, kind):
    assert make_call(traced_server(), kind, b"refuse") == "NOT_FOUND"
    client, _ = both(spans)
    assert client.attributes["rpc.response.status_code"] == client.attributes["error.type"] == "NOT_FOUND"
    assert (client.status.status_code, client.status.description) == (StatusCode.ERROR, "no such thing")


def test_a_deadline_ends_the_span(make_call, traced_server, spans, kind):
    assert make_call(traced_server(), kind, b"sleep", timeout=0.5) == "DEADLINE_EXCEEDED"
    client, _ = both(spans)
    assert client.attributes["error.type"] == "DEADLINE_EXCEEDED"


def test_nobody_there_is_a_span_as_well(make_call, spans, kind):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert make_call(f"127.0.0.1:{nobody.getsockname()[1]}", kind, b"hello") == "UNAVAILABLE"
    (span,) = spans.wait(1)
    assert span.attributes["error.type"] == "UNAVAILABLE"


def test_a_context_that_was_sent_by_hand_is_replaced(make_call, traced_server, spans):
    by_hand = (("traceparent", f"00-{'1' * 32}-{'2' * 16}-01"),)
    assert make_call(traced_server(), "unary_unary", b"hello", metadata=by_hand) == "OK"
    client, server = both(spans)
    assert server.parent.span_id == client.context.span_id


def test_a_threads_call_is_below_the_span_that_is_current(traced_server, spans):
    target = traced_server()
    with (
        spans.provider.get_tracer("test").start_as_current_span("work") as work,
        grpc.insecure_channel(target) as opened,
    ):
        assert call_in_thread(grpc.intercept_channel(opened, ThreadTracing(target)), "unary_unary", b"hello") == "OK"
    (client,) = [span for span in spans.wait(3) if span.kind is SpanKind.CLIENT]
    assert client.parent.span_id == work.get_span_context().span_id


def test_a_handlers_calls_are_below_its_own_span(loop_thread, traced_server, spans):
    back = traced_server()

    async def forward(request, context):
        async with channel(back, tracing=True) as opened:
            return await opened.unary_unary("/test.Echo/unary_unary")(request)

    front = traced_server(unary_unary=grpc.unary_unary_rpc_method_handler(forward))

    async def scenario() -> None:
        async with channel(front, tracing=True) as opened:
            await opened.unary_unary("/test.Echo/unary_unary")(b"hello")

    loop_thread.run(scenario())
    below = {span.parent.span_id if span.parent else None: span for span in spans.wait(4)}
    kinds, parent = [], None
    while span := below.get(parent):
        kinds.append(span.kind.name)
        parent = span.context.span_id
    assert kinds == ["CLIENT", "SERVER", "CLIENT", "SERVER"]


class FirstAway(Stage):
    """Sends the first call away."""

    seen = 0

    def admit(self, call):
        self.seen += 1
        return UNAVAILABLE if self.seen == 1 else None


def test_a_repeated_call_is_one_span_with_the_servers_below_it(loop_thread, traced_server, spans):
    target = traced_server(FirstAway())

    async def scenario() -> None:
        async with channel(target, idempotent=["test.Echo"], tracing=True) as opened:
            assert await call_async(opened, "unary_unary", b"hello") == "OK"

    loop_thread.run(scenario())
    found = spans.wait(3)
    (client,) = [span for span in found if span.kind is SpanKind.CLIENT]
    servers = [span for span in found if span.kind is SpanKind.SERVER]
    assert [span.parent.span_id for span in servers] == [client.context.span_id] * 2
    assert {span.attributes["rpc.response.status_code"] for span in servers} == {"UNAVAILABLE", "OK"}
    assert client.attributes["rpc.response.status_code"] == "OK"


def test_a_hedged_call_is_one_span_with_the_servers_below_it(loop_thread, traced_server, spans):
    never = asyncio.Event()
    count = 0

    async def first_hangs(request, context):
        nonlocal count
        count += 1
        if count == 1:
            await never.wait()
        return request

    target = traced_server(unary_unary=grpc.unary_unary_rpc_method_handler(first_hangs))

    async def scenario() -> None:
        hedging = Hedging(delay=0.05)
        async with channel(target, idempotent=["test.Echo"], hedging=hedging, tracing=True) as opened:
            assert await call_async(opened, "unary_unary", b"hello") == "OK"

    loop_thread.run(scenario())
    found = spans.wait(3)
    (client,) = [span for span in found if span.kind is SpanKind.CLIENT]
    servers = {span.attributes["rpc.response.status_code"]: span for span in found if span.kind is SpanKind.SERVER}
    assert set(servers) == {"OK", "CANCELLED"}
    assert {span.parent.span_id for span in servers.values()} == {client.context.span_id}
    assert client.attributes["rpc.response.status_code"] == "OK"


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_stream_that_is_written_by_hand_goes_on(loop_thread, traced_server, spans, kind):
    target = traced_server()

    async def scenario() -> bytes:
        async with channel(target, tracing=True) as opened:
            call = getattr(opened, kind)(f"/test.Echo/{kind}")()
            await call.write(b"one")
            await call.done_writing()
            return await call if kind == "stream_unary" else await call.read()

    assert loop_thread.run(scenario()) == b"re:one"
    assert len(spans.wait(2)) == 2


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
def test_a_stream_that_is_left_ends_its_span(loop_thread, traced_server, spans, kind):
    target = traced_server()

    async def scenario() -> None:
        async with channel(target, tracing=True) as opened:
            request = b"hello" if kind == "unary_stream" else iter([b"hello", b"sleep"])
            call = getattr(opened, kind)(f"/test.Echo/{kind}")(request)
            assert await call.read() == b"re:hello"
            call.cancel()
            await until(call.done)

    loop_thread.run(scenario())
    client, _ = both(spans)
    assert client.attributes["rpc.response.status_code"] in ("CANCELLED", "OK")


def test_a_call_that_cannot_be_started_ends_its_span(loop_thread, traced_server, spans):
    target = traced_server()

    def no_token() -> str:
        raise LookupError("the token is not there")

    async def scenario() -> None:
        async with channel(target, credentials=bearer(no_token), tracing=True) as opened:
            with pytest.raises(LookupError):
                await opened.unary_unary("/test.Echo/unary_unary")(b"hello")

    loop_thread.run(scenario())
    (span,) = spans.wait(1)
    assert span.attributes["error.type"] == "LookupError"
    assert span.status.status_code is StatusCode.ERROR


def test_an_interceptor_that_answers_by_itself_ends_the_span(loop_thread, spans):
    class Answering(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, client_call_details, request):
            return b"answered"

    async def scenario() -> bytes:
        interceptors = [*tracing_interceptors("users:1"), Answering()]
        async with grpc.aio.insecure_channel("users:1", interceptors=interceptors) as opened:
            return await opened.unary_unary("/test.Echo/unary_unary")(b"hello")

    assert loop_thread.run(scenario()) == b"answered"
    (span,) = spans.wait(1)
    assert span.attributes["rpc.response.status_code"] == "OK"
