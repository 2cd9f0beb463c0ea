"""The context that a plain function gets on a `grpc.aio` server: what is known of the call, safe in any thread.

The event loop alone touches the call; see `plain.py` for why.
"""
# ruff: noqa: D102  the methods without a docstring are those of grpc.ServicerContext, described there

import asyncio
import concurrent.futures
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog

from roadstead.lib.tracebacks import traceback_of
from roadstead.service.sendable import sendable_code, sendable_error, sendable_metadata, sendable_text

_log = structlog.get_logger(__name__)


class PlainContext(grpc.ServicerContext):
    """What a plain handler may ask and tell. A thread can use it at any time: also when the call has ended."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop
        self._task = asyncio.current_task()
        self._peer = inner.peer()
        self._auth_context = inner.auth_context()
        self._identity_key = inner.peer_identity_key()
        self._metadata = tuple(inner.invocation_metadata() or ())
        remaining = inner.time_remaining()
        self._deadline = None if remaining is None else time.monotonic() + remaining
        self._active = True
        self._aborted = False
        self._callbacks: list[Callable[[], None]] = []
        self._waiting: Future[Any] | None = None
        self._code: Any = None
        self._details = ""
        self._trailing: Any = ()

    # For the event loop

    def requests(self) -> Iterator[Any]:
        """Return the messages of the request, for a thread."""
        while (message := self._wait(self._inner.read)) is not grpc.aio.EOF:
            yield message

    async def write(self, response: Any) -> None:
        """Send one message of a stream."""
        await self._inner.write(response)

    async def hand_over(self) -> None:
        """Tell the call what the handler has set; ends it if the handler did, and went on all the same."""
        await self.abort_if_aborted()
        if self._code is not None:
            self._inner.set_code(self._code)
        if self._details:
            self._inner.set_details(self._details)
        if self._trailing:
            self._inner.set_trailing_metadata(self._trailing)

    async def abort_if_aborted(self) -> None:
        """End the call if the handler has ended it."""
        if self._aborted:
            await self._inner.abort(self._code, self._details, self._trailing)

    def end(self) -> None:
        """Take note that the call has ended; wakes the thread if it waits for a message."""
        if not self._active:
            return
        self._active = False
        self._task = None  # whose contextvars know the call, and that knows this context
        if self._waiting is not None:
            self._waiting.cancel()
        for callback in self._callbacks:
            try:
                callback()
            except Exception as error:  # noqa: BLE001  a fault of one must not keep the others from it, nor the call
                _log.error("callback of a handler failed", exception=traceback_of(error))

    # For the thread

    def _wait(self, start: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Have the event loop do something with the call, and wait. Raises grpc.RpcError if the call has ended."""

        async def guarded() -> Any:
            if not self._active:
                raise asyncio.CancelledError
            try:
                result = await start(*arguments)
            except grpc.aio.InternalError:
                # The core takes nothing more for this call: its caller has gone, and the loop hears of it only later.
                self.end()
                raise asyncio.CancelledError from None
            if self._task is None or self._task.cancelling():
                raise asyncio.CancelledError
            return result

        self._waiting = waiting = asyncio.run_coroutine_threadsafe(guarded(), self._loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            raise grpc.RpcError("the call has ended") from None

    def is_active(self) -> bool:
        return self._active

    def time_remaining(self) -> float | None:  # type: ignore[override]  # None is what grpc returns without a deadline
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def cancel(self) -> bool:
        if self._task is not None and self._active:
            self._loop.call_soon_threadsafe(self._task.cancel)
        return self._active

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self._active:
            self._callbacks.append(callback)
        return self._active

    def invocation_metadata(self) -> Any:
        return self._metadata

    def peer(self) -> str:
        return str(self._peer)

    def auth_context(self) -> Any:
        return self._auth_context

    def peer_identity_key(self) -> str | None:
        return None if self._identity_key is None else str(self._identity_key)

    def peer_identities(self) -> Any:
        return None if self._identity_key is None else self._auth_context.get(self._identity_key)

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        self._wait(self._inner.send_initial_metadata, sendable_metadata(initial_metadata))

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = sendable_metadata(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self._trailing

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = sendable_code(code)

    def code(self) -> grpc.StatusCode | None:
        return self._code  # type: ignore[no-any-return]  # what a handler has set

    def set_details(self, details: str) -> None:
        self._details = sendable_text(details)

    def details(self) -> str:
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        self._inner.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._inner.disable_next_message_compression()

    def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[Any] = ()) -> NoReturn:
        """End the call with a status; raises what grpc's threaded server raises."""
        self._code, self._details, self._aborted = sendable_error(code), sendable_text(details), True
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        raise Exception

    def abort_with_status(self, status: Any) -> NoReturn:
        self.abort(status.code, status.details, status.trailing_metadata or ())
