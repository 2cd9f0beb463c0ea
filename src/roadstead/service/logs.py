"""Logs as Kubernetes likes them: one JSON object per line on standard output.

Only for programs that have no logging of their own: `roadstead.service` itself configures nothing.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

import msgspec
import structlog


def log_as_json(
    level: str | None = None, variables: Mapping[str, str] = os.environ, *, trace_ids: bool = False
) -> None:
    """Configure structlog for a service's process. `level` defaults to `$LOG_LEVEL`, or info.

    With `trace_ids`, every line within an RPC has the `trace_id` and `span_id` of OpenTelemetry (extra `tracing`).
    """
    name = (level or variables.get("LOG_LEVEL") or "info").upper()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *_trace_ids(trace_ids),
            structlog.processors.format_exc_info,
            as_json_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(name, logging.INFO)),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )


def _trace_ids(wanted: bool) -> list[structlog.types.Processor]:
    if not wanted:
        return []
    # Here, since only those who want it need its library.
    from roadstead.service.tracing.logs import add_trace_ids

    return [add_trace_ids]


def as_json_line(_logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
    """Render an event as JSON with its time and level first: structlog's last processor.

    One function where structlog offers three: there is a line for every RPC, and it should not cost a tenth of it.
    """
    now = time.time()
    line = {"time": f"{_second(int(now))}.{int(now % 1 * 1e6):06d}Z", "level": _LEVELS.get(method, method), **event}
    try:
        return _ENCODER.encode(line)
    except Exception:  # noqa: BLE001  half a character, a list within itself, a `__str__` that raises
        # Whoever logs goes on, and the line is worth more than its beauty.
        return json.dumps({str(key): _plain(value) for key, value in line.items()}).encode()


def _plain(value: object) -> str | int | None:
    if value is None or isinstance(value, str | int):
        return value
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  likewise
        return f"<{type(value).__name__}>"


_ENCODER = msgspec.json.Encoder(enc_hook=str)
# The method of a logger is its level, but for these.
_LEVELS = {"warn": "warning", "exception": "error"}


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
