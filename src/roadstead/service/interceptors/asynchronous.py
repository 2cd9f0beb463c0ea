"""Stages around the handlers of a `grpc.aio` server.

All four kinds of RPC run in one coroutine. It begins when the headers are there and reads the request itself, so a
caller that never finishes its request is refused as quickly as any other, and heard of like any other. A response
stream is pumped here, not yielded through: so a time limit covers it whole, and its generator is closed when the caller
goes away (grpc.aio leaves that to the collector).
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

from roadstead.service.interceptors.guarded_context import GuardedContext, abort, refuse
from roadstead.service.interceptors.messages import MISSING_REQUEST, decoding, encoding, has_streams, is_fine, reading
from roadstead.service.interceptors.plain import Work, in_threads
from roadstead.service.interceptors.plan import ABSENT, Wrapper, behaviour_of, status_code
from roadstead.service.interceptors.stage import Call, Stage, current
from roadstead.service.refusal import Refusal, Refused

# The same as a handler does for a call whose request is still to be read; returns what is sent with the status.
_Run = Callable[[Call], Awaitable[Any]]
_FAILED = Refusal(grpc.StatusCode.INTERNAL, "internal error")


class AsyncChain(grpc.aio.ServerInterceptor):
    """Runs stages around every RPC of a `grpc.aio.server`; the first stage is the outermost.

    Handlers that are plain functions run in `threads`.
    """

    def __init__(self, *stages: Stage, threads: Executor | None = None) -> None:
        self._wrapper = AsyncWrapper(stages, threads)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return the method's handler with the chain around it."""
        return self._wrapper.handler_for(handler_call_details, await continuation(handler_call_details))


class AsyncWrapper(Wrapper):
    """Puts stages around the handlers of a `grpc.aio` server; those that are plain functions run in `threads`."""

    def __init__(self, stages: Sequence[Stage], threads: Executor | None = None) -> None:
        super().__init__(stages, _absent)
        self._threads = threads or ThreadPoolExecutor(thread_name_prefix="handler")

    def _wrap(self, handler: Any, method: str) -> Any:
        behaviour = behaviour_of(handler)
        if not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)):
            work = in_threads(handler, self._threads)
        else:
            work = _pumping(behaviour) if handler.response_streaming else behaviour
        run = _run_streams(handler, work) if has_streams(handler) else _run_single(handler, work)
        # A single response is encoded within reach of the stages. Others are when they are written, and that is, too.
        encode = encoding(handler) if has_streams(handler) else None
        around = self._around(run)
        return reading(handler, around if has_streams(handler) else _Awaitable(around), decoding(handler), encode)

    def _around(self, run: _Run) -> Work:
        """Return a handler that asks the stages, runs what they admit, and tells them how the RPC ended."""
        stages, limited = self._stages, _limited(run)

        async def handle(_requests: Any, context: Any) -> Any:
            call = current.get()
            call.context, call.peer = context, context.peer()
            entered: list[Stage] = []
            code, response = grpc.StatusCode.UNKNOWN, None
            try:
                refusal = stages.admit(call)
                if call.pending is not None or call.reply_metadata:
                    refusal = await self._admit_in_time(call, refusal)
                if (refusal := refusal or stages.enter(call, entered)) is not None:
                    await refuse(call, refusal)
                response = await (run if call.time_limit is None else limited)(call)
                code = grpc.StatusCode.OK if is_fine(context) else status_code(context.code(), code)
            except BaseException as error:  # noqa: BLE001  whatever a handler raises, its text stays here
                code, ending = await self._answer(call, error)
                if ending is not None:
                    try:
                        raise ending from None
                    finally:
                        del ending  # which knows this frame: else both would wait for the collector
            finally:
                stages.end(call, entered, code)
            return response

        return handle

    async def _answer(self, call: Call, error: BaseException) -> tuple[grpc.StatusCode, BaseException | None]:
        """Tell the caller what is to be told of an error. Returns how the RPC ends, and what to raise so that it does.

        Nothing is to be raised if the call was ended before: grpc remembers that by itself.
        """
        if isinstance(error, grpc.aio.AbortError):
            return status_code(call.context.code(), grpc.StatusCode.UNKNOWN), error
        if isinstance(error, asyncio.CancelledError) and _is_to_end():
            return _cancelled_code(call.context), error
        if not isinstance(error, Exception | asyncio.CancelledError):
            return grpc.StatusCode.UNKNOWN, error
        try:
            await self._tell(call, error)
        except grpc.aio.AbortError as aborted:
            return status_code(call.context.code(), grpc.StatusCode.UNKNOWN), aborted
        except grpc.aio.InternalError:
            # The core takes nothing more for this call, since its caller has gone.
            return _cancelled_code(call.context), asyncio.CancelledError()
        return status_code(call.context.code(), grpc.StatusCode.UNKNOWN), None

    async def _tell(self, call: Call, error: Exception | asyncio.CancelledError) -> None:
        if isinstance(error, grpc.aio.InternalError):
            await self._fail_if_there(call, error)
        elif isinstance(error, asyncio.CancelledError):
            await self._fail(call, _CancelledWithin(error))
        else:
            await self._fail(call, error)

    async def _admit_in_time(self, call: Call, refusal: Refusal | None) -> Refusal | None:
        """Do what takes time before the stages have their last say. Returns the first refusal."""
        while refusal is None and call.pending is not None:
            answer, following = call.pending
            refusal = await asyncio.wrap_future(answer) or self._stages.admit(call, following)
        if call.reply_metadata:
            await call.context.send_initial_metadata(call.reply_metadata)
        return refusal

    async def _fail(self, call: Call, error: Exception) -> None:
        refusal = self._stages.convert(call, error)
        call.reason = refusal.reason
        if call.context.done():
            return  # the handler has ended the call before, and grpc knows how
        await abort(call.context, refusal)

    async def _fail_if_there(self, call: Call, error: Exception) -> None:
        """Answer a caller who is still there: then it was a call of the handler's own that the core did not take."""
        if call.context.done():
            raise grpc.aio.InternalError from None
        try:
            await abort(call.context, _FAILED)
        except grpc.aio.AbortError:
            call.reason = self._stages.convert(call, error).reason
            raise


