"""What evaluating a rule may cost, so that no rule can keep the server from its other clients.

Costs are counted where they grow with the object: every entry that a macro visits costs as much as its expression has
parts, texts cost by their length, lists by their entries. A unit is about 0.1 µs, in Kubernetes as here, and so is the
limit of one evaluation, 0.1 s (apiserver's pkg/apis/cel/config.go). All rules of one object may cost less than there,
where they have 1 s: here, others wait meanwhile.
"""

import re
from typing import Any

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
    if isinstance(value, str | bytes):
        return len(value) // _LETTERS + 1
    return len(value) if isinstance(value, list | dict) else 1


def call_cost(name: str, arguments: tuple[Any, ...]) -> int:
    """Return what a call costs, before it is made; `CONSTANT_PATTERN` is `matches` with a pattern that is compiled."""
    if name in _FREE:
        return 1
    cost = sum(size_cost(argument) for argument in arguments)
    grown = _GROWING.get(name)
    return cost + (grown(arguments) if grown is not None else 0)


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
    return size_cost(arguments[0]) * size_cost(arguments[-1])


def _compiled(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to compile a pattern that comes from the object: repetitions multiply, classes are large."""
    pattern = arguments[-1]
    if not isinstance(pattern, str):
        return 1
    cost = len(pattern) * (_LARGE_CLASS if re.search(r"\\[pP]", pattern) else 1)
    for repetition in re.findall(r"\{(\d{1,4})", pattern):
        cost = min(cost * max(1, int(repetition)), _LARGEST_PATTERN)
    return cost + _matched(arguments)


def _parsed(_: tuple[Any, ...]) -> int:
    return _PARSING


def _compared(arguments: tuple[Any, ...]) -> int:
    """Return what it costs to compare every entry of a list with every entry of another."""
    return _whole_cost(arguments[0]) * size_cost(arguments[-1])


def _formatted(arguments: tuple[Any, ...]) -> int:
    entries = arguments[-1] if isinstance(arguments[-1], list) else []
    return sum(map(_whole_cost, entries))


def _whole_cost(value: Any) -> int:
    """Return what it costs to look through a value and all that is in it."""
    if isinstance(value, list):
        return 1 + sum(map(_whole_cost, value))
    if isinstance(value, dict):
        return 1 + sum(_whole_cost(key) + _whole_cost(entry) for key, entry in value.items())
    return size_cost(value)


_LARGE_CLASS = 50
_LARGEST_PATTERN = EVALUATION_LIMIT // 2
_PARSING = 5
CONSTANT_PATTERN = "matches a constant"
_FREE = frozenset({"size", "dyn"})
_GROWING = {
    "join": _joined,
    "replace": _replaced,
    "find": _compiled,
    "findAll": _compiled,
    "format": _formatted,
    "matches": _compiled,
    CONSTANT_PATTERN: _matched,
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _compared),
    **dict.fromkeys(("cidr", "containsIP", "duration", "ip", "isCIDR", "isIP", "isQuantity", "isURL"), _parsed),
}
