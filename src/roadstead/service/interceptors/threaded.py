"""Stages around the handlers of the threaded `grpc.server`.

grpc asks for handlers in the one thread that serves all connections, under its lock: nothing may wait there, so stages
are asked in the RPC's own thread, before that reads the request.
A thread cannot be interrupted, so a time limit ends a stream between two messages and a unary call when it returns; a
call whose thread waits for its peer is cut off (`overdue.py`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, cast

import grpc

from roadstead.service.interceptors import overdue
from roadstead.service.interceptors.messages import MISSING_REQUEST, decoding, encoding, has_streams, is_fine, reading
from roadstead.service.interceptors.plan import ABSENT, Stages, Wrapper, behaviour_of, status_code, trailing_metadata
from roadstead.service.interceptors.stage import Call, Stage, current
from roadstead.service.refusal import Refusal, Refused

_Decode = Callable[[bytes], Any] | None
# How long a request that is missing is waited for to be one that broke off, in seconds.
_SECOND_WORD = 0.05
# One for all servers of the process: it has a thread, and nothing that is a server's own.
_watch = overdue.Watch()


class ThreadChain(grpc.ServerInterceptor):
    """Runs stages around every RPC of a `grpc.server`; the first stage is the outermost."""

    def __init__(self, *stages: Stage) -> None:
        self._wrapper = ThreadWrapper(stages)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Return the method's handler with the chain around it."""
        return self._wrapper.handler_for(handler_call_details, continuation(handler_call_details))


class ThreadWrapper(Wrapper):
    """Puts stages around the handlers of a `grpc.server`."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(stages, _absent)

    def _wrap(self, handler: Any, method: str) -> Any:
        around = _around_streams if has_streams(handler) else _around_single
        # Bytes to grpc: what makes messages of them, and of messages bytes, is within reach of the stages.
        return reading(handler, _in_pool_of(behaviour_of(handler), around(self._stages, handler)), None, None)


def _in_pool_of(behaviour: Callable[..., Any], handled: Any) -> Callable[..., Any]:
    # grpc lets a handler's function name threads of its own; health does.
    pool = getattr(behaviour, "experimental_thread_pool", None)
    if pool is not None:
        handled.experimental_thread_pool = pool
    return cast("Callable[..., Any]", handled)


def _around_single(stages: Stages, handler: Any) -> Callable[[Any, Any], bytes]:
    """Return what reads the one request, and returns the one response, with the stages around the handler."""
    behaviour, decode, encode = behaviour_of(handler), decoding(handler), encoding(handler)

    def handle(requests: Any, context: Any) -> bytes:
        call = current.get()
        with _Handling(stages, call, context) as handling:
            handling.begin()
            response = behaviour(_only(call, requests, decode), context)
            _check_time(call)
            return encode(response) if is_fine(context) else b""
        raise AssertionError("what a handler raises ends its RPC")

    return handle


def _around_streams(stages: Stages, handler: Any) -> Callable[[Any, Any], Iterator[bytes]]:
    """Return what reads requests and yields responses, at least one of them streams."""
    behaviour, decode, encode = behaviour_of(handler), decoding(handler), encoding(handler)
    read = _messages if handler.request_streaming else _only

    def handle(requests: Any, context: Any) -> Iterator[bytes]:
        call = current.get()
        with _Handling(stages, call, context) as handling:
            handling.begin()
            responses = behaviour(read(call, requests, decode), context)
            if handler.response_streaming:
                for response in responses:
                    yield from _sent(call, encode(response))
            elif is_fine(context):
                yield from _sent(call, encode(responses))

    return handle


def _only(call: Call, requests: Iterator[bytes], decode: _Decode) -> Any:
    """Return the one request. Raises Refused if it is not there, or none, and RpcError if its caller has gone."""
    content = next(requests if call.time_limit is None else _in_time(call, requests), None)
    if content is not None:
        return _judged(call, content if decode is None else decode(content))
    # A thread hears of a caller that goes twice: first it looks as if he only had nothing to say.
    ended = threading.Event()
    if not call.context.add_callback(ended.set) or ended.wait(_SECOND_WORD):
        raise grpc.RpcError("the call has ended")
    raise Refused(MISSING_REQUEST)


def _messages(call: Call, requests: Iterator[bytes], decode: _Decode) -> Iterator[Any]:
    """Yield the messages of a request as they come; ends the RPC if one is refused, or its time is over."""
    for content in requests if call.time_limit is None else _in_time(call, requests):
        yield _judged(call, content if decode is None else decode(content))


def _judged(call: Call, message: Any) -> Any:
    if call.judge_request is not None and (refusal := call.judge_request(call, message)) is not None:
        abort(call.context, refusal)
    return message


def _in_time(call: Call, messages: Iterator[bytes]) -> Iterator[bytes]:
    """Yield messages for which a thread waits, until the call's time is over."""
    while True:
        _check_time(call)
        _watch.begin(call)
        try:
            message = next(messages, None)
        finally:
            _watch.end(call)
        if call.is_cut_off:
            raise grpc.RpcError("the call has ended")
        _check_time(call)
        if message is None:
            return
        yield message


