"""Objects and their history: who wrote what, in one order. Next: `rest`, which decides what is written."""

from roadstead.apiserver.store.contract import Event, Location, Record, StorageFailed, Store
from roadstead.apiserver.store.memory import MemoryStore
from roadstead.apiserver.store.sqlite import SqliteStore

__all__ = ["Event", "Location", "MemoryStore", "Record", "SqliteStore", "StorageFailed", "Store"]
