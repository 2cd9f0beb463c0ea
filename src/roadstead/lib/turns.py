"""Long work in an event loop that others use too."""

import asyncio
import time
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
_SLICE_SECONDS = 0.005


async def in_turns(items: Iterable[T]) -> list[T]:
    """Return all of what may take long to make, and let others have their turns every few milliseconds."""
    made: list[T] = []
    until = time.monotonic() + _SLICE_SECONDS
    for item in items:
        made.append(item)
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + _SLICE_SECONDS
    return made
