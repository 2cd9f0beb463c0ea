"""Stages around the handlers of a `grpc.aio` server.

Refusals at header time go out before the request is read: whatever the method's kind, the answer is a handler of the
stream-stream kind that only aborts, so a caller that never finishes its request is refused as quickly as any other.
Accepted RPCs run in one coroutine for all four kinds. A response stream is pumped here, not yielded through: so a time
limit covers it whole, and its generator is closed when the caller goes away (grpc.aio leaves that to the collector).
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

from roadstead.service.interceptors.plain import in_threads
from roadstead.service.interceptors.plan import (
    ABSENT,
    MISSING_REQUEST,
    Plan,
    Wrapper,
    as_streams,
    behaviour_of,
    rehandled,
    status_code,
    trailing_metadata,
)
from roadstead.service.interceptors.stage import Call, Stage, current
from roadstead.service.refusal import Refusal

_Work = Callable[[Any, Any], Awaitable[Any]]
_Judged = Callable[[Any, Call], Awaitable[Any]]


class AsyncChain(grpc.aio.ServerInterceptor):
    """Runs stages around every RPC of a `grpc.aio.server`; the first stage is the outermost.

    Handlers that are plain functions run in `threads`.
    """

    def __init__(self, *stages: Stage, threads: Executor | None = None) -> None:
        self._wrapper = AsyncWrapper(stages, threads)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Judge the headers; return the method's handler with the chain around it, or one that refuses."""
        return self._wrapper.handler_for(handler_call_details, await continuation(handler_call_details))


class AsyncWrapper(Wrapper):
    """Puts stages around the handlers of a `grpc.aio` server; those that are plain functions run in `threads`."""

    def __init__(self, stages: Sequence[Stage], threads: Executor | None = None) -> None:
        super().__init__(stages, _absent)
        self._threads = threads or ThreadPoolExecutor(thread_name_prefix="handler")

    def _refusing(self, call: Call, refusal: Refusal) -> Any:
        async def refuse(_requests: Any, context: Any) -> None:
            call.context, call.peer = context, context.peer()
            await self._refuse(call, refusal)

        return grpc.stream_stream_rpc_method_handler(refuse)

    async def _refuse(self, call: Call, refusal: Refusal) -> None:
        call.reason = refusal.reason or call.reason
        try:
            if call.reply_metadata:
                await call.context.send_initial_metadata(call.reply_metadata)
            await abort(call.context, refusal)
        finally:
            self._stages.observe(call, refusal.code)

    def _admitting(self, plan: Plan, call: Call) -> Any:
        behaviour = behaviour_of(plan.wrapped)

        async def handle(requests: Any, context: Any) -> None:
            call.context, call.peer = context, context.peer()
            try:
                refusal = await self._admit_pending(call)
                awaited = refusal is None and not plan.handler.request_streaming
                request = await context.read() if awaited else requests
            except (asyncio.CancelledError, grpc.aio.InternalError):
                # The caller did not wait until its password was checked, or its request sent.
                self._stages.observe(call, _cancelled_code(context))
                raise
            if request is grpc.aio.EOF:
                refusal = MISSING_REQUEST
            if refusal is not None:
                await self._refuse(call, refusal)
            response = await behaviour(request, context)
            if not plan.handler.response_streaming:
                await context.write(response)

        return as_streams(plan.handler, handle)

    async def _begin(self, call: Call) -> None:
        if call.reply_metadata:
            await call.context.send_initial_metadata(call.reply_metadata)
        if (refusal := await self._admit_pending(call)) is not None:
            call.reason = refusal.reason or call.reason
            await abort(call.context, refusal)

    async def _admit_pending(self, call: Call) -> Refusal | None:
        while call.pending is not None:
            answer, following = call.pending
            try:
                refusal = await asyncio.wrap_future(answer) if isinstance(answer, Future) else None
            except Exception as error:  # noqa: BLE001  a stage's fault is the server's
                refusal = self._stages.convert(call, error)
            if refusal is None:
                refusal = self._stages.admit(call, following)
            if refusal is not None:
                return refusal
        return None

    def _wrap(self, handler: Any, method: str) -> Any:
        behaviour = behaviour_of(handler)
        if not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)):
            return rehandled(handler, in_threads(self._stages, handler, self._threads))
        work = _pumping(behaviour) if handler.response_streaming else behaviour
        return rehandled(handler, self._around(work, _limited(_judging(work, streams=handler.request_streaming))))

    def _around(self, work: _Work, checked: _Judged) -> _Work:
        """Return `work` with the stages around it; `checked` is what to do for a call with limits of its own."""
        stages = self._stages
        observed = bool(stages.observers)

        async def handle(request: Any, context: Any) -> Any:
            call = current.get()
            call.context, call.peer = context, context.peer()
            entered: list[Stage] = []
            code = grpc.StatusCode.OK
            try:
                if call.reply_metadata or call.pending is not None:
                    await self._begin(call)
                if (refusal := stages.enter(call, entered)) is not None:
                    call.reason = refusal.reason or call.reason
                    await abort(context, refusal)
                if call.time_limit is None and call.judge_request is None:
                    response = await work(request, context)
                else:
                    response = await checked(request, call)
                code = status_code(context.code(), code) if observed else code
            except (asyncio.CancelledError, grpc.aio.InternalError):
                # The latter: the core takes nothing more for this call, since the caller has gone.
                code = _cancelled_code(context)
                raise
            except grpc.aio.AbortError:
                code = status_code(context.code(), grpc.StatusCode.UNKNOWN)
                raise
            except Exception as error:  # noqa: BLE001  whatever a handler raises, its text stays here
                refusal = stages.convert(call, error)
                code, call.reason = refusal.code, refusal.reason
                await abort(context, refusal)
            else:
                return response
            finally:
                if entered or observed:
                    stages.end(call, entered, code)

        return handle


