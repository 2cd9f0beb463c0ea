"""The operators of CEL: which types they take, and what they give. What takes longer with larger values is paid for."""

import math
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from roadstead.apiserver.cel.budget import Budget, size_cost
from roadstead.apiserver.cel.functions import CelError, NoOverload, comparable, expect, number, same
from roadstead.apiserver.cel.optionals import has_key


def truth(value: Any) -> bool:
    """Return what is true or false. Raises NoOverload for what is neither."""
    if isinstance(value, bool):
        return value
    raise NoOverload


def _same(left: Any, right: Any, budget: Budget) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and _same_lists(left, right, budget)
    if isinstance(left, dict) and isinstance(right, dict):
        return len(left) == len(right) and _same_maps(left, right, budget)
    if (cost := size_cost(left)) > 1:
        budget.charge(cost)
    return same(left, right)


def _same_lists(left: list[Any], right: list[Any], budget: Budget) -> bool:
    budget.charge(len(left))
    return all(_same(mine, other, budget) for mine, other in zip(left, right, strict=True))


def _same_maps(left: dict[Any, Any], right: dict[Any, Any], budget: Budget) -> bool:
    budget.charge(len(left))
    return left.keys() == right.keys() and all(_same(entry, right[key], budget) for key, entry in left.items())


def _contains(value: Any, container: Any, budget: Budget) -> bool:
    if isinstance(container, dict):
        return has_key(container, value)
    budget.charge(len(expect(list, container)))
    return any(_same(value, entry, budget) for entry in container)


def _add(left: Any, right: Any, budget: Budget) -> Any:
    if isinstance(left, str | bytes | list):
        budget.charge(size_cost(left) + size_cost(right))
        return left + right
    if isinstance(left, datetime | timedelta):
        return _times(operator.add, left, right)
    return number(_number(left) + _number(right))


def _times(combine: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not isinstance(right, datetime | timedelta):
        raise NoOverload
    try:
        return combine(left, right)
    except OverflowError as error:
        raise CelError("timestamp out of range") from error


def _number(value: Any) -> Any:
    return expect((int, float), value)


def _subtract(left: Any, right: Any) -> Any:
    if isinstance(left, datetime | timedelta):
        return _times(operator.sub, left, right)
    return number(_number(left) - _number(right))


def _multiply(left: Any, right: Any) -> Any:
    return number(_number(left) * _number(right))


def _divide(left: Any, right: Any) -> Any:
    if isinstance(_number(left), int) and isinstance(_number(right), int):
        if not right:
            raise CelError("division by zero")
        quotient = abs(left) // abs(right)
        return number(quotient if (left < 0) is (right < 0) else -quotient)
    if not right:  # as floating-point numbers have it, where Python refuses
        return math.copysign(math.inf, left) * math.copysign(1, right) if left else math.nan
    return left / right


def _remainder(left: Any, right: Any) -> int:
    whole, divisor = int(expect(int, left)), int(expect(int, right))
    return whole - divisor * int(_divide(whole, divisor))


def negative(value: Any) -> Any:
    """Return a number with the other sign."""
    return number(-_number(value))


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def decide(left: Any, right: Any) -> bool:
        if not comparable(left, right):
            raise NoOverload
        return compare(left, right)

    return decide


PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _remainder,
}
COSTLY: dict[str, Callable[[Any, Any, Budget], Any]] = {
    "==": _same,
    "!=": lambda left, right, budget: not _same(left, right, budget),
    "in": _contains,
    "+": _add,
}
"""Operators that take longer with larger values."""
