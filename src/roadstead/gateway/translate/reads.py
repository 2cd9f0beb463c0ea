"""What was made once need not be made again until something that it was made from changes.

Whoever makes something reads `Resources` through a `Recorder`, which notes each object that is asked for. `Readers`
keeps these notes the other way round: from an object to what was made from it. So nobody has to write down what depends
on what, and nobody can forget it. Next: `translation`, which keeps what was made.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

from roadstead.gateway.resources import Resources


class Read(NamedTuple):
    """A look at one object of a field of `Resources`, also at one that is not there; without a key: at all of them."""

    field: str
    key: Hashable = None


Changes = Mapping[str, Collection[Any]]
"""By field of `Resources`, the keys under which something is new, changed or gone."""


class _Watched(Mapping[Any, Any]):
    """A mapping that tells what is asked of it."""

    def __init__(self, name: str, found: Mapping[Any, Any], recorder: "Recorder") -> None:
        self._name, self._found, self._recorder = name, found, recorder

    def __getitem__(self, key: Any) -> Any:
        self._recorder.reads.add(Read(self._name, key))
        return self._found[key]

    def get(self, key: Any, default: Any = None) -> Any:
        self._recorder.reads.add(Read(self._name, key))
        return self._found.get(key, default)

    def __contains__(self, key: object) -> bool:
        self._recorder.reads.add(Read(self._name, key))
        return key in self._found

    def __iter__(self) -> Iterator[Any]:
        self._recorder.reads.add(Read(self._name))
        return iter(self._found)

    def __len__(self) -> int:
        self._recorder.reads.add(Read(self._name))
        return len(self._found)


class Recorder:
    """Notes what is asked of mappings that it has watched; `reads` is what was asked since `recording` began."""

    def __init__(self) -> None:
        self.reads: set[Read] = set()

    def watched(self, name: str, found: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return the mapping; what is asked of it counts as a read of the field `name`."""
        return _Watched(name, found, self)

    def resources(self, found: Resources) -> Resources:
        """Return the same resources, watched in all their mappings."""
        made: dict[str, Any] = {each.name: getattr(found, each.name) for each in fields(found)}
        for name, value in made.items():
            if isinstance(value, Mapping):
                made[name] = self.watched(name, value)
        return Resources(**made)

    @contextmanager
    def recording(self) -> Iterator[set[Read]]:
        """Note what is asked from here to the end of the block, in the set that is given out; blocks do not nest."""
        self.reads = set()
        yield self.reads


class Readers:
    """Who has read what."""

    def __init__(self) -> None:
        self._readers: dict[Read, dict[Hashable, None]] = defaultdict(dict)
        self._reads: dict[Hashable, frozenset[Read]] = {}

    def note(self, reader: Hashable, reads: Iterable[Read]) -> None:
        """Take what a reader has read, instead of what it read before; nothing at all forgets it."""
        new, old = frozenset(reads), self._reads.pop(reader, frozenset())
        for read in old - new:
            self._readers[read].pop(reader, None)
            if not self._readers[read]:
                del self._readers[read]
        for read in new - old:
            self._readers[read][reader] = None
        if new:
            self._reads[reader] = new

    def of(self, changes: Changes) -> dict[Hashable, None]:
        """Return those who have read what has changed, each once."""
        found: dict[Hashable, None] = {}
        for field, keys in changes.items():
            for read in (Read(field), *(Read(field, key) for key in keys)) if keys else ():
                found |= self._readers.get(read, {})
        return found
