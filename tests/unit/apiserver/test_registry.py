"""Kinds that come and go with their definitions, over HTTP; and what housekeeping removes."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from apiserver_bed import Bench, bench
from polling import until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
WIDGET = {"apiVersion": "example.com/v1", "kind": "Widget"}


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


def definition(*versions: str, kind: str = "Widget", group: str = "example.com") -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    listed = [
        {"name": name, "served": True, "storage": name == versions[0], "schema": {"openAPIV3Schema": schema}}
        for name in versions
    ]
    names = {"plural": plural, "kind": kind}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": listed},
    }


def test_a_definition_is_served_from_the_moment_it_is_stored() -> None:
    async def conversation(server: Bench) -> None:
        await server.refused(404, "GET", WIDGETS)
        made = await server.create(DEFINITIONS, definition("v1"))
        conditions = {entry["type"]: entry["status"] for entry in made["status"]["conditions"]}
        assert (conditions["Established"], conditions["NamesAccepted"]) == ("True", "True")
        await server.create(WIDGETS, {**WIDGET, "metadata": {"name": "a"}, "spec": {"any": "thing"}})
        assert (await server.get(WIDGETS))["kind"] == "WidgetList"
        group = await server.get("/apis/example.com")
        assert group["preferredVersion"]["groupVersion"] == "example.com/v1"
        index = await server.get("/openapi/v3")
        url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"]
        reply = await server.good("GET", url)
        assert reply.headers["cache-control"] == "public, immutable"
        assert any("Widget" in name for name in reply.json()["components"]["schemas"])

    talk(conversation)


def test_versions_share_one_store_of_objects() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(DEFINITIONS, definition("v1", "v2beta1"))
        newer = WIDGETS.replace("/v1/", "/v2beta1/")
        made = await server.create(
            newer, {**WIDGET, "apiVersion": "example.com/v2beta1", "metadata": {"name": "a"}, "spec": {"x": 1}}
        )
        assert made["apiVersion"] == "example.com/v2beta1"
        assert (await server.get(f"{WIDGETS}/a"))["apiVersion"] == "example.com/v1"
        assert (await server.get(newer))["items"][0]["apiVersion"] == "example.com/v2beta1"
        patched = (await server.patch(f"{newer}/a", {"spec": {"x": 2}})).json()
        assert (patched["apiVersion"], patched["metadata"]["generation"]) == ("example.com/v2beta1", 2)

    talk(conversation)


def test_a_definition_waits_for_its_objects_and_they_for_their_finalizers() -> None:
    async def conversation(server: Bench) -> None:
        path = f"{DEFINITIONS}/widgets.example.com"
        await server.create(DEFINITIONS, definition("v1"))
        await server.create(WIDGETS, {**WIDGET, "metadata": {"name": "free"}})
        await server.create(WIDGETS, {**WIDGET, "metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
        await server.good("DELETE", path)

        async def names() -> list[str]:
            return [item["metadata"]["name"] for item in (await server.get(WIDGETS))["items"]]

        async def only_the_held_one() -> bool:
            return await names() == ["held"]

        await until(only_the_held_one)
        assert (await server.get(path))["metadata"]["deletionTimestamp"]
        await server.patch(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})

        async def gone() -> bool:
            return (await server.send("GET", path)).code == 404

        await until(gone)
        await server.refused(404, "GET", WIDGETS)

    talk(conversation)


def test_a_definition_over_a_built_in_kind_may_come_and_go() -> None:
    async def conversation(server: Bench) -> None:
        routes = "/apis/gateway.networking.k8s.io/v1/namespaces/default/grpcroutes"
        body = definition("v1", kind="GRPCRoute", group="gateway.networking.k8s.io")
        await server.create(routes, {"metadata": {"name": "r"}, "spec": {}})
        await server.create(DEFINITIONS, body)
        await server.patch(f"{routes}/r", {"spec": {"anything": "goes"}})
        await server.good("DELETE", f"{DEFINITIONS}/grpcroutes.gateway.networking.k8s.io")

        async def gone() -> bool:
            return (await server.send("GET", f"{DEFINITIONS}/grpcroutes.gateway.networking.k8s.io")).code == 404

        await until(gone)
        assert len((await server.get(routes))["items"]) == 1, "the built-in kind and its objects stay"

    talk(conversation)


def test_a_malformed_definition_is_refused_and_harms_nobody() -> None:
    async def conversation(server: Bench) -> None:
        for wrong in ({"spec": {}}, {"spec": {"versions": "x"}}, {"spec": None}, {}):
            body = {"metadata": {"name": "widgets.example.com"}, **wrong}
            assert (await server.send("POST", DEFINITIONS, body)).code in {400, 422}
        await server.good("GET", "/apis")

    talk(conversation)


def test_events_are_removed_an_hour_after_they_were_last_seen() -> None:
    async def conversation(server: Bench) -> None:
        events = "/api/v1/namespaces/default/events"
        for name, seen in (("old", "2026-03-01T11:00:00Z"), ("new", "2026-03-01T11:59:00Z")):
            involved = {"kind": "Pod", "name": "web", "namespace": "default"}
            body = {"metadata": {"name": name}, "involvedObject": involved, "reason": "r", "lastTimestamp": seen}
            await server.create(events, body)
        server.clock.now += timedelta(minutes=30)
        await server.assembly.housekeeping.sweep_events()
        assert [item["metadata"]["name"] for item in (await server.get(events))["items"]] == ["new"]

    talk(conversation)


def test_a_definition_waits_until_its_names_are_free() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(DEFINITIONS, definition("v1"))
        other = definition("v1")
        other["metadata"]["name"] = "gadgets.example.com"
        other["spec"]["names"] |= {"plural": "gadgets", "singular": "gadget"}
        refused = await server.create(DEFINITIONS, other)
        conditions = {entry["type"]: entry for entry in refused["status"]["conditions"]}
        assert conditions["NamesAccepted"]["reason"] == "ListKindConflict"
        assert conditions["Established"]["status"] == "False"
        gadgets = "/apis/example.com/v1/namespaces/default/gadgets"
        await server.refused(404, "GET", gadgets)
        assert (await server.get(WIDGETS))["kind"] == "WidgetList"
        await server.good("DELETE", f"{DEFINITIONS}/widgets.example.com")

        async def served() -> bool:
            return (await server.send("GET", gadgets)).code == 200

        await until(served)
        await server.refused(404, "GET", WIDGETS)

    talk(conversation)


def test_the_status_gets_its_defaults_too() -> None:
    async def conversation(server: Bench) -> None:
        body = definition("v1")
        properties = {
            "spec": {"type": "object", "default": {}, "properties": {"size": {"type": "integer", "default": 3}}},
            "status": {"type": "object", "properties": {"phase": {"type": "string", "default": "New"}}},
        }
        version = body["spec"]["versions"][0]
        version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": properties}
        version["subresources"] = {"status": {}}
        await server.create(DEFINITIONS, body)
        made = await server.create(WIDGETS, {**WIDGET, "metadata": {"name": "a"}, "status": {"phase": "Mine"}})
        assert made["spec"] == {"size": 3}
        assert "status" not in made
        unseen = {**WIDGET, "metadata": {"name": "a"}, "status": {}}
        refused = await server.refused(422, "PUT", f"{WIDGETS}/a/status", unseen)
        assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in refused["message"]
        reported = await server.good("PUT", f"{WIDGETS}/a/status", {**made, "status": {}})
        assert reported.json()["status"] == {"phase": "New"}

    talk(conversation)
