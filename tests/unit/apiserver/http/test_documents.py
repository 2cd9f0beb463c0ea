"""What describes the server, over HTTP: forms, methods, and what may be kept by clients."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from apiserver_bed import Bench, bench

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


def test_the_older_document_comes_in_the_form_that_is_asked_for() -> None:
    async def conversation(server: Bench) -> None:
        plain = await server.good("GET", "/openapi/v2")
        assert plain.headers["content-type"] == "application/json"
        assert plain.json()["swagger"] == "2.0"
        packed = await server.good("GET", "/openapi/v2", accept=f"{PROTOBUF},application/json")
        # A media type with an @ in it is none, so the answer's is another one.
        assert packed.headers["content-type"] == PROTOBUF.replace("@", ".")
        assert packed.body.startswith(b"\x0a\x032.0")

    talk(conversation)


def test_the_older_document_knows_a_kind_from_the_moment_it_is_served() -> None:
    async def conversation(server: Bench) -> None:
        name = "com.example.v1.Widget"
        assert name not in (await server.get("/openapi/v2"))["definitions"]
        schema = {"openAPIV3Schema": {"type": "object"}}
        versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
        names = {"plural": "widgets", "kind": "Widget"}
        spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": versions}
        await server.create(DEFINITIONS, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
        assert name in (await server.get("/openapi/v2"))["definitions"]

    talk(conversation)


def test_a_document_under_its_hash_may_be_kept_for_ever() -> None:
    async def conversation(server: Bench) -> None:
        path = (await server.get("/openapi/v3"))["paths"]["apis/apps/v1"]["serverRelativeURL"]
        assert (await server.good("GET", path)).headers["cache-control"] == "public, immutable"
        assert "cache-control" not in (await server.good("GET", path.partition("?")[0])).headers

    talk(conversation)


@pytest.mark.parametrize("path", ["/nothing", "/openapi/v2/x", "/apis/none", "/apis/none/v1"])
def test_what_no_part_of_the_api_is_at_is_no_page(path: str) -> None:
    async def conversation(server: Bench) -> None:
        reply = await server.send("GET", path)
        assert (reply.code, reply.body) == (404, b"404 page not found\n")

    talk(conversation)


def test_the_root_names_every_path() -> None:
    async def conversation(server: Bench) -> None:
        paths = (await server.get("/"))["paths"]
        assert {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version"} <= set(paths)
        assert paths == sorted(paths)

    talk(conversation)


@pytest.mark.parametrize("path", ["/openapi/v3/apis/none/v1", "/apis/apps/v0", "/api/v0", "/api/v1/pods/a/log/b/c"])
def test_what_is_not_there_is_a_status(path: str) -> None:
    async def conversation(server: Bench) -> None:
        assert (await server.refused(404, "GET", path))["reason"] == "NotFound"

    talk(conversation)


def test_documents_can_only_be_read() -> None:
    async def conversation(server: Bench) -> None:
        assert (await server.refused(405, "POST", "/apis", {}))["reason"] == "MethodNotAllowed"
        assert json.loads((await server.good("GET", "/version")).body)["gitVersion"].startswith("v1.")

    talk(conversation)
