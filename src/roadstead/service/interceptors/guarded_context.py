"""The context of handlers on a `grpc.aio` server that have streams, a limit of time, or messages to be judged.

It stands before grpc's own, and reads and writes with more care; all else is grpc's.
"""

import asyncio
import types
from collections.abc import Generator
from typing import Any, Self

import grpc
import grpc.aio

from roadstead.service.interceptors.plan import trailing_metadata
from roadstead.service.interceptors.stage import Call
from roadstead.service.refusal import Refusal


class GuardedContext:
    """grpc's context of a call, with every message of the request judged before the handler has it."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call.context, name)

    async def read(self) -> Any:
        """Return the next message of the request, or grpc's EOF. Raises InternalError if the request broke off."""
        call = self._call
        message, has_failed = await _read(call.context.read())
        if message is grpc.aio.EOF:
            if has_failed:
                raise grpc.aio.InternalError("the request broke off")
            # Of a caller that goes the core tells twice: that no more comes, and, most often at once, why. By then the
            # second has been heard, too, and has cancelled this task.
            await asyncio.sleep(0)
        elif call.judge_request is not None and (refusal := call.judge_request(call, message)) is not None:
            await abort(call.context, refusal)
        return message

    def messages(self) -> "Messages":
        """Return the messages of the request as they come."""
        return Messages(self)

    async def write(self, message: Any) -> None:
        """Send a message.

        A time limit may strike while it is being written, and until that has ended grpc takes no status: it would be
        lost, and the caller left waiting. So a write is always waited for; it ends at the latest when the caller goes.
        """
        if self._call.time_limit is None:
            await self._call.context.write(message)
            return
        # A task of its own, since a bare one is cancelled with its caller; it is waited for right here.
        writing = asyncio.get_running_loop().create_task(self._call.context.write(message))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.exception()  # whatever it is, the reason for the end is another one
            raise


@types.coroutine
def _read(reading: Any) -> Generator[Any, Any, tuple[Any, bool]]:
    """Await grpc's read. Returns what it returns, and whether what it waited for last has failed.

    grpc.aio takes a failure for the end of the request (1.85): half of an upload would look like all of it.
    """
    waited = None
    try:
        waited = reading.send(None)
        while True:
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001  it is for grpc's coroutine to say what becomes of it
                waited = reading.throw(error)
            else:
                waited = reading.send(None)
    except StopIteration as ended:
        failed = asyncio.isfuture(waited) and waited.done() and not waited.cancelled() and waited.exception()
        return ended.value, bool(failed)


class Messages:
    """The messages of a request, for `async for`."""

    __slots__ = ("_context",)

    def __init__(self, context: GuardedContext) -> None:
        self._context = context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message


async def refuse(call: Call, refusal: Refusal) -> None:
    """End the RPC with a refusal, and keep its reason for the log; raises what grpc.aio raises for that."""
    call.reason = refusal.reason or call.reason
    await abort(call.context, refusal)


async def abort(context: Any, refusal: Refusal) -> None:
    """End the RPC with a refusal's status; raises what grpc.aio raises for that."""
    await context.abort(refusal.code, refusal.message, trailing_metadata(context, refusal))
