from datetime import UTC, datetime

import pytest

from roadstead.apiserver.printers.cells import human_duration, selector_text, shortened, since

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (303, "5m3s"),
        (10 * MINUTE + 59, "10m"), (179 * MINUTE, "179m"), (3 * HOUR, "3h"), (3 * HOUR + 59 * MINUTE, "3h59m"),
        (8 * HOUR + 59 * MINUTE, "8h"), (47 * HOUR, "47h"), (48 * HOUR, "2d"), (50 * HOUR, "2d2h"),
        (8 * DAY + HOUR, "8d"), (729 * DAY, "729d"), (731 * DAY, "2y1d"), (9 * 365 * DAY, "9y"),
    ],
)  # fmt: skip
def test_durations_as_kubectl_shows_them(seconds, text):
    assert human_duration(seconds) == text


def test_ages():
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert since("2026-01-01T11:59:00Z", now) == "60s"
    assert since("2026-01-01T11:59:00.5Z", now) == "59s"
    assert since(None, now) == "<unknown>"
    assert since("yesterday", now) == "<invalid>"


def test_selectors():
    selector = {
        "matchLabels": {"b": "1"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
            {"key": "d", "operator": "Exists"},
        ],
    }
    assert selector_text(selector) == "a in (x,y),b=1,!c,d"
    assert selector_text({}) == selector_text(None) == "<none>"


def test_long_lists_are_cut():
    assert shortened(["a", "b", "c"]) == "a,b,c"
    assert shortened(["a", "b", "c", "d", "e"]) == "a,b,c + 2 more..."