class _Awaitable:
    """A coroutine function that grpc.aio knows at a glance.

    At every RPC it looks twice whether its handler is asynchronous, and first whether it is something to await. That
    spares the other looks, which take 2 % of a call. For streams it wants a coroutine function.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Work) -> None:
        self._function = function

    def __call__(self, requests: Any, context: Any) -> Awaitable[Any]:
        return self._function(requests, context)

    def __await__(self) -> Any:
        raise TypeError("a handler is called, and what it returns is awaited")


async def _absent(_requests: Any, context: Any) -> None:
    await abort(context, ABSENT)


class _CancelledWithin(Exception):
    """Something that a handler waited for was cancelled, and nobody had asked the handler itself to end."""

    def __init__(self, cause: asyncio.CancelledError) -> None:
        super().__init__("a task that the handler waited for was cancelled")
        self.__cause__ = cause


def _is_to_end() -> bool:
    """Tell whether somebody has cancelled the task of this RPC: grpc does when the caller goes."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _run_single(handler: Any, work: Work) -> _Run:
    """Return what reads the one request, and returns the one response, encoded."""
    encode = encoding(handler)

    async def run(call: Call) -> bytes:
        plain = call.time_limit is None and call.judge_request is None
        context = call.context if plain else GuardedContext(call)
        # `_only`, written out: one coroutine less for most RPCs.
        if (request := await context.read()) is grpc.aio.EOF:
            raise Refused(MISSING_REQUEST)
        response = await work(request, context)
        return encode(response) if is_fine(context) else b""

    return run


def _run_streams(handler: Any, work: Work) -> _Run:
    """Return what reads requests and writes responses, at least one of them streams."""
    streams = handler.request_streaming

    async def run(call: Call) -> None:
        context = GuardedContext(call)
        response = await work(context.messages() if streams else await _only(context), context)
        if handler.response_streaming or not is_fine(context):
            return
        # Not left to grpc, which tells nobody when there is no caller any more to take it.
        await context.write(response)

    return run


async def _only(context: Any) -> Any:
    """Return the one request. Raises Refused if it is not there, or none."""
    message = await context.read()
    if message is grpc.aio.EOF:
        raise Refused(MISSING_REQUEST)
    return message


def _limited(run: _Run) -> _Run:
    """Return `run`, ended when the call's time limit is over."""

    async def limited(call: Call) -> Any:
        try:
            async with asyncio.timeout(call.time_limit) as limit:
                return await run(call)
        except TimeoutError:
            if limit.expired():
                await refuse(call, call.limit_refusal)
            raise

    return limited


def _pumping(behaviour: Callable[[Any, Any], Any]) -> Work:
    async def pump(request: Any, context: Any) -> None:
        responses = behaviour(request, context)
        if inspect.isawaitable(responses):
            await responses
            return
        try:
            async for response in responses:
                await context.write(response)
        finally:
            close = getattr(responses, "aclose", None)
            if close is not None:
                await close()

    return pump


def _cancelled_code(context: Any) -> grpc.StatusCode:
    remaining = context.time_remaining()
    over = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED
