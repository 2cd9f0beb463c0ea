"""What only the store on disk can do: survive, refuse, set aside, compact."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from roadstead.api.errors import Expired
from roadstead.apiserver.store import Location, SqliteStore, StorageFailed
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
