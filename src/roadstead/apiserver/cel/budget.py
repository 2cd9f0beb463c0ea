"""What evaluating a rule may cost, so that no rule can keep the server from its other clients.

Costs are counted where they grow with the object: every entry that a macro visits costs as much as its expression has
parts, texts cost by their length, lists by their entries. A unit is about 0.1 µs, in Kubernetes as here, and so is the
limit of one evaluation, 0.1 s (apiserver's pkg/apis/cel/config.go). All rules of one object may cost less than there,
where they have 1 s: here, others wait meanwhile.
"""

import re
from typing import Any

from roadstead.apiserver.cel.semvers import Version
from roadstead.apiserver.cel.urls import Url

EVALUATION_LIMIT = 1_000_000
OBJECT_LIMIT = 3_000_000
_LETTERS = 10
"""How many letters of a text cost as much as one step."""


class CostExceeded(Exception):
    """An evaluation was given up. No operator makes good of it, as `true || ERROR` does of other errors."""


class Budget:
    """How much an evaluation may still cost."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit

    def charge(self, cost: int) -> None:
        """Pay for a step, before it is taken. Raises CostExceeded."""
        self.left -= cost
        if self.left < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")


def size_cost(value: Any) -> int:
    """Return what it costs to look through a value, not into its entries."""
    if isinstance(value, (str, bytes)):
        return len(value) // _LETTERS + 1
    if isinstance(value, (list, dict)):
        return len(value)
    return len(value.text) // _LETTERS + 1 if isinstance(value, (Url, Version)) else 1


def call_cost(name: str, arguments: tuple[Any, ...]) -> int:
    """Return what a call costs, before it is made."""
    if name in _FREE:
        return 1
    cost = sum(size_cost(argument) for argument in arguments)
    grown = _GROWING.get(name)
    return cost + (grown(arguments) if grown is not None else 0)


def with_constant_pattern(name: str) -> str:
    """Return the name under which a function is charged whose pattern need not be compiled again."""
    return f"{name} a constant"


def _joined(arguments: tuple[Any, ...]) -> int:
    entries = arguments[0] if isinstance(arguments[0], list) else []
    between = size_cost(arguments[1]) if len(arguments) > 1 else 0
    return sum(size_cost(entry) + between for entry in entries)


def _replaced(arguments: tuple[Any, ...]) -> int:
    text, old, new = (*arguments, "", "", "")[:3]
    if not all(isinstance(part, str) for part in (text, old, new)):
        return 1
    return int(text.count(old) * size_cost(new))


def _matched(arguments: tuple[Any, ...]) -> int:
    return size_cost(arguments[0]) * size_cost(arguments[1])


def _listed(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to list matches: there may be one at every letter, if no limit is given."""
    text, _, limit = (*arguments, -1)[:3]
    letters = len(text) if isinstance(text, str) else 0
    return _MATCH * (min(limit, letters) if isinstance(limit, int) and limit >= 0 else letters)


def _compiled(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to compile a pattern that comes from the object: repetitions multiply, classes are large."""
    pattern = arguments[1]
    if not isinstance(pattern, str):
        return 1
    cost = len(pattern) * (_LARGE_CLASS if re.search(r"\\[pP]", pattern) else 1)
    for repetition in re.findall(r"\{(\d{1,4})", pattern):
        cost = min(cost * max(1, int(repetition)), _LARGEST_PATTERN)
    return cost + _matched(arguments)


def _parsed(_: tuple[Any, ...]) -> int:
    return _PARSING


def _in_zone(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to look up a time zone, which may have to be read from a file."""
    return _ZONE if len(arguments) > 1 else 1


def _compared(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to compare every entry of a list with every entry of another."""
    return whole_cost(arguments[0]) * size_cost(arguments[-1])


def _distinguished(arguments: tuple[Any, ...]) -> int:
    return whole_cost(arguments[0]) * size_cost(arguments[0])


def _sorted(arguments: tuple[Any, ...]) -> int:
    return sorting_cost(arguments[0])


def sorting_cost(keys: Any) -> int:
    """Return what it costs to sort a list by these keys."""
    return whole_cost(keys) * size_cost(keys).bit_length()


def _looked_through(arguments: tuple[Any, ...]) -> int:
    return sum(map(whole_cost, arguments))


def _formatted(arguments: tuple[Any, ...]) -> int:
    template = len(arguments[0]) if isinstance(arguments[0], str) else 1
    return template + whole_cost(arguments[-1], _PRINTED)


def _counted(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to make a list of a size that is given."""
    size = arguments[0]
    return size if isinstance(size, int) and size > 0 else 1


def whole_cost(value: Any, part: int = 1) -> int:
    """Return what it costs to look through a value and all its parts, or more than an evaluation may cost.

    A list may be in others again and again, so that it takes little to make one that would be counted for ever.
    """
    cost, left = 0, [value]
    while left and cost <= EVALUATION_LIMIT:
        found = left.pop()
        cost += part if isinstance(found, list | dict) else size_cost(found) + part - 1
        if isinstance(found, dict):
            left.extend(found.keys())
            left.extend(found.values())
        elif isinstance(found, list):
            left.extend(found)
    return cost


_LARGE_CLASS = 50
_LARGEST_PATTERN = EVALUATION_LIMIT // 2
_PARSING = 20
_ZONE = 2000
_PRINTED = 3
"""What one of many entries costs that are printed."""
_MATCH = 5
"""What one of many matches costs."""
_FREE = frozenset({"dyn", "first", "last", "size", "type"})
_GROWING = {
    "distinct": _distinguished,
    "find": _compiled,
    "findAll": lambda arguments: _compiled(arguments) + _listed(arguments),
    "flatten": _looked_through,
    "format": _formatted,
    "join": _joined,
    "lists.range": _counted,
    "matches": _compiled,
    "replace": _replaced,
    "sort": _sorted,
    **{with_constant_pattern(name): _matched for name in ("find", "matches")},
    with_constant_pattern("findAll"): lambda arguments: _matched(arguments) + _listed(arguments),
    **dict.fromkeys(("indexOf", "lastIndexOf", "isSorted", "max", "min"), _looked_through),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _compared),
    **dict.fromkeys(
        (
            "cidr", "containsCIDR", "containsIP", "double", "duration", "int", "ip", "ip.isCanonical", "isCIDR", "isIP",
            "isQuantity", "isSemver", "isURL", "quantity", "semver", "string", "timestamp", "uint", "url",
        ),
        _parsed,
    ),
    **dict.fromkeys(
        (
            "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
            "getMinutes", "getMonth", "getSeconds",
        ),
        _in_zone,
    ),
}  # fmt: skip
