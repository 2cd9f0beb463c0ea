"""The chain around the handlers of the threaded `grpc.server`, and around plain functions on a `grpc.aio` server.

grpc calls interceptors in the one thread that serves all connections, under its lock: nothing may wait there. What is
known from the headers alone is refused there; a password that has to be hashed is waited for in the RPC's own thread.
A thread cannot be interrupted, so a time limit ends a stream between two messages and a unary call when it returns.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

import grpc
import grpc.aio

from roadstead.service.identity import set_current_identity
from roadstead.service.interceptors.plan import (
    MISSING_REQUEST,
    Plans,
    Stages,
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
        self._stages = Stages(stages)
        self._plans = Plans(self._wrap)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Judge the headers as far as that takes no time; return the handler with the chain around it."""
        handler = continuation(handler_call_details)
        started = time.monotonic()
        metadata = handler_call_details.invocation_metadata or ()
        if handler is None:
            unknown = Call(handler_call_details.method.removeprefix("/"), metadata, started)
            self._stages.observe(unknown, grpc.StatusCode.UNIMPLEMENTED)
            return None
        plan = self._plans.get(handler_call_details.method, handler)
        call = Call(plan.method, metadata, started, streams=plan.streams, kind=plan.kind)
        refusal, call.pending = admit_now(self._stages, call, 0)
        if refusal is not None:
            return self._refusing(call, refusal)
        set_current_identity(call.identity)
        current.set(call)
        if call.pending is not None and call.pending[0] is None:
            return self._admitting(call, handler)
        return plan.wrapped

    def _admitting(self, call: Call, handler: Any) -> Any:
        """Return a handler that goes on with the admission, now that the connection is known, before it reads."""
        handle = around_any(self._stages, handler)
        return as_streams(
            handler,
            _in_pool_of(behaviour_of(handler), lambda requests, context: handle(call, requests, context)),
        )

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
        around = around_stream if handler.response_streaming else around_unary
        behaviour = behaviour_of(handler)
        handle = around(self._stages, behaviour, streams=handler.request_streaming)

        def handled(request: Any, context: Any) -> Any:
            return handle(current.get(), request, context)

        return rehandled(handler, _in_pool_of(behaviour, handled))


def _in_pool_of(behaviour: Callable[..., Any], handled: Any) -> Callable[..., Any]:
    # grpc lets a handler's function name threads of its own; health does.
    pool = getattr(behaviour, "experimental_thread_pool", None)
    if pool is not None:
        handled.experimental_thread_pool = pool
    return cast("Callable[..., Any]", handled)


def admit_now(stages: Stages, call: Call, first: int) -> "tuple[Refusal | None, tuple[Future[Any] | None, int] | None]":
    """Ask stages from number `first` on.

    Returns a refusal; or the answer to wait for (None: the connection) and the number of the stage to ask after it; or
    neither.
    """
    try:
        for number in range(first, len(stages.admits)):
            answer = stages.admits[number](call)
            if answer is NEEDS_CONNECTION and call.context is None:
                return None, (None, number)
            if isinstance(answer, Future):
                return None, (answer, number + 1)
            if answer is not None:
                return answer, None
    except Exception as error:  # noqa: BLE001  a stage's fault is the server's, and grpc would tell the client its text
        return stages.convert(call, error), None
    return None, None


def _admit_pending(stages: Stages, call: Call) -> Refusal | None:
    while call.pending is not None:
        answer, following = call.pending
        refusal: Refusal | None = None if answer is None else answer.result()
        if refusal is None:
            refusal, call.pending = admit_now(stages, call, following)
        if refusal is not None:
            return refusal
    set_current_identity(call.identity)
    return None


def around_unary(stages: Stages, behaviour: Callable[..., Any], *, streams: bool) -> Callable[[Call, Any, Any], Any]:
    """Return a handler with one response and the chain around it; `streams` tells whether its request is a stream."""

    def handle(call: Call, request: Any, context: Any) -> Any:
        with _handled(stages, call, context):
            response = behaviour(_judged(call, request, streams), context)
            _check_time(call)
        return response

    return handle


def around_stream(
    stages: Stages, behaviour: Callable[..., Any], *, streams: bool
) -> Callable[[Call, Any, Any], Iterator[Any]]:
    """Return a handler with a stream of responses and the chain around it."""

    def handle(call: Call, request: Any, context: Any) -> Iterator[Any]:
        with _handled(stages, call, context):
            for response in behaviour(_judged(call, request, streams), context):
                _check_time(call)
                yield response

    return handle


def around_any(stages: Stages, handler: Any) -> Callable[[Call, Any, Any], Iterator[Any]]:
    """Return a handler of streams with the chain around that of any kind; it reads the request when it is admitted."""
    behaviour, streams = behaviour_of(handler), handler.request_streaming

    def handle(call: Call, requests: Any, context: Any) -> Iterator[Any]:
        with _handled(stages, call, context):
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


@contextmanager
def _handled(stages: Stages, call: Call, context: Any) -> Iterator[None]:
    call.context, call.peer = context, context.peer()
    entered: list[Stage] = []
    code = grpc.StatusCode.CANCELLED
    try:
        _send_reply_metadata(call)
        refusal = _admit_pending(stages, call) if call.pending is not None else None
        if refusal is None and stages.hold:
            refusal, entered = stages.enter(call)
        if refusal is not None:
            call.reason = refusal.reason or call.reason
            abort(context, refusal)
        yield
        code = status_code(context.code(), grpc.StatusCode.OK) if context.is_active() else code
    except Exception as error:  # whatever a handler raises, its text stays here
        if isinstance(error, grpc.RpcError) and not context.is_active():
            raise  # the caller went while the handler waited for the next message
        if _is_abort(error, context):
            code = status_code(context.code(), grpc.StatusCode.UNKNOWN)
            raise
        refusal = stages.convert(call, error)
        code, call.reason = refusal.code, refusal.reason
        abort(context, refusal)
    finally:
        stages.leave(call, entered)
        stages.observe(call, code)


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
