"""Every store keeps the promises of `roadstead.apiserver.store.contract`."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from roadstead.api.errors import Expired, RequestEntityTooLarge, Timeout
from roadstead.apiserver.store import Event, Location, MemoryStore, SqliteStore, Store
from roadstead.apiserver.store.read_model import LOG_BYTES, LOG_EVENTS
from roadstead.apiserver.store.sizes import OBJECT_LIMIT

Conversation = Callable[[Store], Coroutine[Any, Any, None]]
Runner = Callable[[Conversation], None]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    async def converse(conversation: Conversation) -> None:
        store: Store = MemoryStore() if request.param == "memory" else SqliteStore.open(tmp_path / "state.db")
        try:
            await conversation(store)
        finally:
            await store.aclose()

    return lambda conversation: asyncio.run(converse(conversation))


def place(name: str, namespace: str = "default", collection: str = "configmaps") -> Location:
    return Location(collection, namespace, name)


def thing(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def test_a_written_object_is_read_back_with_its_revision(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        record = await store.put(place("a"), thing("a", app="web"))
        found = store.get(place("a"))
        assert found == record
        assert found is not None
        assert found.decode()["metadata"]["resourceVersion"] == str(record.revision) == "1"
        assert found.labels == {"app": "web"}
        assert store.get(place("b")) is None
        assert store.revision == 1

    run(conversation)


def test_every_write_and_deletion_takes_the_next_revision_of_one_counter(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        await store.put(place("a"), thing("a"))
        await store.put(place("s", collection="secrets"), thing("s"))
        gone = await store.delete(place("a"), thing("a"))
        assert (gone.revision, store.revision) == (3, 3)
        assert gone.decode()["metadata"]["resourceVersion"] == "3"
        assert store.get(place("a")) is None

    run(conversation)


def test_a_collection_is_ordered_by_namespace_and_name(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
            await store.put(place(name, namespace), thing(name))
        await store.put(place("other", collection="secrets"), thing("other"))
        assert [record.location[1:] for record in store.records("configmaps")] == [("a", "y"), ("a", "z"), ("b", "x")]
        assert [record.location.name for record in store.records("configmaps", "a")] == ["y", "z"]
        assert store.records("configmaps", "c") == []

    run(conversation)


def test_a_collection_stays_in_order_while_objects_come_and_go(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        def names() -> str:
            return "".join(record.location.name for record in store.records("configmaps"))

        for name in "cae":
            await store.put(place(name), thing(name))
        assert names() == "ace"
        await store.put(place("b"), thing("b"))
        assert names() == "abce"
        await store.delete(place("a"), thing("a"))
        await store.put(place("c"), thing("c", app="web"))
        assert names() == "bce"
        for name in "bce":
            await store.delete(place(name), thing(name))
        assert names() == ""
        await store.put(place("d"), thing("d"))
        assert names() == "d"

    run(conversation)


def test_what_a_reader_decodes_is_its_own(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        record = await store.put(place("a"), thing("a", app="web"))
        record.decode()["metadata"]["labels"]["app"] = "changed"
        assert record.decode()["metadata"]["labels"] == {"app": "web"}

    run(conversation)


def test_events_carry_their_type_and_the_state_before(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        first = await store.put(place("a"), thing("a"))
        second = await store.put(place("a"), thing("a", app="web"))
        third = await store.delete(place("a"), thing("a", app="web"))
        assert store.events_after("configmaps", 0) == [
            Event("ADDED", first, None),
            Event("MODIFIED", second, first),
            Event("DELETED", third, second),
        ]
        assert [event.type for event in store.events_after("configmaps", 1)] == ["MODIFIED", "DELETED"]
        assert store.events_after("configmaps", 3) == []
        assert store.events_after("secrets", 0) == []

    run(conversation)


def test_subscribers_see_every_event_in_order_until_they_leave(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        seen: list[int] = []
        leave = store.subscribe(lambda event: seen.append(event.revision))
        await asyncio.gather(*(store.put(place(f"n{number}"), thing(f"n{number}")) for number in range(50)))
        leave()
        await store.put(place("late"), thing("late"))
        assert seen == list(range(1, 51))

    run(conversation)


def test_a_write_is_seen_by_readers_only_with_its_event(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        at_event: list[tuple[int, bool]] = []
        store.subscribe(lambda event: at_event.append((store.revision, store.get(place("a")) is not None)))
        await store.put(place("a"), thing("a"))
        assert at_event == [(1, True)]

    run(conversation)


def test_a_revision_from_the_future_is_refused(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        with pytest.raises(Timeout) as refused:
            store.events_after("configmaps", 7)
        assert refused.value.details["causes"][0]["reason"] == "ResourceVersionTooLarge"

    run(conversation)


def test_the_log_is_bounded_by_number_and_says_when_it_no_longer_reaches_back(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        await store.put(place("quiet", collection="secrets"), thing("quiet"))
        for number in range(LOG_EVENTS + 10):
            await store.put(place("busy"), thing("busy", number=str(number)))
        with pytest.raises(Expired):
            store.events_after("configmaps", 2)
        assert len(store.events_after("configmaps", store.revision - LOG_EVENTS)) == LOG_EVENTS
        assert len(store.events_after("secrets", 0)) == 1, "a busy collection must not push out another's history"

    run(conversation)


def test_the_log_is_bounded_by_size(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        large = LOG_BYTES // 8
        for number in range(10):
            await store.put(place("big"), {**thing("big"), "data": {"n": str(number) + "x" * large}})
        with pytest.raises(Expired):
            store.events_after("configmaps", 1)
        assert len(store.events_after("configmaps", 4)) == 6

    run(conversation)


def test_a_lock_admits_one_writer_of_an_object_and_all_writers_of_others(run: Runner) -> None:
    async def conversation(store: Store) -> None:
        counter = {"value": 0}

        async def increment() -> None:
            async with store.lock(place("a")):
                before = counter["value"]
                await store.put(place("a"), thing("a", n=str(before)))
                counter["value"] = before + 1

        async with store.lock(place("b")):
            await asyncio.gather(*(increment() for _ in range(20)))
        assert counter["value"] == 20

    run(conversation)


@pytest.mark.parametrize(
    ("collection", "fields", "stored"),
    [
        ("widgets.example.com", {"spec": {"text": "x" * (OBJECT_LIMIT - 400)}}, True),
        ("widgets.example.com", {"spec": {"text": "x" * OBJECT_LIMIT}}, False),
        ("widgets.example.com", {"spec": {"text": '"' * (OBJECT_LIMIT // 2)}}, False),  # escaped, it is twice as long
        ("configmaps", {"data": {"text": '"' * (OBJECT_LIMIT - 400)}}, True),  # not in protobuf
        ("configmaps", {"data": {"text": "x" * OBJECT_LIMIT}}, False),
        ("configmaps", {"binaryData": {"text": "A" * (OBJECT_LIMIT + 400)}}, True),  # nor is it base64 there
        ("secrets", {"data": {"text": "A" * (OBJECT_LIMIT * 4 // 3 - 400)}}, True),
        ("secrets", {"data": {"text": "A" * (OBJECT_LIMIT * 4 // 3)}}, False),
    ],
)
def test_an_object_is_no_larger_than_etcd_takes_it(
    run: Runner, collection: str, fields: dict[str, Any], stored: bool
) -> None:
    async def conversation(store: Store) -> None:
        at = place("a", collection=collection)
        if stored:
            assert (await store.put(at, {**thing("a"), **fields})).revision == store.revision
            return
        before = await store.put(at, thing("a"))
        with pytest.raises(RequestEntityTooLarge, match="etcdserver: request is too large"):
            await store.put(at, {**thing("a"), **fields})
        assert store.get(at) == before
        assert (await store.delete(at, {**thing("a"), **fields})).revision == store.revision == before.revision + 1

    run(conversation)
