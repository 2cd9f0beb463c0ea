"""A sorted tuple that changes one element at a time: of thousands of virtual hosts or clusters an edit touches one."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Ordered(Generic[_Value]):
    """Values by name, sorted by it; `values` is the very same tuple for as long as nothing changes."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._values: list[_Value] = []
        self._tuple: tuple[_Value, ...] | None = ()

    def __contains__(self, name: str) -> bool:
        at = bisect_left(self._names, name)
        return at < len(self._names) and self._names[at] == name

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def get(self, name: str) -> _Value | None:
        """Return the value of this name, or None."""
        at = bisect_left(self._names, name)
        return self._values[at] if at < len(self._names) and self._names[at] == name else None

    def put(self, name: str, value: _Value | None) -> bool:
        """Have this value under this name, or none; return whether that is a change. Of equals the first one stays."""
        at = bisect_left(self._names, name)
        known = at < len(self._names) and self._names[at] == name
        if (value is None and not known) or (known and value is not None and self._values[at] == value):
            return False
        self._names[at : at + known] = [] if value is None else [name]
        self._values[at : at + known] = [] if value is None else [value]
        self._tuple = None
        return True

    @property
    def values(self) -> tuple[_Value, ...]:
        """All values, sorted by their names."""
        if self._tuple is None:
            self._tuple = tuple(self._values)
        return self._tuple
