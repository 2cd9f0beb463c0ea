"""Plain functions as handlers on a `grpc.aio` server: they run in threads, with a context that is safe there.

grpc.aio can run them, too, but its context asks the core about a call that may be gone: a caller who cancels at the
right moment ends the whole process (1.85: `peer()` and `auth_context()` after the end), and one who cancels a stream
keeps its thread for ever. So the event loop keeps the call, and the thread gets what is known of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from typing import Any

import grpc.aio
import structlog

from roadstead.lib.tracebacks import traceback_of
from roadstead.service.interceptors.plain_context import PlainContext
from roadstead.service.interceptors.plan import Escaped, behaviour_of
from roadstead.service.interceptors.stage import current

_log = structlog.get_logger(__name__)
# What a handler does with a request, or with an asynchronous iterator of requests, and a context.
Work = Callable[[Any, Any], Awaitable[Any]]
_END = object()


def in_threads(handler: Any, threads: Executor) -> Work:
    """Return an asynchronous function that runs a plain handler, of any kind."""
    work = _stream if handler.response_streaming else _single
    behaviour, streams = behaviour_of(handler), handler.request_streaming

    async def run(request: Any, context: Any) -> Any:
        plain = PlainContext(context, asyncio.get_running_loop())
        try:
            response = await work(behaviour, plain.requests() if streams else request, plain, threads)
            await plain.hand_over()
        finally:
            plain.end()
        return response

    return run


async def _single(behaviour: Callable[[Any, Any], Any], request: Any, plain: PlainContext, threads: Executor) -> Any:
    return await _awaited(threads.submit(copy_context().run, _contained, lambda: behaviour(request, plain)), plain)


async def _stream(behaviour: Callable[[Any, Any], Any], request: Any, plain: PlainContext, threads: Executor) -> None:
    context, responses = copy_context(), _begun_in_thread(behaviour, request, plain)

    def step() -> Any:
        return context.run(_contained, lambda: next(responses, _END))

    running = threads.submit(step)
    try:
        while (response := await _awaited(running, plain)) is not _END:
            await plain.write(response)
            running = threads.submit(step)
    except BaseException:
        _close(context, responses, running, threads)
        raise


def _contained(step: Callable[[], Any]) -> Any:
    """Do one step of a handler. Raises Escaped for what would end more than the call: the event loop, or its task."""
    try:
        return step()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        raise Escaped(error) from None


def _begun_in_thread(
    behaviour: Callable[[Any, Any], Any], request: Any, plain: PlainContext
) -> Generator[Any, None, None]:
    """Return the responses of a handler, which is called when the first of them is asked for."""
    yield from behaviour(request, plain)


def _close(context: Context, responses: Generator[Any, None, None], running: Future[Any], threads: Executor) -> None:
    """Close a generator when its step that is running has ended: nobody wants what comes next.

    What the call has taken is given back after that.
    """
    call, closed = current.get(), Future[None]()

    def close() -> None:
        try:
            context.run(responses.close)
        except Exception as error:  # noqa: BLE001  nobody is there any more to be told of it
            _log.error("clean-up of a handler failed", method=call.method, exception=traceback_of(error))
        finally:
            closed.set_result(None)

    running.add_done_callback(lambda _: threads.submit(close))
    call.lingering = closed


async def _awaited(running: Future[Any], plain: PlainContext) -> Any:
    """Wait for what a thread does. If the caller goes or its time is over, the thread is told, and not waited for."""
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        plain.end()
        if not running.cancelled():
            # What the call has taken is given back when the thread has ended: there are only so many of them.
            current.get().lingering = running
        raise
    except Exception:
        await plain.abort_if_aborted()
        if not plain.is_active():
            raise grpc.aio.InternalError("the call has ended") from None
        raise
