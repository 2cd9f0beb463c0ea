import pytest

from roadstead.gateway.translate.durations import seconds


@pytest.mark.parametrize(
    ("duration", "expected"), [("0s", 0), ("10s", 10), ("1h30m", 5400), ("500ms", 0.5), ("1m1s1ms", 61.001)]
)
def test_durations(duration: str, expected: float) -> None:
    assert seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", ["", "10", "-1s", "1.5s", "1d", "s", "123456s"])
def test_what_is_no_duration(wrong: str) -> None:
    assert seconds(wrong) is None
