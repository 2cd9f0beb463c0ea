from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.api.schedules import parse_schedule, schedule_problem

GOOD = [
    "* * * * *",
    "*/5 0-6 1,15 jan-mar MON",
    "?  * * * ?",
    "5/15 * * * *",
    "@daily",
    "@every 1h30m",
    "TZ=UTC 0 0 * * *",
]
BAD = {
    "": "expected exactly 5 fields, found 0: []",
    "* * * *": "expected exactly 5 fields, found 4: [* * * *]",
    "60 * * * *": "end of range (60) above maximum (59): 60",
    "* * 0 * *": "beginning of range (0) below minimum (1): 0",
    "5-1 * * * *": "beginning of range (5) beyond end of range (1): 5-1",
    "*/0 * * * *": "step of range should be a positive number: */0",
    "1-2-3 * * * *": "too many hyphens: 1-2-3",
    "1/2/3 * * * *": "too many slashes: 1/2/3",
    "-1 * * * *": 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax',
    "* * * * foo": 'failed to parse int from foo: strconv.Atoi: parsing "foo": invalid syntax',
    "@never": "unrecognized descriptor: @never",
    "@every 9999999999h": 'failed to parse duration @every 9999999999h: time: invalid duration "9999999999h"',
    "@every day": 'failed to parse duration @every day: time: invalid duration "day"',
}


@pytest.mark.parametrize("schedule", GOOD)
def test_good_schedules(schedule):
    assert schedule_problem(schedule) == ""


@pytest.mark.parametrize(("schedule", "problem"), BAD.items())
def test_bad_schedules(schedule, problem):
    assert schedule_problem(schedule) == problem


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NEXT = [
    # 1 January 2026 is a Thursday.
    ("* * * * *", "2026-01-01 10:00", "2026-01-01 10:01"),
    ("* * * * *", "2026-01-01 10:00:30", "2026-01-01 10:01"),
    ("*/15 * * * *", "2026-01-01 10:15", "2026-01-01 10:30"),
    ("5/15 * * * *", "2026-01-01 10:50", "2026-01-01 11:05"),
    ("0 3 * * *", "2026-01-01 03:00", "2026-01-02 03:00"),
    ("30 8-10/2 * * *", "2026-01-01 08:30", "2026-01-01 10:30"),
    ("0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00"),
    ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
    ("0 0 30 2 *", "2026-01-01 00:00", None),
    ("0 0 1 jan,JUL *", "2026-01-01 00:00", "2026-07-01 00:00"),
    ("0 0 * * mon", "2026-01-01 00:00", "2026-01-05 00:00"),
    ("0 0 * * 0", "2026-01-01 00:00", "2026-01-04 00:00"),
    ("0 0 13 * fri", "2026-01-01 00:00", "2026-01-02 00:00"),     # either will do
    ("0 0 */2 * fri", "2026-01-02 00:00", "2026-01-03 00:00"),    # a star with a step is no star
    ("0 0 13 * ?", "2026-01-01 00:00", "2026-01-13 00:00"),
    ("@hourly", "2026-01-01 10:30", "2026-01-01 11:00"),
    ("@weekly", "2026-01-01 10:30", "2026-01-04 00:00"),
    ("@yearly", "2026-01-01 10:30", "2027-01-01 00:00"),
    ("@every 90s", "2026-01-01 10:00:07.5", "2026-01-01 10:01:37"),
    ("@every 1ms", "2026-01-01 10:00:00", "2026-01-01 10:00:01"),
    ("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01 00:30", "2026-01-02 00:00"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "moment", "due"), NEXT)
def test_when_it_is_due(schedule, moment, due):
    assert parse_schedule(schedule).next_after(utc(moment)) == (due and utc(due))


BERLIN = ZoneInfo("Europe/Berlin")  # summer time from 29 March 2026, 2:00, to 25 October 2026, 3:00


@pytest.mark.parametrize(("schedule", "moment", "due"), [
    ("0 3 * * *", "2026-01-01 12:00", "2026-01-02 02:00"),
    ("0 3 * * *", "2026-07-01 12:00", "2026-07-02 01:00"),
    ("30 2 * * *", "2026-03-28 12:00", "2026-03-30 00:30"),       # there is no half past two on the 29th
    ("30 2 * * *", "2026-10-24 12:00", "2026-10-25 00:30"),
    ("30 2 * * *", "2026-10-25 00:30", "2026-10-26 01:30"),       # once, though there are two
    ("0 * * * *", "2026-10-25 00:00", "2026-10-25 01:00"),        # every hour that passes
    ("0 * * * *", "2026-03-29 00:00", "2026-03-29 01:00"),
])  # fmt: skip
def test_clocks_that_are_changed(schedule, moment, due):
    assert parse_schedule(schedule).next_after(utc(moment), BERLIN) == utc(due)


@given(
    st.sampled_from([entry[0] for entry in NEXT if entry[2]] + ["1-59/7 0-23/5 1-28/3 * *"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.timedeltas(timedelta(0), timedelta(days=3)),
)
def test_the_latest_is_the_last_of_all(schedule, begin, span):
    made, since = parse_schedule(schedule), begin.replace(tzinfo=UTC, microsecond=0)
    if made.every:
        span = min(span, timedelta(hours=1))
    now = since + span
    due = []
    while (following := made.next_after(due[-1] if due else since)) is not None and following <= now:
        due.append(following)
    assert all(one < other for one, other in pairwise(due))
    assert made.latest(since, now) == (due[-1] if due else None)
