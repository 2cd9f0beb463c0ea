"""What is done around the handlers of a server, decided once for each method: which stages speak at which moment.

`Wrapper` answers the question that grpc asks at every RPC, which handler is to serve it. It is asked by an interceptor
(`AsyncChain`, `ThreadChain`) or, at less cost, by `Methods`. `AsyncWrapper` and `ThreadWrapper` differ only in how they
wait.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import grpc
import structlog

from roadstead.lib.tracebacks import traceback_of
from roadstead.service.interceptors.stage import (
    Admission,
    Call,
    Outcome,
    Stage,
    current,
    overriding,
)
from roadstead.service.refusal import Refusal, Refused
from roadstead.service.sendable import MetadataPairs

_log = structlog.get_logger(__name__)
# Methods of one server are few; only a handler that takes any name could make more, and must not fill the memory.
_MOST_PLANS = 4096
# By whether the request and the response are streams.
_KIND_NAMES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Stages:
    """The stages of a chain, sorted by moment."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.admits: tuple[Callable[[Call], Admission | Future[Admission]], ...] = overriding(stages, "admit")
        self.observers: tuple[Callable[[Call, Outcome], None], ...] = overriding(stages, "observe")
        self.converts: tuple[Callable[[Call, Exception], Admission], ...] = overriding(stages, "convert")
        # What to ask before the handler, with the stage that has to be left again.
        self._enters = tuple((stage.enter, stage if _leaves(stage) else None) for stage in stages if _holds(stage))

    def admit(self, call: Call, first: int = 0) -> Refusal | None:
        """Ask stages from number `first` on what they say of the headers. Returns the first refusal.

        `call.pending` is set if an answer has to be there before the others are asked.
        """
        call.pending = None
        number = first
        try:
            for admit in self.admits[first:] if first else self.admits:
                answer = admit(call)
                if answer is None:
                    number += 1
                    continue
                if isinstance(answer, Future):
                    call.pending = answer, number + 1
                    return None
                return answer
        except Exception as error:  # noqa: BLE001  a stage's fault is the server's, and grpc would tell the client its text
            return self.convert(call, error)
        return None

    def enter(self, call: Call, entered: list[Stage]) -> Refusal | None:
        """Ask every stage in order. Returns the first refusal; adds to `entered` those that have to be left again."""
        for enter, left in self._enters:
            refusal = enter(call)
            if refusal is not None:
                return refusal
            if left is not None:
                entered.append(left)
        return None

    def _leave(self, call: Call, entered: list[Stage]) -> None:
        """Leave in the opposite order; one that fails does not keep the others from it."""
        for stage in reversed(entered):
            try:
                stage.leave(call)
            except Exception as error:  # noqa: BLE001  any fault of one stage is logged and must not reach the others
                _log.error(
                    "stage failed", stage=type(stage).__name__, method=call.method, exception=traceback_of(error)
                )

    def end(self, call: Call, entered: list[Stage], code: grpc.StatusCode) -> None:
        """Leave what was entered, and tell every observer how the RPC ended."""
        if entered:
            lingering, call.lingering = call.lingering, None
            if lingering is None:
                self._leave(call, entered)
            else:
                lingering.add_done_callback(lambda _: self._leave(call, entered))
        if self.observers:
            self.observe(call, code)

    def convert(self, call: Call, raised: BaseException) -> Refusal:
        """Say what the caller is told about an exception: never its text. A stage that fails at it says nothing."""
        error = raised if isinstance(raised, Exception) else Escaped(raised)
        for convert in self.converts:
            try:
                refusal = convert(call, error)
            except Exception as failure:  # noqa: BLE001  an exception may be such that even looking at it fails
                _log.error("stage failed", method=call.method, exception=traceback_of(failure))
                continue
            if refusal:
                return refusal
        if isinstance(error, Refused):
            return error.refusal
        _log.error("handler failed", method=call.method, **call.trace_ids(), exception=traceback_of(error))
        return Refusal(grpc.StatusCode.INTERNAL, "internal error", type(error).__name__)

    def observe(self, call: Call, code: grpc.StatusCode) -> None:
        """Tell every observer how the RPC ended; their failures are logged and change nothing."""
        if not self.observers:
            return
        outcome = Outcome(code, time.monotonic() - call.started)
        for observe in self.observers:
            try:
                observe(call, outcome)
            except Exception as error:  # noqa: BLE001  a fault of an observer is logged and must not change the RPC
                _log.error("observer failed", method=call.method, exception=traceback_of(error))


