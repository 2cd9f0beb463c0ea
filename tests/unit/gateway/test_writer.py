"""The status writer: a conversation with a client that takes patches, or refuses them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from roadstead.api.conditions import condition
from roadstead.api.errors import ApiError, Conflict, InternalError
from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway import writer
from roadstead.gateway.statuses import StatusUpdate, update_for
from roadstead.gateway.writer import StatusWriter
from roadstead.lib.tasks import cancel_all, spawn


class Cluster:
    """Holds objects; refuses what is in `refusals` first."""

    def __init__(self, *refusals: ApiError) -> None:
        self.objects: dict[tuple[str, ObjectKey], Object] = {}
        self.refusals = list(refusals)
        self.patched: list[str] = []

    def add(self, name: str) -> StatusUpdate:
        obj = {"kind": "Gateway", "metadata": {"name": name, "namespace": "a", "generation": 1, "resourceVersion": "1"}}
        self.objects["Gateway", ObjectKey("a", name)] = obj
        return update_for(obj, {"conditions": [condition("Accepted", True, "Accepted")]})

    def current(self, kind: str, key: ObjectKey) -> Object | None:
        return self.objects.get((kind, key))

    async def patch(self, kind: Any, name: str, namespace: str, patch: Object, **settings: Any) -> Object:
        self.patched.append(name)
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop()
        assert settings["subresource"] == "status"
        obj = self.objects[kind.kind, ObjectKey(namespace, name)]
        obj["status"] = {**obj.get("status", {}), **patch["status"]}
        return obj


def run(cluster: Cluster, talk: Callable[[StatusWriter], Awaitable[None]]) -> None:
    async def started() -> None:
        made = StatusWriter(cluster, cluster.current)  # type: ignore[arg-type]
        task = spawn(made.run(), name="writer")
        try:
            await asyncio.wait_for(talk(made), 10)
        finally:
            await cancel_all([task])

    asyncio.run(started())


async def has_patched(cluster: Cluster, count: int) -> None:
    while len(cluster.patched) < count:  # noqa: ASYNC110  a plain list, and every turn of the loop counts
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_is_wanted_is_written_once() -> None:
    cluster = Cluster()
    updates = [cluster.add("one"), cluster.add("two")]

    async def talk(made: StatusWriter) -> None:
        made.wanted({"all": updates})
        await has_patched(cluster, 2)
        made.wanted({"all": updates})
        made.look_at("Gateway", ObjectKey("a", "one"))
        await has_patched(cluster, 2)

    run(cluster, talk)
    assert sorted(cluster.patched) == ["one", "two"]


def test_what_is_gone_is_not_written() -> None:
    cluster = Cluster()
    update = cluster.add("one")
    cluster.objects.clear()

    async def talk(made: StatusWriter) -> None:
        made.wanted({"one": [update]})
        await has_patched(cluster, 0)

    run(cluster, talk)
    assert cluster.patched == []


def test_a_conflict_waits_for_the_news_of_the_change() -> None:
    cluster = Cluster(Conflict("changed"))
    update = cluster.add("one")

    async def talk(made: StatusWriter) -> None:
        made.wanted({"one": [update]})
        await has_patched(cluster, 1)
        assert cluster.patched == ["one"]
        made.look_at("Gateway", ObjectKey("a", "one"))
        await has_patched(cluster, 2)

    run(cluster, talk)
    assert cluster.patched == ["one", "one"]


def test_a_failure_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(writer, "_RETRY_SECONDS", 0)
    cluster = Cluster(InternalError("down"))
    update = cluster.add("one")

    async def talk(made: StatusWriter) -> None:
        made.wanted({"one": [update]})
        await has_patched(cluster, 2)

    run(cluster, talk)
    assert cluster.patched == ["one", "one"]
    assert "status" in cluster.objects["Gateway", ObjectKey("a", "one")]


def test_what_a_source_states_no_longer_is_not_written_unless_another_one_does() -> None:
    async def talk(made: StatusWriter) -> None:
        one, two = cluster.add("one"), cluster.add("two")
        made.wanted({"here": [one, two]})
        await has_patched(cluster, 2)
        made.wanted({"there": [two._replace(generation=1)], "here": []})
        for name in ("one", "two"):
            cluster.objects["Gateway", ObjectKey("a", name)]["status"] = {}
            made.look_at("Gateway", ObjectKey("a", name))
        await has_patched(cluster, 3)

    cluster = Cluster()
    run(cluster, talk)
    assert cluster.patched == ["one", "two", "two"]
