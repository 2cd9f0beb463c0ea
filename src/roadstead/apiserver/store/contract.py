"""What any store of objects promises; `tests/contracts/test_store.py` holds every implementation to it.

One counter numbers all writes of all resources. A write is visible, to readers and watchers alike, only once it is
durable; whoever changes an object holds its lock from reading it until the write has come back. So no reader ever
sees a state that a crash could take back, and no write is based on one.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import msgspec

from roadstead.api.objects import Object

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class StorageFailed(Exception):
    """The disk did not take a write; nothing of it was stored. The message names the file and the cause."""


class Location(NamedTuple):
    """Where an object is kept. `collection` is `PLURAL` or `PLURAL.GROUP`: the versions of a kind share one."""

    collection: str
    namespace: str
    name: str


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Metadata


_labelled = msgspec.json.Decoder(_Labelled)
_object = msgspec.json.Decoder(Object)


@dataclass(frozen=True, slots=True)
class Record:
    """One version of one object: its encoded JSON and, decoded, only its labels."""

    location: Location
    revision: int
    body: bytes
    labels: Mapping[str, str]

    def decode(self) -> Object:
        """Return the object; it is the caller's own, to change at will."""
        return _object.decode(self.body)


def record_of(location: Location, revision: int, body: bytes) -> Record:
    """Make a record of encoded JSON. Raises msgspec.DecodeError (a ValueError) if the JSON is damaged."""
    return Record(location, revision, body, _labelled.decode(body).metadata.labels or {})


def numbered(location: Location, revision: int, obj: Object) -> Record:
    """Make a record of an object, which gets this revision as its `metadata.resourceVersion`."""
    obj["metadata"]["resourceVersion"] = str(revision)
    return Record(location, revision, msgspec.json.encode(obj), obj["metadata"].get("labels") or {})


@dataclass(frozen=True, slots=True)
class Event:
    """A write that happened. For a deletion `record` is the last state with the deletion's revision."""

    type: EventType
    record: Record
    previous: Record | None

    @property
    def revision(self) -> int:
        """The number of the write."""
        return self.record.revision


class Store(Protocol):
    """Objects by location, in one order of writes."""

    @property
    def revision(self) -> int:
        """The number of the newest write that readers can see."""

    def get(self, location: Location) -> Record | None:
        """Return the object's newest version, or None."""

    def records(self, collection: str, namespace: str = "") -> list[Record]:
        """Return a collection, or one namespace of it, ordered by namespace and name."""

    def events_after(self, collection: str, revision: int) -> list[Event]:
        """Return what happened to a collection after a revision, in order.

        Raises Expired if the log no longer reaches back that far, and Timeout if the revision is still to come.
        """

    def lock(self, location: Location) -> AbstractAsyncContextManager[None]:
        """Keep every other writer of this object out while the context lasts."""

    async def put(self, location: Location, obj: Object) -> Record:
        """Store an object under its lock and return once it is durable; sets its `metadata.resourceVersion`.

        Raises StorageFailed if it could not be stored, RequestEntityTooLarge if it is larger than etcd would take it.
        """

    async def delete(self, location: Location, obj: Object) -> Record:
        """Remove an object under its lock; `obj` is its last state, which watchers are told. Otherwise like `put`."""

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have a function called with every event, in order, as it becomes visible; returns what ends that."""

    async def aclose(self) -> None:
        """Finish what was begun and let go of the file."""
