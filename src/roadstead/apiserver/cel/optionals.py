"""Optional values of CEL: `object.?spec.?replicas.orValue(1)`, after cel-go's OptionalTypes.

Selecting in an optional value gives another one, absent where anything on the way is. Next: `evaluation` gives `.?`
and `[?` their meaning by `select`, and leaves out of lists and maps those optional entries that are absent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from roadstead.apiserver.cel.functions import CelError, NoOverload, expect

_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be absent."""

    value: Any = _NOTHING


NONE = Optional()


def has_value(found: Any) -> bool:
    """Say whether an optional value is there. Raises NoOverload for a value that is not optional."""
    if not isinstance(found, Optional):
        raise NoOverload
    return found.value is not _NOTHING


def value(found: Any) -> Any:
    """Return an optional value. Raises CelError if it is absent."""
    if not has_value(found):
        raise CelError("optional.none() dereference")
    return found.value


def has_key(container: dict[Any, Any], key: Any) -> bool:
    """Say whether a map has a key. True is not 1, and a map from true and false has no more entries than these."""
    if isinstance(key, bool):
        return len(container) <= 2 and any(entry is key for entry in container)
    return key in container


def look_up(container: Any, key: Any) -> Optional:
    """Return an entry of a map or a list, if it is there. Raises NoOverload for a key that a list cannot have."""
    if isinstance(container, dict):
        return Optional(container[key]) if has_key(container, key) else NONE
    if not isinstance(container, list):
        return NONE
    if isinstance(key, bool) or not isinstance(key, int | float) or key != int(key):
        raise NoOverload
    return Optional(container[int(key)]) if 0 <= key < len(container) else NONE


def select(container: Any, key: Any) -> Optional:
    """Return an entry of a map, a list or an optional one of them, if it is there."""
    if isinstance(container, Optional):
        return look_up(container.value, key) if has_value(container) else NONE
    return look_up(container, key)


def or_value(found: Any, otherwise: Callable[[], Any]) -> Any:
    """Return an optional value, or what stands in for it, which is not evaluated in vain."""
    return found.value if has_value(found) else otherwise()


def either(found: Any, otherwise: Callable[[], Any]) -> Optional:
    """Return an optional value, or another one if it is absent. Raises NoOverload for what is not optional."""
    chosen: Optional = found if has_value(found) else otherwise()
    has_value(chosen)
    return chosen


def _of_non_zero(found: Any) -> Optional:
    zero = found is None or (isinstance(found, str | bytes | int | float | list | dict | timedelta) and not found)
    return NONE if zero else Optional(found)


def _unwrap(entries: Any) -> list[Any]:
    return [entry.value for entry in expect(list, entries) if has_value(entry)]


METHODS: dict[str, Callable[..., Any]] = {
    "hasValue": has_value,
    "unwrapOpt": _unwrap,
    "value": value,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "optional.none": lambda: NONE,
    "optional.of": lambda value: Optional(value),
    "optional.ofNonZeroValue": _of_non_zero,
    "optional.unwrap": _unwrap,
}
