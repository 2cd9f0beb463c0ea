"""Timestamps and durations in CEL: `timestamp(self.at).getHours('Europe/Berlin')`, `duration('90m').getMinutes()`.

After cel-go's common/types/timestamp.go and duration.go. They are kept to the microsecond, where Go has nanoseconds.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from roadstead.apiserver.cel.functions import CelError, NoOverload, expect

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_UNIT = r"(?:ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"([-+]?)((?:{_NUMBER}{_UNIT})+|0)", re.ASCII)
_PART = re.compile(rf"({_NUMBER})({_UNIT})", re.ASCII)
_MICROSECONDS = {
    "ns": Decimal("0.001"), "us": Decimal(1), "µs": Decimal(1), "μs": Decimal(1), "ms": Decimal(1000),
    "s": Decimal(1_000_000), "m": Decimal(60_000_000), "h": Decimal(3_600_000_000),
}  # fmt: skip
_LONGEST_DURATION = timedelta(microseconds=2**63 // 1000)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[-+]\d\d:\d\d)", re.ASCII)
_OFFSET = re.compile(r"([-+]?)(\d{1,2}):(\d{1,2})", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z][\w+-]*(?:/[\w+-]+)*", re.ASCII)
_LONGEST_TEXT = 100
"""Longer texts are neither timestamps nor durations that anybody means."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)


def to_duration(value: Any) -> timedelta:
    """`duration('1h30m')`. Raises CelError for a text that is none, or for more than 292 years."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(expect(str, value)) if len(expect(str, value)) <= _LONGEST_TEXT else None
    if match is None:
        raise CelError(f"{str(value)[:_LONGEST_TEXT]!r} is no duration")
    size = sum((Decimal(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(match[2])), Decimal(0))
    if int(size) > _LONGEST_DURATION // timedelta(microseconds=1):
        raise CelError("duration out of range")
    return timedelta(microseconds=int(-size if match[1] == "-" else size))


def to_timestamp(value: Any) -> datetime:
    """`timestamp('2026-01-31T12:00:00Z')`, or one of seconds since 1970. Raises CelError for what is none."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return _EPOCH + timedelta(seconds=value)
    match = _TIMESTAMP.fullmatch(expect(str, value)) if len(expect(str, value)) <= _LONGEST_TEXT else None
    if match is None:
        raise CelError(f"{str(value)[:_LONGEST_TEXT]!r} is no timestamp")
    try:
        found = datetime.fromisoformat(f"{match[1]}{(match[2] or '')[:7]}{match[3]}")
        found.astimezone(UTC)  # which may be before the first year
        return found
    except (OverflowError, ValueError) as error:
        raise CelError(f"{value!r} is no timestamp") from error


def timestamp_text(value: datetime) -> str:
    """Return a timestamp as CEL writes it."""
    text = value.isoformat().replace("+00:00", "Z")
    return re.sub(r"(\.\d*?)0+(?=[-+Z])", r"\1", text) if "." in text else text


def duration_text(value: timedelta) -> str:
    """Return a duration as CEL writes it: in seconds."""
    seconds = f"{Decimal(value // timedelta(microseconds=1)).scaleb(-6):f}"
    return f"{seconds.rstrip('0').rstrip('.')}s"


def seconds_since_epoch(value: datetime) -> int:
    """Return what `int(timestamp)` is."""
    return (value - _EPOCH) // _SECOND


def _zone(name: Any) -> tzinfo:
    """Return a time zone by its name, or by its offset. Raises CelError if there is none."""
    if not expect(str, name):
        return UTC
    if len(name) <= _LONGEST_TEXT and _ZONE_NAME.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise CelError(f"unknown time zone {name}") from error
    match = _OFFSET.fullmatch(name)
    if match is None or int(match[3]) >= 60 or int(match[2]) >= 24:
        raise CelError(f"{name[:_LONGEST_TEXT]!r} is no time zone")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _of_timestamp(read: Callable[[datetime], int]) -> Callable[..., int]:
    def get(value: Any, zone: Any = "UTC") -> int:
        if not isinstance(value, datetime):
            raise NoOverload
        return read(value.astimezone(_zone(zone)))

    return get


def _of_either(read: Callable[[datetime], int], count: Callable[[timedelta], int]) -> Callable[..., int]:
    of_timestamp = _of_timestamp(read)

    def get(value: Any, *zone: Any) -> int:
        return count(value) if isinstance(value, timedelta) and not zone else of_timestamp(value, *zone)

    return get


def _whole(unit: timedelta) -> Callable[[timedelta], int]:
    """Return how many whole units a duration has; as in Go, those of -90 s are one minute less than none."""
    return lambda value: value // unit if value >= timedelta() else -(-value // unit)


METHODS: dict[str, Callable[..., Any]] = {
    "getDate": _of_timestamp(lambda at: at.day),
    "getDayOfMonth": _of_timestamp(lambda at: at.day - 1),
    "getDayOfWeek": _of_timestamp(lambda at: at.isoweekday() % 7),
    "getDayOfYear": _of_timestamp(lambda at: at.timetuple().tm_yday - 1),
    "getFullYear": _of_timestamp(lambda at: at.year),
    "getHours": _of_either(lambda at: at.hour, _whole(timedelta(hours=1))),
    "getMilliseconds": _of_either(lambda at: at.microsecond // 1000, _whole(_MILLISECOND)),
    "getMinutes": _of_either(lambda at: at.minute, _whole(timedelta(minutes=1))),
    "getMonth": _of_timestamp(lambda at: at.month - 1),
    "getSeconds": _of_either(lambda at: at.second, _whole(_SECOND)),
}
