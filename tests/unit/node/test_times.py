"""Seconds and RFC 3339."""

import pytest

from roadstead.node.times import precise_timestamp, seconds, timestamp


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z", "2026-01-31T12:00:00.000000000Z",
        "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00",
    ],
)  # fmt: skip
def test_every_spelling_is_the_same_moment(text: str):
    assert seconds(text) == 1769860800


def test_times_are_written_as_kubernetes_does():
    assert timestamp(1769860800.9) == "2026-01-31T12:00:00Z"
    assert precise_timestamp(1769860800.25) == "2026-01-31T12:00:00.250000Z"
    assert seconds(precise_timestamp(1769860800.25)) == 1769860800.25


def test_nonsense_is_a_value_error():
    with pytest.raises(ValueError, match="soon"):
        seconds("soon")
