"""The functions of CEL that rules call: the standard ones and those of Kubernetes (apiserver's pkg/cel/library)."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from roadstead.api.quantities import parse_quantity
from roadstead.lib.patterns import PatternError, compile_pattern


class CelError(Exception):
    """An expression has no value: a field is absent, an index is out of bounds."""


class NoOverload(CelError):
    """The types do not fit.

    In Kubernetes, types are checked when a rule is compiled; here, it mostly means that a format such as `date-time` is
    a text for us and a time for the rule.
    """

    def __init__(self) -> None:
        super().__init__("no such overload")


def same(left: Any, right: Any) -> bool:
    """Compare as CEL does: true is not 1, and numbers are equal whatever their type."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _is(kind: type | tuple[type, ...], value: Any) -> Any:
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    raise NoOverload


def _size(value: Any) -> int:
    return len(_is((str, list, dict, bytes), value))


def _matches(value: Any, pattern: Any) -> bool:
    try:
        return compile_pattern(_is(str, pattern)).search(_is(str, value))
    except PatternError as error:
        raise CelError(str(error)) from error


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def _duration(text: Any) -> timedelta:
    match = re.fullmatch(r"([-+]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+|0)", _is(str, text))
    if match is None:
        raise CelError(f"{text!r} is no duration")
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", match[2])
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if match[1] == "-" else seconds)


def _timestamp(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(_is(str, text))
    except ValueError as error:
        raise CelError(f"{text!r} is no timestamp") from error


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(_is((str, int, float), value))


def _integer(value: Any) -> int:
    try:
        return int(_is((str, int, float), value))
    except ValueError as error:
        raise CelError(f"{value!r} is no integer") from error


def _double(value: Any) -> float:
    try:
        return float(_is((str, int, float), value))
    except ValueError as error:
        raise CelError(f"{value!r} is no number") from error


def _parses(parse: Callable[[str], Any]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            parse(_is(str, value))
        except ValueError:
            return False
        return True

    return check


def _quantity(text: Any) -> Decimal:
    try:
        return parse_quantity(_is(str, text))
    except ValueError as error:
        raise CelError(str(error)) from error


def _url(text: str) -> Any:
    parts = urlsplit(text)
    if not parts.scheme and not text.startswith("/"):
        raise ValueError("neither absolute nor a path")
    return parts


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cidr": lambda text: ip_network(_is(str, text), strict=False),
    "double": _double,
    "duration": _duration,
    "dyn": lambda value: value,
    "int": _integer,
    "ip": lambda text: ip_address(_is(str, text)),
    "isCIDR": _parses(lambda text: ip_network(text, strict=False)),
    "isIP": _parses(ip_address),
    "isQuantity": _parses(parse_quantity),
    "isURL": _parses(_url),
    "matches": _matches,
    "quantity": _quantity,
    "size": _size,
    "string": _string,
    "timestamp": _timestamp,
    "uint": _integer,
}


def _substring(text: Any, start: int, end: int | None = None) -> str:
    value: str = _is(str, text)
    last = len(value) if end is None else end
    if not 0 <= start <= last <= len(value):
        raise CelError("index out of range")
    return value[start:last]


def _split(text: Any, separator: str, limit: int = -1) -> list[str]:
    value: str = _is(str, text)
    if limit == 0:
        return []
    if not separator:
        return list(value)
    return value.split(separator, limit - 1 if limit > 0 else -1)


def _is_sorted(entries: Any) -> bool:
    found = _is(list, entries)
    return all(left <= right for left, right in pairwise(found))


def _sign(value: Decimal) -> int:
    return (value > 0) - (value < 0)


def _as_integer(value: Any) -> int:
    if _is(Decimal, value) != value.to_integral_value():
        raise CelError("cannot convert value to integer")
    return int(value)


METHODS: dict[str, Callable[..., Any]] = {
    "add": lambda value, other: _is(Decimal, value) + _is((Decimal, int), other),
    "asApproximateFloat": lambda value: float(_is(Decimal, value)),
    "asInteger": _as_integer,
    "compareTo": lambda value, other: _sign(_is(Decimal, value) - _is(Decimal, other)),
    "contains": lambda text, part: _is(str, part) in _is(str, text),
    "containsIP": lambda network, address: (ip_address(address) if isinstance(address, str) else address) in network,
    "endsWith": lambda text, end: _is(str, text).endswith(_is(str, end)),
    "family": lambda value: value.version,
    "indexOf": lambda value, part: _is((str, list), value).index(part) if part in value else -1,
    "isGreaterThan": lambda left, right: left > right,
    "isInteger": lambda value: _is(Decimal, value) == value.to_integral_value(),
    "isLessThan": lambda left, right: left < right,
    "isSorted": _is_sorted,
    "join": lambda entries, separator="": separator.join(_is(list, entries)),
    "lastIndexOf": lambda text, part: _is(str, text).rfind(part),
    "lowerAscii": lambda text: _is(str, text).lower(),
    "matches": _matches,
    "max": lambda entries: max(_is(list, entries)),
    "min": lambda entries: min(_is(list, entries)),
    "prefixLength": lambda network: network.prefixlen,
    "replace": lambda text, old, new, limit=-1: _is(str, text).replace(old, new, limit),
    "sign": _sign,
    "size": _size,
    "split": _split,
    "sub": lambda value, other: _is(Decimal, value) - _is((Decimal, int), other),
    "startsWith": lambda text, start: _is(str, text).startswith(_is(str, start)),
    "substring": _substring,
    "sum": lambda entries: sum(_is(list, entries)),
    "trim": lambda text: _is(str, text).strip(),
    "upperAscii": lambda text: _is(str, text).upper(),
}
