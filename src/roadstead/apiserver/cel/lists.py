"""Functions of lists in CEL: `self.ports.map(p, p.name).distinct()`.

After cel-go's ext/lists.go and apiserver's pkg/cel/library/lists.go.
"""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

from roadstead.apiserver.cel import optionals
from roadstead.apiserver.cel.functions import CelError, NoOverload, comparable, expect, is_integer, number, same


def _list(value: Any) -> list[Any]:
    found: list[Any] = expect(list, value)
    return found


def _comparable(value: Any) -> list[Any]:
    """Return a list whose entries have an order. Raises NoOverload for another."""
    entries = _list(value)
    if not all(comparable(entries[0], entry) for entry in entries):
        raise NoOverload
    return entries


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    def find(value: Any) -> Any:
        if not _list(value):
            raise CelError(f"{name} called on empty list")
        return choose(_comparable(value))

    return find


def _sum(value: Any) -> Any:
    total: Any = None
    for entry in _list(value):
        if isinstance(entry, bool) or not isinstance(entry, int | float | timedelta):
            raise NoOverload
        total = entry if total is None else total + entry
    return number(total or 0) if not isinstance(total, timedelta) else total


def index_of(entries: Any, wanted: Any) -> int:
    """Return where an entry is first; -1 if it is nowhere."""
    return next((at for at, entry in enumerate(_list(entries)) if same(entry, wanted)), -1)


def last_index_of(entries: Any, wanted: Any) -> int:
    """Return where an entry is last; -1 if it is nowhere."""
    found = index_of(_list(entries)[::-1], wanted)
    return len(entries) - 1 - found if found >= 0 else -1


def _distinct(value: Any) -> list[Any]:
    found: list[Any] = []
    for entry in _list(value):
        if index_of(found, entry) < 0:
            found.append(entry)
    return found


def _flatten(value: Any, depth: Any = 1) -> list[Any]:
    if not is_integer(depth):
        raise NoOverload
    if depth < 0:
        raise CelError("level must be non-negative")
    flat: list[Any] = []
    for entry in _list(value):
        if depth and isinstance(entry, list):
            flat.extend(_flatten(entry, depth - 1))
        else:
            flat.append(entry)
    return flat


def _slice(value: Any, start: Any, end: Any) -> list[Any]:
    if not is_integer(start) or not is_integer(end):
        raise NoOverload
    if not 0 <= start <= end <= len(_list(value)):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(value)}")
    return _list(value)[start:end]


def sort_by(entries: list[Any], keys: list[Any]) -> list[Any]:
    """Return entries in the order of their keys, which must have one. Raises CelError."""
    if any(not comparable(keys[0], key) or type(keys[0]) is not type(key) for key in keys):
        raise CelError("list elements must be comparable and have the same type")
    return [entries[at] for at in sorted(range(len(entries)), key=keys.__getitem__)]


def _sort(value: Any) -> list[Any]:
    return sort_by(_list(value), _list(value))


def _range(size: Any) -> list[int]:
    if not is_integer(size):
        raise NoOverload
    if size < 0:
        raise CelError(f"lists.range: size must be non-negative, got {size}")
    return list(range(size))


def _end(at: int) -> Callable[[Any], optionals.Optional]:
    return lambda value: optionals.Optional(value[at]) if _list(value) else optionals.NONE


FUNCTIONS: dict[str, Callable[..., Any]] = {"lists.range": _range}
METHODS: dict[str, Callable[..., Any]] = {
    "distinct": _distinct,
    "first": _end(0),
    "flatten": _flatten,
    "indexOf": index_of,
    "isSorted": lambda value: all(left <= right for left, right in pairwise(_comparable(value))),
    "last": _end(-1),
    "lastIndexOf": last_index_of,
    "max": _extreme("max", max),
    "min": _extreme("min", min),
    "reverse": lambda value: _list(value)[::-1],
    "slice": _slice,
    "sort": _sort,
    "sum": _sum,
}
