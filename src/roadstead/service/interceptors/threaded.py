"""Stages around the handlers of the threaded `grpc.server`, and around plain functions on a `grpc.aio` server.

grpc asks for handlers in the one thread that serves all connections, under its lock: nothing may wait there. What is
known from the headers alone is refused there; a password that has to be hashed is waited for in the RPC's own thread.
A thread cannot be interrupted, so a time limit ends a stream between two messages and a unary call when it returns.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, cast

import grpc
import grpc.aio

from roadstead.service.interceptors.plan import (
    ABSENT,
    MISSING_REQUEST,
    Plan,
    Stages,
    Wrapper,
    as_streams,
    behaviour_of,
    rehandled,
    status_code,
    trailing_metadata,
)
from roadstead.service.interceptors.stage import NEEDS_CONNECTION, Call, Stage, current
from roadstead.service.refusal import Refusal


class ThreadChain(grpc.ServerInterceptor):
    """Runs stages around every RPC of a `grpc.server`; the first stage is the outermost."""

    def __init__(self, *stages: Stage) -> None:
        self._wrapper = ThreadWrapper(stages)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Judge the headers as far as that takes no time; return the handler with the chain around it."""
        return self._wrapper.handler_for(handler_call_details, continuation(handler_call_details))


class ThreadWrapper(Wrapper):
    """Puts stages around the handlers of a `grpc.server`."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(stages, _absent)

    def _admitting(self, plan: Plan, call: Call) -> Any:
        if call.pending is not None and call.pending[0] is not NEEDS_CONNECTION:
            return plan.wrapped  # it waits when it begins
        behaviour = behaviour_of(plan.handler)
        return as_streams(plan.handler, _in_pool_of(behaviour, _around_any(self._stages, plan.handler)))

    def _refusing(self, call: Call, refusal: Refusal) -> Any:
        def refuse(_requests: Any, context: Any) -> Any:
            call.context, call.peer = context, context.peer()
            call.reason = refusal.reason or call.reason
            try:
                _send_reply_metadata(call)
                abort(context, refusal)
            finally:
                self._stages.observe(call, refusal.code)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _wrap(self, handler: Any, method: str) -> Any:
        return rehandled(handler, _in_pool_of(behaviour_of(handler), around(self._stages, handler)))


def _in_pool_of(behaviour: Callable[..., Any], handled: Any) -> Callable[..., Any]:
    # grpc lets a handler's function name threads of its own; health does.
    pool = getattr(behaviour, "experimental_thread_pool", None)
    if pool is not None:
        handled.experimental_thread_pool = pool
    return cast("Callable[..., Any]", handled)


def around(stages: Stages, handler: Any) -> Callable[[Any, Any], Any]:
    """Return a plain handler's function with the stages around it, for the call that is current when it runs."""
    make = _around_stream if handler.response_streaming else _around_unary
    return make(stages, behaviour_of(handler), streams=handler.request_streaming)


def _around_unary(stages: Stages, behaviour: Callable[..., Any], *, streams: bool) -> Callable[[Any, Any], Any]:
    def handle(request: Any, context: Any) -> Any:
        call = current.get()
        with _Handling(stages, call, context) as handling:
            handling.begin()
            response = behaviour(_judged(call, request, streams), context)
            _check_time(call)
        return response

    return handle


def _around_stream(
    stages: Stages, behaviour: Callable[..., Any], *, streams: bool
) -> Callable[[Any, Any], Iterator[Any]]:
    def handle(request: Any, context: Any) -> Iterator[Any]:
        call = current.get()
        with _Handling(stages, call, context) as handling:
            handling.begin()
            for response in behaviour(_judged(call, request, streams), context):
                _check_time(call)
                yield response

    return handle


def _around_any(stages: Stages, handler: Any) -> Callable[[Any, Any], Iterator[Any]]:
    """Return a handler of streams for a method of any kind; it reads the request when the call is admitted."""
    behaviour, streams = behaviour_of(handler), handler.request_streaming

    def handle(requests: Any, context: Any) -> Iterator[Any]:
        call = current.get()
        with _Handling(stages, call, context) as handling:
            handling.begin()
            request = requests if streams else _only(requests, context)
            found = behaviour(_judged(call, request, streams), context)
            for response in found if handler.response_streaming else (found,):
                _check_time(call)
                yield response

    return handle


def _only(requests: Iterator[Any], context: Any) -> Any:
    message = next(iter(requests), None)
    if message is None:
        abort(context, MISSING_REQUEST)
    return message


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
        call = self._call
        _send_reply_metadata(call)
        refusal = _admit_pending(self._stages, call) if call.pending is not None else None
        if refusal is None:
            refusal = self._stages.enter(call, self._entered)
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
        if not isinstance(error, Exception) or (isinstance(error, grpc.RpcError) and not context.is_active()):
            # The last: the caller went while the handler waited for the next message.
            return grpc.StatusCode.CANCELLED, None
        if _is_abort(error, context):
            return status_code(context.code(), grpc.StatusCode.UNKNOWN), None
        refusal = self._stages.convert(self._call, error)
        return refusal.code, refusal


def _admit_pending(stages: Stages, call: Call) -> Refusal | None:
    while call.pending is not None:
        answer, following = call.pending
        refusal = answer.result() if isinstance(answer, Future) else None
        if refusal is None:
            refusal = stages.admit(call, following)
        if refusal is not None:
            return refusal
    return None


def _absent(_requests: Any, context: Any) -> Iterator[Any]:
    abort(context, ABSENT)
    yield  # never: this makes it a stream


def abort(context: Any, refusal: Refusal) -> None:
    """End the RPC with a refusal's status; raises what grpc raises for that."""
    if metadata := trailing_metadata(context, refusal):
        context.set_trailing_metadata(metadata)
    context.abort(refusal.code, refusal.message)


def _send_reply_metadata(call: Call) -> None:
    if call.reply_metadata:
        call.context.send_initial_metadata(call.reply_metadata)


def _judged(call: Call, request: Any, streams: bool) -> Any:
    """Return the request with every message judged before the handler gets it, if the call asks for that."""
    if call.judge_request is None:
        return request
    return (_admitted(call, message) for message in request) if streams else _admitted(call, request)


def _admitted(call: Call, message: Any) -> Any:
    refusal = call.judge_request(call, message) if call.judge_request is not None else None
    if refusal is not None:
        abort(call.context, refusal)
    return message


def _check_time(call: Call) -> None:
    if call.time_limit is not None and time.monotonic() - call.started > call.time_limit:
        call.reason = call.limit_refusal.reason or call.reason
        abort(call.context, call.limit_refusal)


def _is_abort(error: Exception, context: Any) -> bool:
    # `abort` sets a code and raises a bare Exception(): all that tells it from a handler's own error.
    bare = type(error) is Exception and not error.args
    return (bare and context.code() is not None) or isinstance(error, grpc.aio.AbortError)
