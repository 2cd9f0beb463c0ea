"""The context of handlers on a threaded `grpc.server`: grpc's own, with what a handler says checked."""

from typing import Any, NoReturn

import grpc

from roadstead.service.interceptors.checked_context import CheckedContext
from roadstead.service.sendable import sendable_error, sendable_metadata, sendable_text


# As grpc's own one is an instance of it, though all but what is checked is left to that.
@grpc.ServicerContext.register
class ThreadContext(CheckedContext, eq=False, dict=True, weakref=True):
    """grpc's context of a call that a thread serves. Takes attributes, since grpc's does."""

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send metadata before the first response."""
        self._inner.send_initial_metadata(sendable_metadata(initial_metadata))

    def cancel(self) -> None:
        """Cancel the call; its caller is told CANCELLED, whatever the handler does then."""
        self._call.is_cut_off = True
        self._inner.cancel()

    def abort(self, code: Any, details: Any = "") -> NoReturn:
        """End the call with a status; raises what grpc raises for that, which is a bare Exception."""
        code, details = sendable_error(code), sendable_text(details)
        self._call.is_aborted = True
        self._inner.abort(code, details)
        raise AssertionError("what grpc's abort raises ends the RPC")

    def abort_with_status(self, status: Any) -> NoReturn:
        """End the call with a status that has its metadata with it."""
        self.set_trailing_metadata(status.trailing_metadata)
        self.abort(status.code, status.details)
