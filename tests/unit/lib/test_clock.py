from datetime import UTC, datetime, timedelta, timezone

import pytest

from roadstead.lib.clock import from_rfc3339, now, rfc3339


def test_times_are_written_in_whole_seconds_of_utc():
    moment = datetime(2026, 1, 2, 4, 4, 5, 999999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00", "2026-01-02T03:04:05"])
def test_times_are_read(text):
    assert from_rfc3339(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_what_is_no_time_is_none(text):
    assert from_rfc3339(text) is None


def test_the_present_knows_its_zone():
    assert now().utcoffset() == timedelta(0)
