"""The functions of CEL that every rule may call: those of texts and of quantities, and what all libraries rest on.

After cel-go's ext/strings.go and apiserver's pkg/cel/library/quantity.go. Next: `libraries` puts all tables together.
"""

import string
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

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
    """Compare as CEL does: true is not 1, a quantity is no number, and numbers are equal whatever their type."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(entry, right[key]) for key, entry in left.items())
    for apart in (bool, Decimal):
        if isinstance(left, apart) is not isinstance(right, apart):
            return False
    return bool(left == right)


def expect(kind: type | tuple[type, ...], value: Any) -> Any:
    """Return a value that is of a kind. Raises NoOverload for another; true and false are no numbers."""
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    raise NoOverload


def is_integer(value: Any) -> bool:
    """Say whether a value is an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


LARGEST_INTEGER = 2**63


def number(value: Any) -> Any:
    """Return a number if CEL has it: an integer of 64 bits. Raises CelError."""
    if isinstance(value, int) and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        raise CelError("integer overflow")
    return value


_ORDERED = frozenset({bool, int, float, str, bytes, datetime, timedelta})
_NUMBERS = frozenset({int, float})


def comparable(left: Any, right: Any) -> bool:
    """Say whether one of two values may be before the other."""
    mine, other = type(left), type(right)
    return mine in _ORDERED if mine is other else mine in _NUMBERS and other in _NUMBERS


def holds(parse: Callable[..., Any]) -> Callable[..., bool]:
    """Return a function that says whether another has a value, rather than CelError."""

    def check(*arguments: Any) -> bool:
        try:
            parse(*arguments)
        except NoOverload:
            raise
        except CelError:
            return False
        return True

    return check


def _size(value: Any) -> int:
    return len(expect((str, list, dict, bytes), value))


def _matches(value: Any, pattern: Any) -> bool:
    try:
        return compile_pattern(expect(str, pattern)).search(expect(str, value))
    except PatternError as error:
        raise CelError(str(error)) from error


def _quantity(text: Any) -> Decimal:
    try:
        return parse_quantity(expect(str, text))
    except ValueError as error:
        raise CelError(str(error)) from error


def _sign(value: Any) -> int:
    return int(value > 0) - int(value < 0)


def _difference(left: Any, right: Any) -> int:
    return _sign(expect(Decimal, left) - expect(Decimal, right))


def _as_integer(value: Any) -> int:
    if not _is_whole(value):
        raise CelError("cannot convert value to integer")
    return int(value)


def _is_whole(value: Any) -> bool:
    # The largest quantity is what all larger ones have become, and so it is none that is known to be whole.
    return bool(expect(Decimal, value) == value.to_integral_value()) and abs(value) < LARGEST_INTEGER - 1


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isQuantity": holds(_quantity),
    "matches": _matches,
    "quantity": _quantity,
    "sign": lambda value: _sign(expect(Decimal, value)),
    "size": _size,
}


def _substring(text: Any, start: int, end: int | None = None) -> str:
    value: str = expect(str, text)
    last = len(value) if end is None else end
    if not 0 <= start <= last <= len(value):
        raise CelError("index out of range")
    return value[start:last]


def _split(text: Any, separator: str, limit: int = -1) -> list[str]:
    value: str = expect(str, text)
    if limit == 0:
        return []
    if not separator:
        return [*value[: limit - 1], value[limit - 1 :]] if 0 < limit < len(value) else list(value)
    return value.split(separator, limit - 1 if limit > 0 else -1)


def _index_of(text: Any, part: Any, start: Any = 0) -> int:
    value: str = expect(str, text)
    if expect(int, start) < 0:
        raise CelError(f"index out of range: {start}")
    if not expect(str, part):
        return min(int(start), len(value))
    return value.find(part, start)


def _last_index_of(text: Any, part: Any, start: Any = None) -> int:
    value: str = expect(str, text)
    if start is None:
        return value.rfind(expect(str, part))
    if expect(int, start) < 0:
        raise CelError(f"index out of range: {start}")
    if not expect(str, part):
        return min(int(start), len(value))
    return value.rfind(part, 0, start + len(part)) if start < len(value) else -1


_SPACE = "".join(
    map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
"""What Unicode calls white space; Python's own notion has four control characters more."""
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)

METHODS: dict[str, Callable[..., Any]] = {
    "add": lambda value, other: expect(Decimal, value) + expect((Decimal, int), other),
    "asApproximateFloat": lambda value: float(expect(Decimal, value)),
    "asInteger": _as_integer,
    "compareTo": _difference,
    "contains": lambda text, part: expect(str, part) in expect(str, text),
    "endsWith": lambda text, end: expect(str, text).endswith(expect(str, end)),
    "indexOf": _index_of,
    "isGreaterThan": lambda left, right: _difference(left, right) > 0,
    "isInteger": _is_whole,
    "isLessThan": lambda left, right: _difference(left, right) < 0,
    "join": lambda entries, separator="": separator.join(expect(list, entries)),
    "lastIndexOf": _last_index_of,
    "lowerAscii": lambda text: expect(str, text).translate(_LOWER),
    "matches": _matches,
    "replace": lambda text, old, new, limit=-1: expect(str, text).replace(old, new, limit),
    "sign": _sign,
    "size": _size,
    "split": _split,
    "startsWith": lambda text, start: expect(str, text).startswith(expect(str, start)),
    "sub": lambda value, other: expect(Decimal, value) - expect((Decimal, int), other),
    "substring": _substring,
    "trim": lambda text: expect(str, text).strip(_SPACE),
    "upperAscii": lambda text: expect(str, text).translate(_UPPER),
}
