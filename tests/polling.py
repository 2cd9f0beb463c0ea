"""Waiting in tests for something that has no event of its own: poll with a deadline.

The deadline tells a machine that is slow from a product that hangs; nothing is measured by it.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 60.0


async def until(condition, *, timeout: float = PATIENCE, every: float = 0.005) -> None:
    """Return when `condition()` (or its coroutine) is true. Raises TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(every)


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return when `condition()` is true, for tests without an event loop. Fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s"
        time.sleep(0.005)
