"""Schedules of CronJobs: what is wrong with one, and when it is due.

In the words, and with the habits, of the parser that Kubernetes uses (robfig/cron): of the days of the month and of the
week either will do, unless one of them is `*`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_DURATION = re.compile(r"[-+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)")
_PART = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = float(2**63) / 1e9  # what Go's time.Duration holds
# A day that never comes, such as 30 February, is given up after so many years.
_YEARS = 5


class _Bounds(NamedTuple):
    low: int
    high: int
    names: dict[str, int]


class _Field(NamedTuple):
    values: frozenset[int]
    is_any: bool


_FIELDS = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, {name: at for at, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: at for at, name in enumerate(_DAYS)}),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due: by minute, hour, day, month and weekday, or every so many seconds."""

    fields: tuple[_Field, ...] = ()
    every: float = 0.0
    zone: str = ""

    def next_after(self, moment: datetime, zone: tzinfo = UTC) -> datetime | None:
        """Return the first moment after this one at which it is due, in UTC; None if there is none in sight.

        `zone` is that of the schedule's clock. What its clocks skip in spring is not due; what they repeat in autumn
        is due once, unless it is due in every hour.
        """
        if self.every:
            return moment.replace(microsecond=0) + timedelta(seconds=self.every)
        clock = moment.astimezone(ZoneInfo(self.zone) if self.zone else zone)
        if self.fields[1].is_any:
            clock = moment.astimezone(timezone(clock.utcoffset() or timedelta()))
        local = clock.replace(tzinfo=None, second=0, microsecond=0, fold=0)
        last = local.year + _YEARS
        while (found := self._next(local, last)) is not None:
            due = found.replace(tzinfo=clock.tzinfo).astimezone(UTC)
            exists = due.astimezone(clock.tzinfo).replace(tzinfo=None) == found
            if exists and due > moment:
                return due
            local = found
        return None

    def latest(self, since: datetime, now: datetime, zone: tzinfo = UTC) -> datetime | None:
        """Return the last moment after `since`, and not after `now`, at which it was due."""
        if self.every:
            begin = since.replace(microsecond=0)
            times = int((now - begin).total_seconds() // self.every)
            return begin + timedelta(seconds=times * self.every) if times > 0 else None
        window = timedelta(minutes=1)
        while (start := max(since, now - window)) > since and not self._is_due_within(start, now, zone):
            window *= 4
        found, due = None, self.next_after(start, zone)
        while due is not None and due <= now:
            found, due = due, self.next_after(due, zone)
        return found

    def _is_due_within(self, start: datetime, end: datetime, zone: tzinfo) -> bool:
        due = self.next_after(start, zone)
        return due is not None and due <= end

    def _next(self, local: datetime, last: int) -> datetime | None:
        """Return the next time on the schedule's own clock, up to the end of a year."""
        minutes, hours, _, months, _ = self.fields
        at = local + timedelta(minutes=1)
        while at.year <= last:
            if at.month not in months.values:
                at = (at.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._is_day(at):
                at = at.replace(hour=0, minute=0) + timedelta(days=1)
            elif at.hour not in hours.values:
                at = at.replace(minute=0) + timedelta(hours=1)
            elif at.minute not in minutes.values:
                at += timedelta(minutes=1)
            else:
                return at
        return None

    def _is_day(self, at: datetime) -> bool:
        _, _, days, _, weekdays = self.fields
        by_day, by_weekday = at.day in days.values, at.isoweekday() % 7 in weekdays.values
        return by_day and by_weekday if days.is_any or weekdays.is_any else by_day or by_weekday


def schedule_problem(schedule: str) -> str:
    """Return what is wrong with a schedule, empty if nothing is."""
    try:
        parse_schedule(schedule)
    except ValueError as error:
        return str(error)
    return ""


def parse_schedule(schedule: str) -> Schedule:
    """Read a schedule. Raises ValueError that says what is wrong with it."""
    zone = ""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        setting, _, schedule = schedule.partition(" ")
        zone, schedule = setting.partition("=")[2], schedule.strip()
    if schedule.startswith(_EVERY):
        return Schedule(every=_duration(schedule), zone=zone)
    if schedule.startswith("@") and schedule not in _DESCRIPTORS:
        raise ValueError(f"unrecognized descriptor: {schedule}")
    fields = _DESCRIPTORS.get(schedule, schedule).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    return Schedule(tuple(_field(field, bounds) for field, bounds in zip(fields, _FIELDS, strict=True)), zone=zone)


def _duration(schedule: str) -> float:
    text = schedule.removeprefix(_EVERY)
    if not _DURATION.fullmatch(text):
        raise ValueError(f'failed to parse duration {schedule}: time: invalid duration "{text}"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError(f'failed to parse duration {schedule}: time: invalid duration "{text}"')
    return max(1.0, float(int(-seconds if text.startswith("-") else seconds)))


def _field(field: str, bounds: _Bounds) -> _Field:
    parts = [_range(part, bounds) for part in field.split(",") if part]
    return _Field(frozenset().union(*(part.values for part in parts)), any(part.is_any for part in parts))


def _range(part: str, bounds: _Bounds) -> _Field:
    """Read one range. Raises ValueError if it is not one of the field."""
    span, *steps = part.split("/")
    ends = span.split("-")
    start, end, is_any = bounds.low, bounds.high, True
    if ends[0] not in ("*", "?"):
        is_any = False
        start = _number(ends[0], bounds.names)
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {part}")
        end = _number(ends[1], bounds.names) if len(ends) == 2 else start
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {part}")
    step = _number(steps[0], {}) if steps else 1
    if steps and len(ends) == 1:
        end = bounds.high
    _within(part, start, end, bounds)
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {part}")
    return _Field(frozenset(range(start, end + 1, step)), is_any and step == 1)


def _within(part: str, start: int, end: int, bounds: _Bounds) -> None:
    if start < bounds.low:
        raise ValueError(f"beginning of range ({start}) below minimum ({bounds.low}): {part}")
    if end > bounds.high:
        raise ValueError(f"end of range ({end}) above maximum ({bounds.high}): {part}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {part}")


def _number(text: str, named: dict[str, int]) -> int:
    if text.lower() in named:
        return named[text.lower()]
    if not re.fullmatch("[-+]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
