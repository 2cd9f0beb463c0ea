"""What happened? One event per RPC: method, who, from where, how it ended, why, how long. No secrets, no messages."""

from collections.abc import Callable
from typing import Any

import grpc
import structlog

from roadstead.service.health_methods import is_health
from roadstead.service.interceptors.stage import Call, Outcome, Stage

_log = structlog.get_logger("roadstead.access")
_NOTHING: dict[str, str] = {}
_SERVER_FAULTS = frozenset(
    (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNAVAILABLE)
)


class AccessLog(Stage):
    """Logs every RPC when it has ended; health checks only at the level debug, there are so many."""

    def observe(self, call: Call, outcome: Outcome) -> None:
        """Write the event."""
        identity = call.identity
        write = (
            _log.info if outcome.code is grpc.StatusCode.OK and not is_health(call.method) else _writer(call, outcome)
        )
        write(
            "rpc",
            method=call.method,
            code=outcome.code.name,
            ms=round(outcome.seconds * 1000, 3),
            identity=identity.name if identity else None,
            peer=call.peer or None,
            reason=call.reason or None,
            **(call.trace_ids() if call.span is not None else _NOTHING),
        )


def _writer(call: Call, outcome: Outcome) -> Callable[..., Any]:
    level = "error" if outcome.code in _SERVER_FAULTS else "info"
    write: Callable[..., Any] = getattr(_log, "debug" if is_health(call.method) else level)
    return write
