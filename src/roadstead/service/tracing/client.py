"""Spans of the calls that a program makes, with their context in the calls' metadata, so that the server's spans join.

    grpc.aio.insecure_channel(target, interceptors=tracing_interceptors(target))
    grpc.intercept_channel(grpc.insecure_channel(target), ThreadTracing(target))

`channel(…, tracing=True)` has them already, outside of its own: a call is one span however often it is repeated or
hedged, and each server that was asked has a span below it. The span ends when the call does, a stream's with the
stream.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import grpc.aio

from roadstead.service.tracing import conventions

try:
    from opentelemetry import trace
    from opentelemetry.propagate import inject
    from opentelemetry.propagators.textmap import Setter
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
except ModuleNotFoundError as missing:
    problem = "tracing needs opentelemetry-api: install it with `pip install 'roadstead[tracing]'`"
    raise ModuleNotFoundError(problem, name=missing.name) from missing


def tracing_interceptors(
    target: str, tracer_provider: trace.TracerProvider | None = None
) -> list[grpc.aio.ClientInterceptor]:
    """Return interceptors for a `grpc.aio` channel to `target`; put them before others."""
    spans = _Spans(target, tracer_provider)
    return [kind(spans) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Spans:
    """Begins and ends the spans of one channel's calls."""

    def __init__(self, target: str, tracer_provider: trace.TracerProvider | None) -> None:
        self._tracer = trace.get_tracer(
            "roadstead.service", tracer_provider=tracer_provider, schema_url=conventions.SCHEMA_URL
        )
        self._server = conventions.target_attributes(target)

    @contextmanager
    def begun(self, method: str | bytes, metadata: list[tuple[str, Any]]) -> Iterator[trace.Span]:
        """Begin a span and put its context into `metadata`; end it only if the call cannot even be started."""
        name = (method.decode() if isinstance(method, bytes) else method).removeprefix("/")
        attributes = {**conventions.method_attributes(name), **self._server}
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        inject(metadata, set_span_in_context(span), _SETTER)
        try:
            yield span
        except BaseException as error:
            _fail(span, type(error).__qualname__)
            span.end()
            raise


def _end(span: trace.Span, code: grpc.StatusCode, text: str | None) -> None:
    span.set_attribute(conventions.STATUS_CODE, code.name)
    if code is not grpc.StatusCode.OK:
        _fail(span, code.name, text)
    span.end()


def _fail(span: trace.Span, kind: str, text: str | None = None) -> None:
    span.set_attribute(conventions.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, text))


class _MetadataSetter(Setter[list[tuple[str, Any]]]):
    """Writes metadata for OpenTelemetry, in place of what a caller wrote by hand."""

    def set(self, carrier: list[tuple[str, Any]], key: str, value: str) -> None:
        carrier[:] = [pair for pair in carrier if pair[0] != key]
        carrier.append((key, value))


_SETTER: Any = _MetadataSetter()


class _Traced:
    def __init__(self, spans: _Spans) -> None:
        self._spans = spans

    async def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = list(details.metadata or ())
        with self._spans.begun(details.method, metadata) as span:
            traced = grpc.aio.ClientCallDetails(
                details.method,
                details.timeout,
                grpc.aio.Metadata(*metadata),
                details.credentials,
                details.wait_for_ready,
            )
            call = await continuation(traced, request)
        try:
            call.add_done_callback(lambda ended: _end(span, _now(ended.code()), _now(ended.details())))
        except NotImplementedError:
            # Another interceptor has answered without a call.
            _end(span, await call.code(), await call.details())
        return call


def _now(answer: Any) -> Any:
    # Of a call that has ended, grpc.aio's coroutines answer without waiting. A task for it could come too late:
    # programs end after their last call.
    try:
        answer.send(None)
    except StopIteration as done:
        return done.value
    answer.close()
    raise RuntimeError("a call is said to have ended and does not know how")


# grpc.aio takes one class per kind.
class _UnaryUnary(_Traced, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _UnaryStream(_Traced, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamUnary(_Traced, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


class _StreamStream(_Traced, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


class _Details(NamedTuple):
    method: Any
    timeout: Any
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class ThreadTracing(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """An interceptor for threaded channels: `grpc.intercept_channel(channel, ThreadTracing(target))`."""

    def __init__(self, target: str, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._spans = _Spans(target, tracer_provider)

    def _call(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = list(details.metadata or ())
        with self._spans.begun(details.method, metadata) as span:
            more = (getattr(details, name, None) for name in ("credentials", "wait_for_ready", "compression"))
            call = continuation(_Details(details.method, details.timeout, metadata, *more), request)
        call.add_done_callback(lambda ended: _end(span, ended.code(), ended.details()))
        return call

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Trace a call; as for the other kinds."""
        return self._call(continuation, client_call_details, request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Trace a call until its stream ends."""
        return self._call(continuation, client_call_details, request)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Trace a call."""
        return self._call(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Trace a call until its streams end."""
        return self._call(continuation, client_call_details, request_iterator)
