"""What only the store on disk can do: survive, refuse, set aside, compact."""

import asyncio
import contextlib
import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from roadstead.api.errors import Expired
from roadstead.apiserver.store import Location, SqliteStore, StorageFailed
from roadstead.apiserver.store.journal import Compaction, Journal, Write
from roadstead.apiserver.store.read_model import LOG_EVENTS


def place(name: str) -> Location:
    return Location("configmaps", "default", name)


def thing(name: str, text: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": name}}, "data": {"text": text}}


def test_a_reopened_store_has_objects_events_and_counter(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.put(place("a"), thing("a", "1"))
        await store.put(place("a"), thing("a", "2"))
        await store.put(place("b"), thing("b"))
        await store.delete(place("b"), thing("b"))
        before = (store.records("configmaps"), store.events_after("configmaps", 0))
        await store.aclose()
        again = SqliteStore.open(tmp_path / "state.db")
        assert (again.records("configmaps"), again.events_after("configmaps", 0)) == before
        assert (await again.put(place("c"), thing("c"))).revision == 5
        assert again.damage == ""
        await again.aclose()

    asyncio.run(conversation())


def test_compaction_bounds_the_file_and_is_remembered(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.put(place("kept"), thing("kept"))
        for number in range(LOG_EVENTS + 600):
            await store.put(place("busy"), thing("busy", str(number)))
        await store.aclose()
        rows = sqlite3.connect(tmp_path / "state.db")
        (count,) = rows.execute("SELECT count(*) FROM versions").fetchone()
        rows.close()
        assert count < LOG_EVENTS + 300
        again = SqliteStore.open(tmp_path / "state.db")
        assert [record.location.name for record in again.records("configmaps")] == ["busy", "kept"]
        assert again.revision == LOG_EVENTS + 601
        with pytest.raises(Expired):
            again.events_after("configmaps", 1)
        assert again.events_after("configmaps", again.revision - 1)[0].type == "MODIFIED"
        await again.aclose()

    asyncio.run(conversation())


def test_a_deletion_that_was_compacted_does_not_bring_the_object_back(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        for number in range(LOG_EVENTS):
            await store.put(place(f"n{number}"), thing("n"))
            await store.delete(place(f"n{number}"), thing("n"))
        await store.aclose()
        again = SqliteStore.open(tmp_path / "state.db")
        assert again.records("configmaps") == []
        assert again.revision == 2 * LOG_EVENTS
        await again.aclose()

    asyncio.run(conversation())


@pytest.mark.parametrize("damage", [b"not a database at all" * 400, b"\0" * 8192])
def test_a_damaged_file_is_set_aside_and_reported(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(damage)
    reported: list[str] = []

    async def conversation() -> None:
        store = SqliteStore.open(path)
        reported.append(store.damage)
        assert store.records("configmaps") == []
        await store.put(place("a"), thing("a"))
        await store.aclose()

    asyncio.run(conversation())
    (kept,) = tmp_path.glob("state.db.damaged-*")
    assert kept.read_bytes() == damage
    assert str(kept) in reported[0]


def test_a_damaged_object_is_noticed_when_the_file_is_opened(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.put(place("a"), thing("a"))
        await store.aclose()
        with sqlite3.connect(tmp_path / "state.db") as file:
            file.execute("UPDATE versions SET body = ?", (b'{"metadata": {"name',))
        file.close()
        again = SqliteStore.open(tmp_path / "state.db")
        assert "damaged" in again.damage
        await again.aclose()

    asyncio.run(conversation())


def filled(path: Path) -> bytes:
    """Make a file with a hundred objects and return its content."""

    async def conversation() -> None:
        store = SqliteStore.open(path)
        for number in range(100):
            await store.put(place(f"n{number:02}"), thing(f"n{number:02}", "x" * 500))
        await store.aclose()

    asyncio.run(conversation())
    return path.read_bytes()


def opened(path: Path) -> tuple[str, int]:
    """Open a file; return what is said to be wrong with it, and how many objects are left."""

    async def conversation() -> tuple[str, int]:
        store = SqliteStore.open(path)
        found = (store.damage, len(store.records("configmaps")))
        await store.aclose()
        return found

    return asyncio.run(conversation())


@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_set_aside(tmp_path: Path, part: float) -> None:
    path = tmp_path / "state.db"
    rest = filled(path)
    rest = rest[: int(len(rest) * part)]
    path.write_bytes(rest)
    damage, left = opened(path)
    assert "damaged" in damage
    assert left == 0
    (kept,) = tmp_path.glob("state.db.damaged-*")
    assert kept.read_bytes() == rest


def test_a_page_of_rubbish_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    content = filled(path)
    for page in range(1, len(content) // 4096):
        path.write_bytes(content[: page * 4096] + b"\xa5" * 4096 + content[(page + 1) * 4096 :])
        damage, _ = opened(path)
        assert "damaged" in damage, page


@pytest.mark.parametrize("table", ["versions", "floors", "origin"])
def test_a_file_without_one_of_its_tables_is_noticed_or_mended(tmp_path: Path, table: str) -> None:
    path = tmp_path / "state.db"
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DROP TABLE {table}")
    damage, left = opened(path)
    assert bool(damage) is (left == 0), "what is there is kept, or what is lost is reported"


def test_a_log_without_its_database_is_set_aside(tmp_path: Path) -> None:
    path, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    log.write_bytes(b"a log")
    damage, _ = opened(path)
    assert "its write-ahead log is not" in damage
    (kept,) = tmp_path.glob("state.db.damaged-*-wal")
    assert kept.read_bytes() == b"a log"


def test_two_damaged_files_in_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for content in (b"1" * 5000, b"2" * 5000):
        path.write_bytes(content)
        opened(path)
    kept = [file.read_bytes()[:1] for file in tmp_path.glob("state.db.damaged-*")]
    assert sorted(kept) == [b"1", b"2"]


def test_a_file_that_cannot_be_read_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    content = filled(path)
    if os.getuid():
        path.chmod(0)
    else:  # root may read everything but a directory
        path.rename(tmp_path / "elsewhere")
        path.mkdir()
    with pytest.raises(StorageFailed, match=re.escape(str(path))):
        opened(path)
    assert not list(tmp_path.glob("*.damaged-*"))
    if os.getuid():
        path.chmod(0o600)
        assert path.read_bytes() == content


def test_nothing_is_written_to_open_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    content = filled(path)
    journal = Journal(path, "process")
    assert not path.with_name("state.db-wal").stat().st_size
    journal.close()
    assert path.read_bytes() == content


def test_a_compaction_that_failed_is_made_up_for(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        commit = store._journal.commit

        def refuse(steps: Sequence[Write | Compaction]) -> None:
            if any(isinstance(step, Compaction) for step in steps):
                store._journal.commit = commit  # type: ignore[method-assign]  # this once
                raise StorageFailed("full")
            commit(steps)

        store._journal.commit = refuse  # type: ignore[method-assign]  # a disk that is full for a moment
        for number in range(LOG_EVENTS + 600):
            with contextlib.suppress(StorageFailed):
                await store.put(place("busy"), thing("busy", str(number)))
        await store.aclose()

    asyncio.run(conversation())
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as rows:
        (count,) = rows.execute("SELECT count(*) FROM versions").fetchone()
    assert count < LOG_EVENTS + 300


def test_a_file_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.put(place("a"), thing("a"))
        with pytest.raises(StorageFailed, match="another Roadstead process"):
            SqliteStore.open(tmp_path / "state.db")
        await store.aclose()

    asyncio.run(conversation())
    assert not list(tmp_path.glob("*.damaged-*"))


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.aclose()
        with sqlite3.connect(tmp_path / "state.db") as file:
            file.execute("PRAGMA user_version = 99")
        file.close()
        with pytest.raises(StorageFailed, match="newer version"):
            SqliteStore.open(tmp_path / "state.db")

    asyncio.run(conversation())
    assert not list(tmp_path.glob("*.damaged-*"))


def test_a_full_disk_fails_the_write_and_nothing_else(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.put(place("a"), thing("a", "before"))
        connection = store._journal._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(StorageFailed, match="disk is full"):
            await store.put(place("a"), thing("a", "x" * 100_000))
        record = store.get(place("a"))
        assert record is not None
        assert record.decode()["data"]["text"] == "before"
        connection.execute("PRAGMA max_page_count = 100000")
        await store.put(place("a"), thing("a", "after"))
        await store.aclose()
        again = SqliteStore.open(tmp_path / "state.db")
        assert [record.decode()["data"]["text"] for record in again.records("configmaps")] == ["after"]
        await again.aclose()

    asyncio.run(conversation())


def test_a_writer_that_gives_up_leaves_a_settled_object(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")

        async def write() -> None:
            async with store.lock(place("a")):
                await store.put(place("a"), thing("a"))

        task = asyncio.get_running_loop().create_task(write())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.get(place("a")) is not None
        await store.aclose()

    asyncio.run(conversation())


def test_a_new_file_begins_after_its_origin_and_keeps_it(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db", origin=1000)
        assert (await store.put(place("a"), thing("a"))).revision == 1001
        await store.aclose()
        again = SqliteStore.open(tmp_path / "state.db", origin=5000)
        assert [event.revision for event in again.events_after("configmaps", 1000)] == [1001]
        for collection in ("configmaps", "secrets"):
            with pytest.raises(Expired):
                again.events_after(collection, 999)
        assert (await again.put(place("b"), thing("b"))).revision == 1002
        await again.aclose()

    asyncio.run(conversation())


def test_a_file_from_before_origins_were_noted_goes_on_where_it_was(tmp_path: Path) -> None:
    async def conversation() -> None:
        store = SqliteStore.open(tmp_path / "state.db")
        await store.put(place("a"), thing("a"))
        await store.aclose()
        with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as connection:
            connection.execute("DROP TABLE origin")
        again = SqliteStore.open(tmp_path / "state.db", origin=1000)
        assert len(again.events_after("configmaps", 0)) == 1
        assert (await again.put(place("b"), thing("b"))).revision == 2
        await again.aclose()

    asyncio.run(conversation())
