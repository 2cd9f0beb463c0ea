"""How our own processes log: one line an event, key=value, on standard error. Tracebacks without local variables.

Local variables of a traceback would write Secrets and tokens to the log; structlog shows them where rich is installed.
"""

import logging
import sys

import structlog


def log_for_people(level: str = "info") -> None:
    """Configure structlog for a process of ours; `level` is a name of the logging module's."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
