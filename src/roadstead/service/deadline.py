"""How much time is left for the RPC that is being handled, wherever one is in its handler.

The `Deadline` stage sets it; `channel()` gives no call of a handler more time than its own caller will wait.
"""

import time
from contextvars import ContextVar

# A moment on the clock of `time.monotonic()`.
_deadline: ContextVar[float | None] = ContextVar("roadstead_deadline", default=None)


def set_time_left(seconds: float | None) -> None:
    """Say how much time is left for the rest of this context (one RPC); None for as long as it takes."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)


def time_left() -> float | None:
    """Return the seconds until nobody waits any more (0 if nobody does); None if there is no deadline."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def shorter(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two times, of which None means that there is none."""
    known = [each for each in (one, other) if each is not None]
    return min(known, default=None)
