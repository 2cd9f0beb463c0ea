"""What is a caller told when a handler fails? An id; the log has the rest.

Left alone, grpc sends the exception's text to the client, and with it whatever a library put there.
"""

import secrets

import grpc
import structlog

from roadstead.lib.tracebacks import traceback_of
from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal, Refused, RpcError

_log = structlog.get_logger(__name__)
# Shorter texts fit, whatever they consist of.
_LONG = 80


def answer_of(error: RpcError) -> Refusal:
    """Return what the caller of a handler that raised `RpcError` is told; a long text is cut, so that it arrives."""
    if isinstance(error, Refused):
        return error.refusal
    message = error.message
    if len(message) > _LONG:
        from roadstead.service.details import shortened_text

        message = shortened_text(message)
    return Refusal(error.code, message, error.message, details=error.details)


class Errors(Stage):
    """Answers exceptions with INTERNAL and an id under which the log has the traceback; `RpcError` as it says."""

    def convert(self, call: Call, error: Exception) -> Admission:
        """Log an exception and return the answer to the caller."""
        if isinstance(error, RpcError):
            try:
                return answer_of(error)
            except Exception as fault:  # noqa: BLE001  it may be of a class of its author's, with anything or nothing in it
                error = fault
        error_id = secrets.token_hex(6)
        said = traceback_of(error)
        _log.error("handler failed", method=call.method, error_id=error_id, **call.trace_ids(), exception=said)
        reason = f"{type(error).__name__} (error_id {error_id})"
        return Refusal(grpc.StatusCode.INTERNAL, f"internal error; its id is {error_id}", reason)
