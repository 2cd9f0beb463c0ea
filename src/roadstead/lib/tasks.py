"""Background tasks that are not lost: a bare asyncio task may be collected, and its exception goes unseen.

`spawn` keeps a reference until the task ends and logs how it failed; `cancel_all` ends a set of them in order.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from roadstead.lib.tracebacks import traceback_of

_log = structlog.get_logger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Run a coroutine in the background under a name; a failure is logged with its traceback."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task failed", task=task.get_name(), exception=traceback_of(error))


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until every one has ended; their own failures were logged by `spawn`."""
    pending = list(tasks)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
