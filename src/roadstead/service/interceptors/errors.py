"""What is a caller told when a handler fails? An id; the log has the rest.

Left alone, grpc sends the exception's text to the client, and with it whatever a library put there.
"""

import secrets

import grpc
import structlog

from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal, RpcError

_log = structlog.get_logger(__name__)


class Errors(Stage):
    """Answers exceptions with INTERNAL and an id under which the log has the traceback; `RpcError` as it says."""

    def convert(self, call: Call, error: Exception) -> Admission:
        """Log an exception and return the answer to the caller."""
        if isinstance(error, RpcError):
            return Refusal(error.code, error.message, error.message)
        error_id = secrets.token_hex(6)
        _log.error("handler failed", method=call.method, error_id=error_id, exc_info=error)
        reason = f"{type(error).__name__} (error_id {error_id})"
        return Refusal(grpc.StatusCode.INTERNAL, f"internal error; its id is {error_id}", reason)
