"""Logs as Kubernetes likes them: one JSON object per line on standard output.

Only for programs that have no logging of their own: `roadstead.service` itself configures nothing.
"""

import logging
import os
import sys
from collections.abc import Mapping

import msgspec
import structlog


def log_as_json(level: str | None = None, variables: Mapping[str, str] = os.environ) -> None:
    """Configure structlog for a service's process. `level` defaults to `$LOG_LEVEL`, or info."""
    name = (level or variables.get("LOG_LEVEL") or "info").upper()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_encode),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(name, logging.INFO)),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )


def _encode(event: object, default: object = None) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