def _limited(work: _Judged) -> _Judged:
    """Return `work`, ended when the call's time limit is over, if it has one."""

    async def limited(request: Any, call: Call) -> Any:
        if call.time_limit is None:
            return await work(request, call)
        try:
            async with asyncio.timeout(call.time_limit) as limit:
                return await work(request, call)
        except TimeoutError:
            if limit.expired():
                call.reason = call.limit_refusal.reason or call.reason
                await abort(call.context, call.limit_refusal)
            raise

    return limited


async def _absent(_requests: Any, context: Any) -> None:
    await abort(context, ABSENT)


async def abort(context: Any, refusal: Refusal) -> None:
    """End the RPC with a refusal's status; raises what grpc.aio raises for that."""
    await context.abort(refusal.code, refusal.message, trailing_metadata(context, refusal))


def _judging(work: _Work, *, streams: bool) -> _Judged:
    """Return `work` with every message of the request judged before it, for calls that ask for that."""

    def judged(request: Any, call: Call) -> Awaitable[Any]:
        if call.judge_request is None:
            return work(request, _GuardedContext(call))
        if streams:
            return work(_judged_messages(call, request), _GuardedContext(call))
        return work_if_admitted(request, call)

    async def work_if_admitted(request: Any, call: Call) -> Any:
        return await work(await _admitted(call, request), _GuardedContext(call))

    return judged


async def _admitted(call: Call, message: Any) -> Any:
    refusal = call.judge_request(call, message) if call.judge_request is not None else None
    if refusal is not None:
        await abort(call.context, refusal)
    return message


async def _judged_messages(call: Call, requests: Any) -> AsyncIterator[Any]:
    async for message in requests:
        yield await _admitted(call, message)


class _GuardedContext:
    """A context for calls whose messages are judged, also if the handler reads them itself, or whose time is limited.

    A time limit may strike while a reply is being written, and until that has ended grpc takes no status: it would be
    lost, and the caller left waiting. So a write is always waited for; it ends at the latest when the caller goes.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call.context, name)

    async def read(self) -> Any:
        message = await self._call.context.read()
        return message if message is grpc.aio.EOF else await _admitted(self._call, message)

    async def write(self, message: Any) -> None:
        # A task of its own, since a bare one is cancelled with its caller; it is waited for right here.
        writing = asyncio.get_running_loop().create_task(self._call.context.write(message))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.exception()  # whatever it is, the reason for the end is another one
            raise


def _pumping(behaviour: Callable[[Any, Any], Any]) -> _Work:
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
