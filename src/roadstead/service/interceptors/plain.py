"""Plain functions as handlers on a `grpc.aio` server: they run in threads, with a context that is safe there.

grpc.aio can run them, too, but its context asks the core about a call that may be gone: a caller who cancels at the
right moment ends the whole process (1.85: `peer()` and `auth_context()` after the end), and one who cancels a stream
keeps its thread for ever. So the event loop keeps the call, and the thread gets what is known of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from typing import Any

import grpc

from roadstead.service.interceptors.plain_context import PlainContext
from roadstead.service.interceptors.plan import Stages
from roadstead.service.interceptors.stage import Call, current
from roadstead.service.interceptors.threaded import around

_END = object()
_Handle = Callable[[Any, Any], Awaitable[Any]]


def in_threads(stages: Stages, handler: Any, threads: Executor) -> _Handle:
    """Return an asynchronous handler that runs a plain one, of any kind, with the chain around it."""
    make = _streaming if handler.response_streaming else _single
    streams = handler.request_streaming
    work = make(stages, around(stages, handler), threads)

    async def handle(request: Any, context: Any) -> Any:
        plain = PlainContext(context, asyncio.get_running_loop())
        try:
            return await work(plain.requests() if streams else request, plain, current.get())
        except asyncio.CancelledError:
            await plain.abort_if_cancelled_by_handler()
            raise
        finally:
            plain.end()

    return handle


_Work = Callable[[Any, PlainContext, Call], Awaitable[Any]]


def _single(stages: Stages, surrounded: Callable[[Any, Any], Any], threads: Executor) -> _Work:
    async def work(request: Any, plain: PlainContext, call: Call) -> Any:
        running = threads.submit(copy_context().run, surrounded, request, plain)
        response = await _awaited(running, plain, lambda: stages.observe(call, grpc.StatusCode.CANCELLED))
        plain.hand_over()
        return response

    return work


def _streaming(stages: Stages, surrounded: Callable[[Any, Any], Iterator[Any]], threads: Executor) -> _Work:
    async def work(request: Any, plain: PlainContext, call: Call) -> None:
        context, responses = copy_context(), surrounded(request, plain)

        def step() -> Any:
            return context.run(lambda: next(responses, _END))

        def observe() -> None:
            stages.observe(call, grpc.StatusCode.CANCELLED)

        running = threads.submit(step)
        unheard: Callable[[], None] | None = observe
        try:
            while (response := await _awaited(running, plain, unheard)) is not _END:
                unheard = None
                await plain.write(response)
                running = threads.submit(step)
        except asyncio.CancelledError:
            _close(context, responses, running, threads)
            raise
        plain.hand_over()

    return work


def _close(context: Context, responses: Any, running: Future[Any], threads: Executor) -> None:
    """Close a generator when its step that is running has ended: nobody wants what comes next."""
    if running.done():
        threads.submit(context.run, responses.close)
    else:
        running.add_done_callback(lambda _: context.run(responses.close))


async def _awaited(running: Future[Any], plain: PlainContext, unheard: Callable[[], None] | None) -> Any:
    """Wait for what a thread does. If the caller goes, the thread is told; `unheard` is called if it never began."""
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        if running.cancelled() and unheard is not None:
            unheard()
        plain.end()
        raise
    except Exception:
        # The chain around a handler lets nothing out but aborts.
        await plain.abort_call()
        raise