def _sent(call: Call, content: bytes) -> Iterator[bytes]:
    """Yield a response to grpc, which comes back when it has been sent."""
    if call.time_limit is None:
        yield content
        return
    _check_time(call)
    _watch.begin(call)
    try:
        yield content
    finally:
        _watch.end(call)


class _Handling:
    """What happens before and after a handler. A class, since a generator would take twice the time, at every RPC."""

    __slots__ = ("_call", "_entered", "_stages")

    def __init__(self, stages: Stages, call: Call, context: Any) -> None:
        self._stages = stages
        self._call = call
        self._entered: list[Stage] = []
        call.context, call.peer = context, context.peer()

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """Ask the stages that have a say before the handler; ends the RPC if one of them refuses."""
        call, stages = self._call, self._stages
        refusal = stages.admit(call)
        while refusal is None and call.pending is not None:
            answer, following = call.pending
            refusal = answer.result() or stages.admit(call, following)
        if call.reply_metadata:
            call.context.send_initial_metadata(call.reply_metadata)
        if refusal is None:
            refusal = stages.enter(call, self._entered)
        if refusal is not None:
            call.reason = refusal.reason or call.reason
            abort(call.context, refusal)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _where: TracebackType | None
    ) -> None:
        call, stages = self._call, self._stages
        code, refusal = self._end(error)
        try:
            if refusal is not None:
                call.reason = refusal.reason
                abort(call.context, refusal)
        finally:
            stages.end(call, self._entered, code)
            # The RPC's contextvars know the call: without this, all of it would wait for the collector of cycles.
            call.context = None

    def _end(self, error: BaseException | None) -> tuple[grpc.StatusCode, Refusal | None]:
        """Return how the RPC ends, and what the caller is told if that is not said already."""
        context = self._call.context
        if error is None:
            if not self._stages.observers:
                return grpc.StatusCode.OK, None
            if context.is_active():
                return status_code(context.code(), grpc.StatusCode.OK), None
        gone = self._call.is_cut_off or (isinstance(error, grpc.RpcError) and not context.is_active())
        if gone or not isinstance(error, Exception):
            # The caller went, or was let go, while the thread waited for the next message.
            return grpc.StatusCode.CANCELLED, None
        if _is_abort(error, context):
            return status_code(context.code(), grpc.StatusCode.UNKNOWN), None
        refusal = self._stages.convert(self._call, error)
        return refusal.code, refusal


def _absent(_requests: Any, context: Any) -> Iterator[Any]:
    abort(context, ABSENT)
    yield  # never: this makes it a stream


def abort(context: Any, refusal: Refusal) -> None:
    """End the RPC with a refusal's status; raises what grpc raises for that."""
    if metadata := trailing_metadata(context, refusal):
        context.set_trailing_metadata(metadata)
    context.abort(refusal.code, refusal.message)


def _check_time(call: Call) -> None:
    if overdue.is_overdue(call):
        call.reason = call.limit_refusal.reason or call.reason
        abort(call.context, call.limit_refusal)


def _is_abort(error: Exception, context: Any) -> bool:
    # `abort` sets a code and raises a bare Exception(): all that tells it from a handler's own error.
    bare = type(error) is Exception and not error.args
    return bare and context.code() is not None