class Escaped(Exception):
    """A handler was left by what is no error, such as GeneratorExit, or the end of a task that it waited for."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__} left the handler")
        self.__cause__ = cause


def _leaves(stage: Stage) -> bool:
    return bool(overriding((stage,), "leave"))


def _holds(stage: Stage) -> bool:
    return _leaves(stage) or bool(overriding((stage,), "enter"))


class Plan:
    """One method's handler with the chain around it. `handler` tells whether the plan is still about the same one.

    `kind` is empty for a method that is not there.
    """

    __slots__ = ("handler", "kind", "method", "streams", "wrapped")

    def __init__(self, handler: Any, method: str, wrapped: Any, *, known: bool = True) -> None:
        self.handler = handler
        self.method = method
        self.streams = known and bool(handler.request_streaming or handler.response_streaming)
        self.kind = _KIND_NAMES[bool(handler.request_streaming), bool(handler.response_streaming)] if known else ""
        self.wrapped = wrapped


class Wrapper:
    """Puts stages around the handlers of a server, and around `absent`, which stands for methods that are not there.

    So who may not call a method is not told whether it exists.
    """

    def __init__(self, stages: Sequence[Stage], absent: Callable[..., Any]) -> None:
        self._stages = Stages(stages)
        self._absent: Any = grpc.stream_stream_rpc_method_handler(absent)
        # By path, made at the first call of a method.
        self._plans: dict[str, Plan] = {}

    def handler_for(self, details: Any, handler: Any) -> Any:
        """Return the handler of an RPC with the stages around it, or what stands for one that is not there.

        `details` are grpc's HandlerCallDetails, `handler` is the method's own one, or None if there is no such method.
        Never waits, and must be called in the RPC's own context.
        """
        started = time.monotonic()
        plan = self._plans.get(details.method)
        if plan is None or plan.handler is not handler:
            plan = self._make_plan(details.method, handler)
        current.set(Call(plan.method, details.invocation_metadata or (), started, plan.streams, plan.kind))
        return plan.wrapped

    def _make_plan(self, path: str, handler: Any) -> Plan:
        method = path.removeprefix("/")
        if handler is None:
            # Not kept: strangers can think of any number of them.
            return Plan(self._absent, method, self._wrap(self._absent, method), known=False)
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[path] = Plan(handler, method, self._wrap(handler, method))
        return plan

    def _wrap(self, handler: Any, method: str) -> Any:
        """Return the handler with the stages around it, for calls that the headers admit."""
        raise NotImplementedError


class Methods(grpc.GenericRpcHandler):
    """All methods of a server, with stages around them.

    Added to a grpc server in place of the handlers themselves, it costs less than an interceptor: grpc.aio runs two
    coroutines more for every RPC if there is any, and waits for each method that is registered with it by a task.
    """

    def __init__(
        self, wrapper: Wrapper, registered: Mapping[str, Any], generic: Iterable[grpc.GenericRpcHandler] = ()
    ) -> None:
        self._wrapper = wrapper
        self._registered = registered
        self._generic = tuple(generic)

    def service(self, handler_call_details: Any) -> Any:
        """Return what serves an RPC; also what refuses it if there is no such method."""
        handler = self._registered.get(handler_call_details.method)
        if handler is None:
            for each in self._generic:
                handler = each.service(handler_call_details)
                if handler is not None:
                    break
        return self._wrapper.handler_for(handler_call_details, handler)


def behaviour_of(handler: Any) -> Callable[..., Any]:
    """Return the function behind a grpc method handler, whichever of the four kinds it is."""
    found = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return found  # type: ignore[no-any-return]  # grpc's handlers are untyped


ABSENT = Refusal(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")  # as grpc itself says it


def trailing_metadata(context: Any, refusal: Refusal) -> MetadataPairs:
    """Return what to send with a refusal's status: its own metadata, added to what the handler has set."""
    try:
        own = refusal.trailing_metadata
    except Exception as error:  # noqa: BLE001  a detail that cannot be sent must not change the status
        _log.error("the details of an error cannot be sent", code=refusal.code.name, exception=traceback_of(error))
        own = ()
    if not own:
        return ()
    names = {key for key, _ in own}
    return (*(pair for pair in context.trailing_metadata() or () if pair[0] not in names), *own)


def status_code(code: Any, default: grpc.StatusCode) -> grpc.StatusCode:
    """Return what grpc keeps as a number, an enumeration or None as a StatusCode."""
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, default) if code else default


def cancelled_code(context: Any) -> grpc.StatusCode:
    """Return how a call ended whose caller went: because it did not want it any more, or because its time was over."""
    remaining = context.time_remaining()
    over = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED
