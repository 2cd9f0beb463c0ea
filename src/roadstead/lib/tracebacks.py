"""An exception for the log: where it happened and what it says, without the values of variables.

Handed over as `exc_info` it would be rendered by whatever a program has configured, and structlog's own renderers (for
people where rich is installed, for programs `dict_tracebacks`) show the variables of every frame: requests, metadata,
and passwords in both.

    _log.error("stage failed", exception=traceback_of(error))
"""

import traceback


def traceback_of(error: BaseException) -> str:
    """Return an exception as Python prints it, with its causes, for a log's field `exception`."""
    return "".join(traceback.format_exception(error)).rstrip("\n")
