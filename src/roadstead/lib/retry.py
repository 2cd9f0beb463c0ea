"""How long to wait before trying again: longer after each failure of the same thing, never longer than a limit."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Backoff(Generic[Key]):
    """Exponential pauses per key: `first`, twice that, and so on up to `longest` seconds. Pure; nobody sleeps here."""

    def __init__(self, first: float = 0.005, longest: float = 30.0) -> None:
        self._first = first
        self._longest = longest
        self._failures: dict[Key, int] = {}

    def failed(self, key: Key) -> float:
        """Count a failure and return the pause before the next attempt."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(self._first * 2.0 ** min(failures, 64), self._longest)

    def succeeded(self, key: Key) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """Return how often a key has failed in a row."""
        return self._failures.get(key, 0)
