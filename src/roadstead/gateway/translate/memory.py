"""What the pass before has made from the same objects need not be made again.

Objects in informer caches are never changed, only replaced; so identity of the inputs is equality. A memory changes how
long a translation takes and nothing else: with and without one the result is the same (a property test says so). What
is not asked for in a pass is forgotten with the next.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from operator import is_
from typing import Any, TypeVar

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway.resources import Objects

_Made = TypeVar("_Made")


class Watched(Mapping[ObjectKey, Object]):
    """Objects that remember which of them were asked for."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.asked: dict[ObjectKey, Object | None] = {}

    def __getitem__(self, key: ObjectKey) -> Object:
        found = self._objects.get(key)
        self.asked[key] = found
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)


class Memory:
    """Remembers from one pass to the next."""

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[Sequence[Any], Any]] = {}
        self._now: dict[Hashable, tuple[Sequence[Any], Any]] = {}

    def begin(self) -> None:
        """Begin a pass."""
        self._before, self._now = self._now, {}

    def recall(self, key: Hashable, inputs: Sequence[Any], make: Callable[[], _Made]) -> _Made:
        """Return what was made under this key from the very same inputs, or make it."""
        before = self._before.get(key)
        if before is None or not _identical(before[0], inputs):
            before = (inputs, make())
        self._now[key] = before
        made: _Made = before[1]
        return made

    def recall_watched(
        self, key: Hashable, inputs: Sequence[Any], objects: Objects, make: Callable[[Objects], _Made]
    ) -> _Made:
        """Like `recall`, for what is made from a few of many objects: those that it asked for are inputs, too."""
        before = self._before.get(key)
        if before is not None:
            made, asked = before[1]
            if _identical(before[0], inputs) and all(map(is_, map(objects.get, asked), asked.values())):
                self._now[key] = before
                kept: _Made = made
                return kept
        watched = Watched(objects)
        fresh = make(watched)
        self._now[key] = (inputs, (fresh, watched.asked))
        return fresh

    def settled(self, key: Hashable, value: _Made) -> _Made:
        """Return the value of the pass before if it is equal, so that what is made from it is found again."""
        before = self._before.get(key)
        kept: _Made = before[1] if before is not None and before[1] == value else value
        self._now[key] = ((), kept)
        return kept


def _identical(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))
