"""Lists as sets: `sets.contains(self.allowed, self.wanted)`, after cel-go's ext/sets.go."""

from collections.abc import Callable
from typing import Any

from roadstead.apiserver.cel.functions import NoOverload, same


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise NoOverload
    return value


def _contains(container: Any, wanted: Any) -> bool:
    entries = _list(container)
    return all(any(same(entry, each) for entry in entries) for each in _list(wanted))


def _equivalent(left: Any, right: Any) -> bool:
    return _contains(left, right) and _contains(right, left)


def _intersects(left: Any, right: Any) -> bool:
    entries = _list(left)
    return any(same(entry, each) for each in _list(right) for entry in entries)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sets.contains": _contains,
    "sets.equivalent": _equivalent,
    "sets.intersects": _intersects,
}
