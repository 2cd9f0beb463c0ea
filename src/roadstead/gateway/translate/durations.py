"""Durations as Gateway API writes them (GEP-2257): `1h30m`, `10s`, `500ms`, `0s`."""

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}")
_PART = re.compile(r"([0-9]{1,5})(h|ms|m|s)")


def seconds(duration: str) -> float | None:
    """Return the duration in seconds, or None if it is not one."""
    if not _DURATION.fullmatch(duration):
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
