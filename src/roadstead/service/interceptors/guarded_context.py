"""The context of handlers on a `grpc.aio` server.

It stands before grpc's own, reads and writes with more care, and checks what is said; all else is grpc's.
"""

import asyncio
import types
from collections.abc import Generator
from typing import Any, Self

import grpc
import grpc.aio

from roadstead.service.interceptors.checked_context import CheckedContext
from roadstead.service.interceptors.plan import trailing_metadata
from roadstead.service.interceptors.stage import Call
from roadstead.service.refusal import Refusal
from roadstead.service.sendable import sendable_error, sendable_metadata, sendable_text


class GuardedContext(CheckedContext, eq=False, weakref=True):
    """grpc's context of a call, with every message of the request judged before the handler has it."""

    async def send_initial_metadata(self, metadata: Any) -> None:
        """Send metadata before the first response."""
        await self._inner.send_initial_metadata(sendable_metadata(metadata))

    async def abort(self, code: Any, details: Any = "", trailing_metadata: Any = ()) -> None:
        """End the call with a status; raises AbortError, or ValueError or TypeError if it cannot be sent."""
        # Before grpc has it: that remembers a call as aborted first, and then looks what with.
        said = sendable_error(code), sendable_text(details), sendable_metadata(trailing_metadata)
        await self._inner.abort(*said)

    async def abort_with_status(self, status: Any) -> None:
        """End the call with a status that has its metadata with it."""
        await self.abort(status.code, status.details, status.trailing_metadata)

    async def read(self) -> Any:
        """Return the next message of the request, or grpc's EOF. Raises InternalError if the request broke off."""
        call = self._call
        message, has_failed = await _read(self._inner.read())
        if message is grpc.aio.EOF:
            if has_failed:
                raise grpc.aio.InternalError("the request broke off")
            # Of a caller that goes the core tells twice: that no more comes, and, most often at once, why. By then the
            # second has been heard, too, and has cancelled this task.
            await asyncio.sleep(0)
        elif call.judge_request is not None and (refusal := call.judge_request(call, message)) is not None:
            await abort(self._inner, refusal)
        return message

    def messages(self) -> "Messages":
        """Return the messages of the request as they come."""
        return Messages(self)

    async def write(self, message: Any) -> None:
        """Send a message.

        A time limit may strike while it is being written, and until that has ended grpc takes no status: it would be
        lost, and the caller left waiting. So a write is always waited for; it ends at the latest when the caller goes.
        """
        if is_cancelled():
            await asyncio.sleep(0)
        if self._call.time_limit is None:
            await self._inner.write(message)
            return
        # A task of its own, since a bare one is cancelled with its caller; it is waited for right here.
        writing = asyncio.get_running_loop().create_task(self._inner.write(message))
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


def is_cancelled() -> bool:
    """Tell whether somebody has cancelled the task of this RPC: grpc, whose caller has gone, or the handler itself.

    In a task that has cancelled itself, the next thing to be waited for fails. If it is grpc's sending of something, no
    status can be sent any more, and the caller waits for ever: so it has to be something else.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def refuse(call: Call, refusal: Refusal) -> None:
    """End the RPC with a refusal, and keep its reason for the log; raises what grpc.aio raises for that."""
    call.reason = refusal.reason or call.reason
    await abort(call.context, refusal)


async def abort(context: Any, refusal: Refusal) -> None:
    """End the RPC with a refusal's status; raises what grpc.aio raises for that."""
    await context.abort(refusal.code, sendable_text(refusal.message), trailing_metadata(context, refusal))
