import time

import pytest

from roadstead.service.interceptors import Call, Deadline
from roadstead.service.interceptors.overdue import is_overdue

CENTURIES = 9e9


class Context:
    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def time_remaining(self) -> float | None:
        return self._remaining


def limit(stage: Deadline, remaining: float | None, *, streams: bool = False) -> float | str | None:
    call = Call("a.B/C", (), 0.0, streams=streams)
    call.context = Context(remaining)
    refusal = stage.enter(call)
    return refusal.code.name if refusal else call.time_limit


@pytest.mark.parametrize(("default", "cap", "remaining", "streams", "expected"), [
    (None, None, None, False, None),
    (None, None, 5, False, None),
    (10, None, None, False, 10),
    (10, None, CENTURIES, False, 10),
    (10, None, None, True, None),
    (10, None, 60, False, None),
    (10, 30, 60, False, 30),
    (None, 30, None, False, 30),
    (None, 30, None, True, 30),
    (10, 30, 5, False, None),
    (40, 30, None, False, 30),
    (None, None, 0, False, "DEADLINE_EXCEEDED"),
    (10, 30, -1, True, "DEADLINE_EXCEEDED"),
])  # fmt: skip
def test_limits(default, cap, remaining, streams, expected):
    assert limit(Deadline(default, cap), remaining, streams=streams) == expected


def test_a_limit_counts_from_when_it_is_set():
    """Until then a call may have waited for a thread, or for its password to be hashed."""
    call = Call("a.B/C", (), time.monotonic() - 100)
    call.limit(50)
    assert not is_overdue(call)
    call.limit(-1)
    assert is_overdue(call)
