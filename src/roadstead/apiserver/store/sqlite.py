"""The store that survives: memory answers readers, one thread writes to disk, many writes share one commit.

A write is numbered and handed to the thread; while the disk works on one transaction the next writes gather, and go
together. Once a transaction is durable its writes become visible, in order, and their callers are told.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from roadstead.api.objects import Object
from roadstead.apiserver.store.contract import Event, Location, Record, StorageFailed, numbered
from roadstead.apiserver.store.journal import Compaction, Damaged, Durability, Journal, Write, set_aside
from roadstead.apiserver.store.locks import KeyedLocks
from roadstead.apiserver.store.read_model import ReadModel
from roadstead.apiserver.store.sizes import check_size

_log = structlog.get_logger(__name__)
_COMPACT_AFTER = 256
_BATCH = 512


@dataclass(slots=True)
class _Waiting:
    write: Write
    done: "asyncio.Future[Record]"


class SqliteStore:
    """A `Store` in a file. Make it with `open`, inside the event loop that uses it."""

    def __init__(self, journal: Journal, model: ReadModel, damage: str) -> None:
        self.damage = damage
        """What was found wrong with the file when it was opened, and where it was put; empty if nothing was."""
        self._journal = journal
        self._model = model
        self._locks = KeyedLocks()
        self._next = model.revision
        self._superseded: list[int] = []
        self._floors: dict[str, int] = {}
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiting | Compaction | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_loop, name="roadstead-store", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, *, durability: Durability = "process", origin: int = 0) -> "SqliteStore":
        """Open or create a file. A damaged one is set aside and an empty one takes its place; `damage` says so.

        The first write to a new file gets the revision after `origin`. If that is greater than every revision of a
        file that was lost, clients who resume from one of those are told that it is too old, and list again.
        Raises StorageFailed if another process has it open or a newer version wrote it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls._loaded(path, durability, origin, "")
        except Damaged as error:
            kept = set_aside(path, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
            damage = f"{path} is damaged ({error}): it was set aside as {kept}, and the cluster starts empty"
            _log.error("state is damaged", path=str(path), kept=str(kept), cause=str(error))
            return cls._loaded(path, durability, origin, damage)

    @classmethod
    def _loaded(cls, path: Path, durability: Durability, origin: int, damage: str) -> "SqliteStore":
        journal = Journal(path, durability, origin)
        try:
            model, superseded = _replay(journal)
        except BaseException:
            journal.close()
            raise
        store = cls(journal, model, damage)
        store._note_dropped(superseded)
        return store

    @property
    def revision(self) -> int:
        """The number of the newest durable write."""
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
        """Store an object and return once it is durable."""
        return await self._write(location, obj, deleted=False)

    async def delete(self, location: Location, obj: Object) -> Record:
        """Remove an object and return once that is durable."""
        return await self._write(location, obj, deleted=True)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have a function called with every event."""
        return self._model.subscribe(callback)

    async def aclose(self) -> None:
        """Wait until everything that was handed over is on disk, and close the file."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._journal.close()

    async def _write(self, location: Location, obj: Object, *, deleted: bool) -> Record:
        record = numbered(location, self._next + 1, obj)
        if not deleted:
            check_size(location.collection, obj, record.body)
        self._next += 1
        waiting = _Waiting(Write(record, deleted), self._loop.create_future())
        self._queue.put(waiting)
        # A caller who gives up must not leave the object's lock before its fate is known.
        try:
            return await asyncio.shield(waiting.done)
        except asyncio.CancelledError:
            await asyncio.wait([waiting.done])
            raise

    def _write_loop(self) -> None:
        running = True
        while running:
            batch = self._gather()
            running = batch[-1] is not None
            steps = [step for step in batch if step is not None]
            try:
                self._journal.commit([step.write if isinstance(step, _Waiting) else step for step in steps])
            except StorageFailed as error:
                self._tell(self._failed, steps, error)
            else:
                self._tell(self._committed, steps)

    def _gather(self) -> list[_Waiting | Compaction | None]:
        batch = [self._queue.get()]
        while batch[-1] is not None and len(batch) < _BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _committed(self, steps: list[_Waiting | Compaction]) -> None:
        for step in steps:
            if isinstance(step, _Waiting):
                self._note_dropped(self._model.apply(step.write.record, deleted=step.write.deleted))
                step.done.set_result(step.write.record)

    def _failed(self, steps: list[_Waiting | Compaction], error: StorageFailed) -> None:
        _log.error("state could not be written", error=str(error), writes=len(steps))
        for step in steps:
            if isinstance(step, _Waiting):
                step.done.set_exception(StorageFailed(str(error)))
            else:  # to be tried again with the next
                self._superseded += step.revisions
                self._floors = {**dict(step.floors), **self._floors}

    def _note_dropped(self, dropped: list[Event]) -> None:
        for event in dropped:
            self._floors[event.record.location.collection] = event.revision
            if event.previous is not None:
                self._superseded.append(event.previous.revision)
            if event.type == "DELETED":
                self._superseded.append(event.revision)
        if len(self._superseded) >= _COMPACT_AFTER:
            self._queue.put(Compaction(tuple(self._superseded), tuple(self._floors.items())))
            self._superseded, self._floors = [], {}


def _replay(journal: Journal) -> tuple[ReadModel, list[Event]]:
    model = ReadModel(journal.origin)
    dropped: list[Event] = []
    floors = dict(journal.floors())
    for write in journal.writes():
        if write.record.revision <= floors.get(write.record.location.collection, 0):
            model.restore(write.record)
        else:
            dropped += model.apply(write.record, deleted=write.deleted)
    for collection, revision in floors.items():
        model.forget_until(collection, revision)
    return model, dropped
