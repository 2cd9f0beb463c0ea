"""Watches: what a client is told, from when, and until when."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, PODS, Bench, bench, configmap, pod
from polling import until

from roadstead.api.resources import resource
from roadstead.apiserver.calls import Call, User
from roadstead.apiserver.http.content import WHOLE, Form
from roadstead.apiserver.http.parameters import parse_query
from roadstead.apiserver.representation import Presenter
from roadstead.apiserver.watch import WatchStream, hub

TABLE = Form("table", "Metadata")


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


class Lines:
    """The lines of one watch, one at a time."""

    def __init__(self, chunks: AsyncIterator[bytes], stream: WatchStream) -> None:
        self._chunks = chunks
        self._pending: list[Any] = []
        self.stream = stream

    async def next(self) -> Any:
        while not self._pending:
            self._pending = [json.loads(line) for line in (await anext(self._chunks)).splitlines()]
        return self._pending.pop(0)

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]

    async def rest(self) -> list[Any]:
        return self._pending + [json.loads(line) async for chunk in self._chunks for line in chunk.splitlines()]


@asynccontextmanager
async def watching(
    server: Bench, query: str = "", kind: str = "ConfigMap", namespace: str = "default", form: Form = WHOLE
) -> AsyncIterator[Lines]:
    chosen = resource(kind, "v1")
    call = Call("watch", chosen, namespace, "", "", parse_query(query), User("u"))
    stream = server.assembly.hub.open(call, Presenter(chosen, chosen.api_version, form))
    chunks = stream.chunks()
    async with asyncio.timeout(10):
        yield Lines(chunks, stream)
    await chunks.aclose()


def test_a_watch_without_a_version_begins_with_what_is_there() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server) as lines:
            assert await lines.names(1) == [("ADDED", "a")]
            await server.create(CONFIGMAPS, configmap("b"))
            await server.patch(f"{CONFIGMAPS}/a", {"data": {"x": "1"}})
            await server.good("DELETE", f"{CONFIGMAPS}/b")
            assert await lines.names(3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]

    talk(conversation)


def test_a_watch_from_a_version_tells_what_happened_since() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        revision = server.store.revision
        await server.create(CONFIGMAPS, configmap("b"))
        async with watching(server, f"resourceVersion={revision}") as lines:
            await server.create(CONFIGMAPS, configmap("c"))
            assert await lines.names(2) == [("ADDED", "b"), ("ADDED", "c")]

    talk(conversation)


def test_a_deleted_object_is_told_with_the_version_of_its_deletion() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server, f"resourceVersion={server.store.revision}") as lines:
            await server.good("DELETE", f"{CONFIGMAPS}/a")
            event = await lines.next()
            assert event["object"]["metadata"]["resourceVersion"] == str(server.store.revision)

    talk(conversation)


def test_initial_events_end_with_a_bookmark_and_the_watch_stays_open() -> None:
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server, query) as lines:
            assert await lines.names(1) == [("ADDED", "a")]
            mark = await lines.next()
            assert mark["type"] == "BOOKMARK"
            assert mark["object"] == {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {
                    "resourceVersion": str(server.store.revision),
                    "creationTimestamp": None,
                    "annotations": {"k8s.io/initial-events-end": "true"},
                },
            }
            await server.create(CONFIGMAPS, configmap("b"))
            assert await lines.names(1) == [("ADDED", "b")]

    talk(conversation)


def test_initial_events_can_be_declined() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server, "sendInitialEvents=false&resourceVersionMatch=NotOlderThan") as lines:
            await server.create(CONFIGMAPS, configmap("b"))
            assert await lines.names(1) == [("ADDED", "b")]

    talk(conversation)


@pytest.mark.parametrize("query", ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan"])
def test_initial_events_and_version_match_go_together(query: str) -> None:
    async def conversation(server: Bench) -> None:
        await server.refused(422, "GET", f"{CONFIGMAPS}?watch=true&{query}")

    talk(conversation)


def test_an_object_that_begins_or_ceases_to_match_is_added_or_deleted() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server, f"labelSelector=app%3Dweb&resourceVersion={server.store.revision}") as lines:
            for app in ("web", "web", "db", "db", "web"):
                await server.patch(
                    f"{CONFIGMAPS}/a", {"metadata": {"labels": {"app": app}}, "data": {"r": str(server.store.revision)}}
                )
            events = [await lines.next() for _ in range(4)]
            assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
            assert events[2]["object"]["metadata"]["labels"] == {"app": "web"}, "as it was when it still matched"
            assert int(events[2]["object"]["metadata"]["resourceVersion"]) > int(
                events[1]["object"]["metadata"]["resourceVersion"]
            )

    talk(conversation)


def test_fields_select_too_one_by_name_and_pods_by_node() -> None:
    async def conversation(server: Bench) -> None:
        start = f"resourceVersion={server.store.revision}"
        async with (
            watching(server, f"{start}&fieldSelector=metadata.name%3Db", "Pod") as by_name,
            watching(server, f"{start}&fieldSelector=spec.nodeName%3Dn1", "Pod") as by_node,
        ):
            await server.create(PODS, pod("a"))
            await server.create(PODS, pod("b"))
            await server.create(f"{PODS}/a/binding", {"metadata": {"name": "a"}, "target": {"name": "n1"}})
            assert await by_name.names(1) == [("ADDED", "b")]
            assert await by_node.names(1) == [("ADDED", "a")]

    talk(conversation)


def test_a_namespace_sees_only_its_own() -> None:
    async def conversation(server: Bench) -> None:
        async with watching(server, namespace="kube-system") as lines:
            await server.create(CONFIGMAPS, configmap("a"))
            await server.create("/api/v1/namespaces/kube-system/configmaps", configmap("b", "kube-system"))
            assert await lines.names(1) == [("ADDED", "b")]

    talk(conversation)


def test_a_table_names_its_columns_once() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server, form=TABLE) as lines:
            await server.create(CONFIGMAPS, configmap("b"))
            first, second = await lines.next(), await lines.next()
            assert first["object"]["columnDefinitions"][0]["name"] == "Name"
            assert second["object"]["columnDefinitions"] is None
            assert second["object"]["rows"][0]["cells"][0] == "b"

    talk(conversation)


def test_watchers_of_one_form_share_one_encoding() -> None:
    encoded: list[str] = []

    class Counting(Presenter):
        def event(self, kind: str, *args: Any, **options: Any) -> bytes:
            encoded.append(kind)
            return super().event(kind, *args, **options)

    async def conversation(server: Bench) -> None:
        chosen = resource("ConfigMap")
        query = parse_query(f"resourceVersion={server.store.revision}")
        call = Call("watch", chosen, "default", "", "", query, User("u"))
        streams = [server.assembly.hub.open(call, Counting(chosen, "v1", WHOLE)) for _ in range(20)]
        await server.create(CONFIGMAPS, configmap("first"))
        encoded.clear()
        await server.create(CONFIGMAPS, configmap("a"))
        assert encoded == ["ADDED"]
        received = [await stream.watcher.fetch(1) for stream in streams]
        assert received[0].count(b"\n") == 2
        assert set(received) == {received[0]}

    talk(conversation)


def test_a_watch_ends_at_its_time_out_and_bookmarks_come_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "BOOKMARK_SECONDS", 0.2)

    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        async with watching(server, "timeoutSeconds=1&allowWatchBookmarks=true") as lines:
            types = [event["type"] for event in await lines.rest()]
            assert types[0] == "ADDED"
            assert set(types[1:]) == {"BOOKMARK"}
        async with watching(server, "timeoutSeconds=1") as lines:
            assert [event["type"] for event in await lines.rest()] == ["ADDED"]
        assert server.assembly.hub.watchers == 0

    talk(conversation)


def test_versions_too_old_and_too_new_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadstead.apiserver.store.read_model.LOG_EVENTS", 5)

    async def conversation(server: Bench) -> None:
        for number in range(10):
            await server.create(CONFIGMAPS, configmap(f"n{number}"))
        (old,) = (await server.good("GET", f"{CONFIGMAPS}?watch=true&resourceVersion=1")).lines
        assert old["type"] == "ERROR"
        assert (old["object"]["code"], old["object"]["reason"]) == (410, "Expired")
        new = await server.refused(504, "GET", f"{CONFIGMAPS}?watch=true&resourceVersion=999")
        assert new["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"

    talk(conversation)


def test_no_watch_begins_once_all_were_ended() -> None:
    async def conversation(server: Bench) -> None:
        server.assembly.close_streams()
        refused = await server.refused(503, "GET", f"{CONFIGMAPS}?watch=true")
        assert refused["reason"] == "ServiceUnavailable"

    talk(conversation)


def test_over_http_a_watch_ends_when_the_server_stops() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        task = asyncio.get_running_loop().create_task(server.send("GET", f"{CONFIGMAPS}?watch=true"))
        await until(lambda: server.assembly.hub.watchers > 0)
        server.assembly.hub.close()
        reply = await asyncio.wait_for(task, 5)
        assert reply.code == 200
        assert [event["type"] for event in reply.lines] == ["ADDED"]

    talk(conversation)
