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

from roadstead.service.health_methods import is_health
from roadstead.service.interceptors import overdue
from roadstead.service.interceptors.messages import MISSING_REQUEST, decoding, encoding, has_streams, is_fine, reading
from roadstead.service.interceptors.plan import (
    ABSENT,
    Stages,
    Wrapper,
    behaviour_of,
    cancelled_code,
    status_code,
    trailing_metadata,
)
from roadstead.service.interceptors.stage import Call, Stage, current
from roadstead.service.interceptors.threaded_context import ThreadContext
from roadstead.service.refusal import Refusal, Refused
from roadstead.service.sendable import sendable_text

_Decode = Callable[[bytes], Any] | None
# How long a request that is missing is waited for to be one that broke off, in seconds.
_SECOND_WORD = 0.05
# How long a request of health is waited for, in seconds.
_HEALTH_PATIENCE = 1.0
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
            response = behaviour(_only(call, requests, decode), ThreadContext(call, context))
            _check_time(call)
            return encode(response) if is_fine(context) else b""
        return b""  # to a caller who has gone

    return handle


def _around_streams(stages: Stages, handler: Any) -> Callable[[Any, Any], Iterator[bytes]]:
    """Return what reads requests and yields responses, at least one of them streams."""
    behaviour, decode, encode = behaviour_of(handler), decoding(handler), encoding(handler)
    read = _messages if handler.request_streaming else _only

    def handle(requests: Any, context: Any) -> Iterator[bytes]:
        call = current.get()
        with _Handling(stages, call, context) as handling:
            handling.begin()
            responses = behaviour(read(call, requests, decode), ThreadContext(call, context))
            if handler.response_streaming:
                try:
                    for response in responses:
                        yield from _sent(call, encode(response))
                finally:
                    _close(responses)
            elif is_fine(context):
                yield from _sent(call, encode(responses))

    return handle


def _close(responses: Any) -> None:
    """Have a generator that nobody asks any more clean up: before the stages are left, and within their reach."""
    if (close := getattr(responses, "close", None)) is not None:
        close()


def _only(call: Call, requests: Iterator[bytes], decode: _Decode) -> Any:
    """Return the one request. Raises Refused if it is not there, or none, and RpcError if its caller has gone."""
    content = _first(call, requests)
    if content is not None:
        return _judged(call, content if decode is None else decode(content))
    # A thread hears of a caller that goes twice: first it looks as if he only had nothing to say.
    ended = threading.Event()
    if not call.context.add_callback(ended.set) or ended.wait(_SECOND_WORD):
        raise grpc.RpcError("the call has ended")
    raise Refused(MISSING_REQUEST)


def _first(call: Call, requests: Iterator[bytes]) -> bytes | None:
    if is_health(call.method):
        # Anybody may call it, and it has few threads: whoever sends nothing must not keep one from the probes.
        with call.limited(_HEALTH_PATIENCE):
            return next(_in_time(call, requests), None)
    return next(requests if call.time_limit is None else _in_time(call, requests), None)


def _messages(call: Call, requests: Iterator[bytes], decode: _Decode) -> Iterator[Any]:
    """Yield the messages of a request as they come; ends the RPC if one is refused, or its time is over."""
    for content in requests if call.time_limit is None else _in_time(call, requests):
        yield _judged(call, content if decode is None else decode(content))


def _judged(call: Call, message: Any) -> Any:
    if call.judge_request is not None and (refusal := call.judge_request(call, message)) is not None:
        abort(call, refusal)
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
            abort(call, refusal)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _where: TracebackType | None
    ) -> bool:
        call, stages = self._call, self._stages
        code, refusal = self._end(error)
        try:
            if refusal is not None:
                call.reason = refusal.reason
                abort(call, refusal)
            if error is not None and call.is_aborted:
                raise Exception from None  # as `abort` does: grpc takes any for the end of such a call
        finally:
            stages.end(call, self._entered, code)
            # The RPC's contextvars know the call: without this, all of it would wait for the collector of cycles.
            call.context = None
        return True

    def _end(self, error: BaseException | None) -> tuple[grpc.StatusCode, Refusal | None]:
        """Return how the RPC ends, and what the caller is told if that is not said already."""
        call, context = self._call, self._call.context
        if call.is_cut_off:
            return grpc.StatusCode.CANCELLED, None
        if error is None:
            if not self._stages.observers:
                return grpc.StatusCode.OK, None
            if context.is_active():
                return status_code(context.code(), grpc.StatusCode.OK), None
            return cancelled_code(context), None
        if isinstance(error, grpc.RpcError | GeneratorExit) and not context.is_active():
            # The caller went while the thread waited for the next message, or to send one.
            return cancelled_code(context), None
        if call.is_aborted:
            if not _is_abort(error):
                call.reason = self._stages.convert(call, error).reason
            return status_code(context.code(), grpc.StatusCode.UNKNOWN), None
        refusal = self._stages.convert(call, error)
        return refusal.code, refusal


def _absent(_requests: Any, context: Any) -> Iterator[Any]:
    context.abort(ABSENT.code, ABSENT.message)
    yield  # never: this makes it a stream


def abort(call: Call, refusal: Refusal) -> None:
    """End the RPC with a refusal's status; raises what grpc raises for that."""
    context, call.is_aborted = call.context, True
    if metadata := trailing_metadata(context, refusal):
        context.set_trailing_metadata(metadata)
    context.abort(refusal.code, sendable_text(refusal.message))


def _check_time(call: Call) -> None:
    if overdue.is_overdue(call):
        call.reason = call.limit_refusal.reason or call.reason
        abort(call, call.limit_refusal)


def _is_abort(error: BaseException) -> bool:
    # Of a call that was aborted: what grpc raises for that is a bare Exception().
    return type(error) is Exception and not error.args
