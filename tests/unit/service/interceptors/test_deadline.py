import pytest

from roadstead.service.interceptors import Call, Deadline

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
