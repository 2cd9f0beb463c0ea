"""Optional values of CEL: `object.?spec.?replicas.orValue(1)`, after cel-go's OptionalTypes.

Selecting in an optional value gives another one, absent where anything on the way is. Lists and maps with optional
entries are not understood. Next: `evaluation` gives `.?` and `[?` their meaning by `select` and `index`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roadstead.apiserver.cel.functions import CelError, NoOverload

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


def select(container: Any, key: Any) -> Optional:
    """Return an entry of a map, a list or an optional one of them, if it is there."""
    if isinstance(container, Optional):
        return select(container.value, key) if has_value(container) else NONE
    if isinstance(container, dict):
        return Optional(container[key]) if key in container else NONE
    if isinstance(container, list) and isinstance(key, int) and not isinstance(key, bool):
        return Optional(container[key]) if 0 <= key < len(container) else NONE
    return NONE


def _or_value(found: Any, otherwise: Any) -> Any:
    return found.value if has_value(found) else otherwise


def _or(found: Any, other: Any) -> Optional:
    has_value(other)  # only an optional value will do
    chosen: Optional = found if has_value(found) else other
    return chosen


def _of_non_zero(found: Any) -> Optional:
    return Optional(found) if found or found not in (None, "", b"", 0, False, [], {}) else NONE


METHODS: dict[str, Callable[..., Any]] = {
    "hasValue": has_value,
    "or": _or,
    "orValue": _or_value,
    "value": value,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "none": lambda: NONE,
    "of": lambda value: Optional(value),
    "ofNonZeroValue": _of_non_zero,
}
"""What the name `optional` has: `optional.of(1)`."""
