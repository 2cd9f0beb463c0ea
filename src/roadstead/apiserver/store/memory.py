"""A store that forgets everything with its process: for tests and for clusters that are thrown away."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from roadstead.api.objects import Object
from roadstead.apiserver.store.contract import Event, Location, Record, numbered
from roadstead.apiserver.store.locks import KeyedLocks
from roadstead.apiserver.store.read_model import ReadModel
from roadstead.apiserver.store.sizes import check_size


class MemoryStore:
    """A `Store` whose writes are visible at once; its first write gets the revision after `origin`."""

    def __init__(self, origin: int = 0) -> None:
        self._model = ReadModel(origin)
        self._locks = KeyedLocks()

    @property
    def revision(self) -> int:
        """The number of the newest write."""
        return self._model.revision

    def get(self, location: Location) -> Record | None:
        """Return the object's newest version, or None."""
        return self._model.get(location)

    def records(self, collection: str, namespace: str = "") -> list[Record]:
        """Return a collection, or one namespace of it, in order."""
        return self._model.records(collection, namespace)

    def events_after(self, collection: str, revision: int) -> list[Event]:
        """Return what happened to a collection after a revision."""
        return self._model.events_after(collection, revision)

    def lock(self, location: Location) -> AbstractAsyncContextManager[None]:
        """Keep every other writer of this object out while the context lasts."""
        return self._locks.hold(location)

    async def put(self, location: Location, obj: Object) -> Record:
        """Store an object."""
        record = numbered(location, self.revision + 1, obj)
        check_size(location.collection, obj, record.body)
        self._model.apply(record, deleted=False)
        return record

    async def delete(self, location: Location, obj: Object) -> Record:
        """Remove an object."""
        record = numbered(location, self.revision + 1, obj)
        self._model.apply(record, deleted=True)
        return record

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have a function called with every event."""
        return self._model.subscribe(callback)

    async def aclose(self) -> None:
        """There is nothing to let go of."""
