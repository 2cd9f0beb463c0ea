"""Waiting in tests for something that has no event of its own: poll with a deadline."""

import asyncio


async def until(condition, *, timeout: float = 10.0, every: float = 0.005) -> None:
    """Return when `condition()` (or its coroutine) is true. Raises TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(every)
