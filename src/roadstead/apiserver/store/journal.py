"""The file on disk: every write a row, in the order of its revision. Plain SQLite, no asyncio.

The current version of an object is its row with the highest revision; superseded rows are kept as long as the log in
memory holds their events, so that a restarted server goes on where watchers were. In WAL mode with `synchronous=NORMAL`
a committed row survives the death of this process at any moment (the kernel has it); `FULL` waits for the disk too, so
that it survives the death of the machine.

A file that cannot be read is set aside under another name and reported; it is never overwritten.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roadstead.apiserver.store.contract import Location, Record, StorageFailed, record_of

Durability = Literal["process", "machine"]

_FORMAT = 1
_CHECKPOINT_PAGES = 4000  # 16 MiB: each checkpoint waits for the disk, and writes wait for it
_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    revision INTEGER PRIMARY KEY, collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    deleted INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS floors (collection TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS origin (revision INTEGER NOT NULL) STRICT;
"""


class Damaged(Exception):
    """The file is not the database that this program wrote."""


@dataclass(frozen=True, slots=True)
class Write:
    """A row to be: a version of an object, or its deletion."""

    record: Record
    deleted: bool


@dataclass(frozen=True, slots=True)
class Compaction:
    """Rows that nobody needs any more, and how far each collection's log reaches back without them."""

    revisions: tuple[int, ...]
    floors: tuple[tuple[str, int], ...]


class Journal:
    """An open file; only one thread may use it at a time, and only one process may have it open."""

    def __init__(self, path: Path, durability: Durability, origin: int = 0) -> None:
        """Open or create the file. Raises Damaged, or StorageFailed if another process has it or it is newer.

        `origin` is the number before the first revision of a new file; an existing one has its own.
        """
        self.path = path
        self.origin = origin
        _check_not_lost(path)
        try:
            self._connection = self._open(durability)
        except sqlite3.OperationalError as error:
            raise StorageFailed(f"cannot open {path}: {_remedy(error)}") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(str(error)) from error

    def _open(self, durability: Durability) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'machine' else 'NORMAL'}")
            self._check(connection)
            if not _is_complete(connection):  # else nothing is written: a full disk can still be read
                connection.executescript(_SCHEMA)
                self._settle_origin(connection)
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            (self.origin,) = connection.execute("SELECT revision FROM origin").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > _FORMAT:
            raise StorageFailed(f"{self.path} was written by a newer version of Roadstead (format {found})")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    def _settle_origin(self, connection: sqlite3.Connection) -> None:
        """Note the origin in a new file; a file from before there were any has zero."""
        (used,) = connection.execute("SELECT EXISTS (SELECT * FROM versions)").fetchone()
        (settled,) = connection.execute("SELECT EXISTS (SELECT * FROM origin)").fetchone()
        if not settled:
            connection.execute("INSERT INTO origin VALUES (?)", (0 if used else self.origin,))

    def floors(self) -> list[tuple[str, int]]:
        """Return, per collection, the newest revision whose history was compacted. Raises Damaged."""
        try:
            return list(self._connection.execute("SELECT collection, revision FROM floors"))
        except sqlite3.DatabaseError as error:
            raise Damaged(str(error)) from error

    def writes(self) -> Iterator[Write]:
        """Yield every row in the order of revisions. Raises Damaged at a row that cannot be read."""
        query = "SELECT revision, collection, namespace, name, deleted, body FROM versions ORDER BY revision"
        try:
            for revision, collection, namespace, name, deleted, body in self._connection.execute(query):
                yield Write(record_of(Location(collection, namespace, name), revision, body), bool(deleted))
        except (sqlite3.DatabaseError, ValueError) as error:
            raise Damaged(str(error)) from error

    def commit(self, steps: Sequence[Write | Compaction]) -> None:
        """Make all steps durable in one transaction, or none of them. Raises StorageFailed."""
        rows = [
            (step.record.revision, *step.record.location, step.deleted, step.record.body)
            for step in steps
            if isinstance(step, Write)
        ]
        try:
            with self._transaction():
                self._connection.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)", rows)
                for step in steps:
                    if isinstance(step, Compaction):
                        self._compact(step)
        except sqlite3.Error as error:
            raise StorageFailed(f"cannot write {self.path}: {_remedy(error)}") from error

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)

    def _compact(self, compaction: Compaction) -> None:
        rows = [(revision,) for revision in compaction.revisions]
        self._connection.executemany("DELETE FROM versions WHERE revision = ?", rows)
        self._connection.executemany("INSERT OR REPLACE INTO floors VALUES (?, ?)", compaction.floors)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # a full disk has already rolled back
            self._connection.execute("ROLLBACK")


def _check_not_lost(path: Path) -> None:
    """Raise Damaged if a write-ahead log has no database: SQLite would delete it without a word."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size and not (path.exists() and path.stat().st_size):
        raise Damaged("it is empty, but its write-ahead log is not")


def _is_complete(connection: sqlite3.Connection) -> bool:
    """Say whether a file is of this format and has all that belongs to it; the format is written last."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'origin'").fetchall()
    return bool(found == _FORMAT and tables and connection.execute("SELECT * FROM origin").fetchall())


def _remedy(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return "another Roadstead process has it open"
    if "full" in text:
        return "the disk is full; free some space and try again"
    if "I/O" in text:
        return f"{text} ({error.sqlite_errorname}); see whether a quota or a limit on files is exhausted"
    return text


def set_aside(path: Path, stamp: str) -> Path:
    """Rename a damaged file, with its write-ahead log, to a name that nobody uses, and return the name."""
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    return kept
