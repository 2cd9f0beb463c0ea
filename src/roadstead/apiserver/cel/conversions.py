"""Conversions between the types of CEL: `int('5')`, `string(duration('90s'))`; after cel-go's common/types."""

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from roadstead.apiserver.cel import addresses
from roadstead.apiserver.cel.functions import LARGEST_INTEGER, CelError, NoOverload, expect, number
from roadstead.apiserver.cel.times import (
    duration_text,
    seconds_since_epoch,
    timestamp_text,
    to_duration,
    to_timestamp,
)

_INTEGER = re.compile(r"[-+]?\d{1,30}", re.ASCII)
_DOUBLE = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,9})?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE)
_LONGEST_DOUBLE = 1000
_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_PLAIN_DIGITS = 6
"""From as many digits on, numbers are written with an exponent, as Go does with `%g`."""


def double_text(value: float) -> str:
    """Return a floating-point number as CEL writes it: with as few digits as tell it apart."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    sign, digits, scale = Decimal(repr(value)).normalize().as_tuple()
    exponent = len(digits) + int(scale) - 1
    if value and not -5 < exponent < _PLAIN_DIGITS:
        text = "".join(map(str, digits))
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{'-' if sign else ''}{text[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return f"{Decimal(repr(value)).normalize():f}"


def to_string(value: Any) -> str:
    """`string(x)`. Raises NoOverload for lists, maps and null."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from error
    for python_type, write in _TEXTS:
        if isinstance(value, python_type):
            return write(value)
    if addresses.is_address(value) or addresses.is_network(value):
        return str(value)
    raise NoOverload


_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (str, str),
    (int, str),
    (float, double_text),
    (datetime, timestamp_text),
    (timedelta, duration_text),
)


def _to_integer(value: Any) -> int:
    if isinstance(value, datetime):
        return seconds_since_epoch(value)
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise CelError("type conversion error from 'string' to 'int'")
        return int(number(int(value)))
    if isinstance(value, float) and not abs(value) < LARGEST_INTEGER:
        raise CelError("integer overflow")
    return int(expect((int, float), value))


def _to_unsigned(value: Any) -> int:
    """Return an integer that is not negative; it is none of another type here."""
    if isinstance(value, str) and value[:1] in ("-", "+"):
        raise CelError("type conversion error from 'string' to 'uint'")
    if isinstance(value, float) and value < 0:
        raise CelError("unsigned integer overflow")
    found = _to_integer(value)
    if found < 0:
        raise CelError("unsigned integer overflow")
    return found


def _to_double(value: Any) -> float:
    if isinstance(value, str) and (len(value) > _LONGEST_DOUBLE or not _DOUBLE.fullmatch(value)):
        raise CelError("type conversion error from 'string' to 'double'")
    return float(expect((str, int, float), value))


def _to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = _TRUTHS.get(expect(str, value))
    if found is None:
        raise CelError("type conversion error from 'string' to 'bool'")
    return found


def _to_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(expect(str, value), "utf-8")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bool": _to_boolean,
    "bytes": _to_bytes,
    "double": _to_double,
    "duration": to_duration,
    "dyn": lambda value: value,
    "int": _to_integer,
    "string": to_string,
    "timestamp": to_timestamp,
    "uint": _to_unsigned,
}
