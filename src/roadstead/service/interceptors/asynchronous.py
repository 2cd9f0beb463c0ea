"""Stages around the handlers of a `grpc.aio` server.

All four kinds of RPC run in one coroutine. It begins when the headers are there and reads the request itself, so a
caller that never finishes its request is refused as quickly as any other, and heard of like any other. A response
stream is pumped here, not yielded through: so a time limit covers it whole, and its generator is closed when the caller
goes away (grpc.aio leaves that to the collector).
"""

import asyncio
import functools
import inspect
import types
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

from roadstead.service.interceptors.guarded_context import GuardedContext, abort, is_cancelled, refuse
from roadstead.service.interceptors.messages import MISSING_REQUEST, decoding, encoding, has_streams, is_fine, reading
from roadstead.service.interceptors.plain import Work, in_threads
from roadstead.service.interceptors.plan import ABSENT, Wrapper, behaviour_of, cancelled_code, status_code
from roadstead.service.interceptors.stage import Call, Stage, current
from roadstead.service.refusal import Refusal, Refused

# The same as a handler does for a call whose request is still to be read; returns what is sent with the status.
_Run = Callable[[Call], Awaitable[Any]]
_Encode = Callable[[Any], bytes]
_OK, _EOF = grpc.StatusCode.OK, grpc.aio.EOF
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
        encode = encoding(handler)
        if has_streams(handler):
            return reading(handler, self._around(_run_streams(handler, work)), decoding(handler), encode)
        # A single response is encoded within reach of the stages. Others are when they are written, and that is, too.
        around = self._around(_run_single(work, encode), usual=(work, encode))
        return reading(handler, _KnownAtAGlance(around), decoding(handler), None)

    def _around(self, run: _Run, usual: tuple[Work, _Encode] | None = None) -> Work:
        """Return a handler that asks the stages, runs what they admit, and tells them how the RPC ended.

        `usual` is what `run` consists of if there is a single request and a single response.
        """
        stages, limited = self._stages, _limited(run)
        work, encode = usual or (None, None)

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
                if call.time_limit is not None:
                    response = await limited(call)
                elif work is None or encode is None or call.judge_request is not None:
                    response = await run(call)
                else:
                    # Most RPCs: `_run_single`, written out, since each coroutine is half a percent of a call.
                    if (request := await context.read()) is _EOF:
                        raise await _missing()
                    answer = await work(request, GuardedContext(call, context))
                    response = encode(answer) if not (said := context.code()) or said is _OK else None
                code = _OK if response is not None else status_code(context.code(), _OK)
            except BaseException as error:
                if _ends_more_than_a_call(call, error):
                    raise
                code = await self._answer(call, error)
            finally:
                stages.end(call, entered, code)
            return response

        return handle

    async def _answer(self, call: Call, error: BaseException) -> grpc.StatusCode:
        """Tell the caller what is to be told of an error, if the call has not ended before. Returns how it ends.

        Nothing is to be raised: grpc remembers that a call was aborted, and raises what it needs.
        """
        has_gone = False
        if not call.context.done():
            try:
                await self._tell(call, error)
            except grpc.aio.AbortError:
                pass
            except (grpc.aio.InternalError, asyncio.CancelledError):
                has_gone = True
        elif isinstance(error, grpc.aio.InternalError):
            has_gone = True  # while it was being told
        elif not isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
            call.reason = self._stages.convert(call, error).reason
        return cancelled_code(call.context) if has_gone else status_code(call.context.code(), grpc.StatusCode.UNKNOWN)

    async def _tell(self, call: Call, error: BaseException) -> None:
        """End the call. Raises AbortError, or InternalError if the core takes nothing more: its caller has gone."""
        if isinstance(error, grpc.aio.InternalError):
            await self._tell_if_there(call, error)
        elif isinstance(error, asyncio.CancelledError) and is_cancelled():
            # By grpc, whose caller has gone and hears nothing of it, or by the handler, whose caller waits.
            await abort(call.context, Refusal(cancelled_code(call.context), "the call was cancelled"))
        else:
            refusal = self._stages.convert(call, error)
            call.reason = refusal.reason
            await abort(call.context, refusal)

    async def _tell_if_there(self, call: Call, error: Exception) -> None:
        """Answer a caller who is still there: then it was a call of the handler's own that the core did not take."""
        try:
            await abort(call.context, _FAILED)
        except grpc.aio.AbortError:
            call.reason = self._stages.convert(call, error).reason
            raise

    async def _admit_in_time(self, call: Call, refusal: Refusal | None) -> Refusal | None:
        """Do what takes time before the stages have their last say. Returns the first refusal."""
        while refusal is None and call.pending is not None:
            answer, following = call.pending
            refusal = await asyncio.wrap_future(answer) or self._stages.admit(call, following)
        if call.reply_metadata:
            await call.context.send_initial_metadata(call.reply_metadata)
        return refusal


class _KnownAtAGlance(functools.partial[Awaitable[Any]]):
    """A coroutine function that grpc.aio takes for asynchronous at the first look.

    At every RPC it asks twice whether its handler is: first whether it is a coroutine (it may be no function at all),
    and only in the end whether it is a function that makes one. Those other questions are 2 % of a call. For streams
    it wants a coroutine function.
    """

    __slots__ = ()
    # `isinstance` believes it.
    __class__ = types.CoroutineType  # type: ignore[assignment]  # so is not its class


async def _absent(_requests: Any, context: Any) -> None:
    await abort(context, ABSENT)


def _ends_more_than_a_call(call: Call, error: BaseException) -> bool:
    """Tell whether an exception is meant for the whole process, or for a coroutine that nobody runs any more."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return True
    return isinstance(error, GeneratorExit) and current.get(None) is not call


def _run_single(work: Work, encode: _Encode) -> _Run:
    """Return what reads the one request, and returns the one response, encoded; None if there is a status instead."""

    async def run(call: Call) -> bytes | None:
        context = GuardedContext(call, call.context)
        response = await work(await _only(context), context)
        return encode(response) if is_fine(call.context) else None

    return run


def _run_streams(handler: Any, work: Work) -> _Run:
    """Return what reads requests and writes responses, at least one of them streams."""
    streams = handler.request_streaming

    async def run(call: Call) -> None:
        context = GuardedContext(call, call.context)
        response = await work(context.messages() if streams else await _only(context), context)
        if is_cancelled():
            await asyncio.sleep(0)
        if handler.response_streaming or not is_fine(call.context):
            return
        # Not left to grpc, which tells nobody when there is no caller any more to take it.
        await context.write(response)

    return run


async def _only(context: Any) -> Any:
    """Return the one request. Raises Refused if it is not there, or none."""
    if (message := await context.read()) is _EOF:
        raise await _missing()
    return message


async def _missing() -> Refused:
    """Return what to raise for a request that is not there, unless its caller has gone: of that grpc is told next."""
    await asyncio.sleep(0)
    return Refused(MISSING_REQUEST)


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
