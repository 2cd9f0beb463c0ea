import asyncio

from scripted_server import scripted_server

from roadstead.api.errors import not_found
from roadstead.api.resources import resource
from roadstead.client import ApiClient, Credentials
from roadstead.client.discovery import Discovery, resources_from

LISTED = {
    "resources": [
        {"name": "widgets", "kind": "Widget", "namespaced": True, "shortNames": ["wd"], "verbs": ["get"]},
        {"name": "widgets/status", "kind": "Widget", "namespaced": True},
        {"name": "racks", "kind": "Rack"},
    ]
}


def test_an_api_resource_list_becomes_resources():
    widgets, racks = resources_from("example.com/v1", LISTED)
    assert (widgets.path("n", "w"), widgets.subresources, widgets.short_names) == (
        "/apis/example.com/v1/namespaces/n/widgets/w",
        ("status",),
        ("wd",),
    )
    assert racks.path("", "r") == "/apis/example.com/v1/racks/r"


def test_built_in_kinds_are_not_asked_for_and_answers_are_remembered():
    async def handler(seen, answer):
        if seen.path == "/apis/example.com/v1":
            await answer.send(LISTED)
        else:
            await answer.send(not_found("x", "", "x").status(), 404)

    async def run():
        async with (
            scripted_server(handler) as server,
            ApiClient(server.url, Credentials(), user_agent="test") as client,
        ):
            discovery = Discovery(client)
            assert await discovery.find("v1", "Pod") == resource("Pod")
            assert (await discovery.find("example.com/v1", "Widget")).plural == "widgets"
            assert (await discovery.find("example.com/v1", "Rack")).plural == "racks"
            assert await discovery.find("example.com/v1", "Missing") is None
            assert await discovery.find("v7", "Pod") is None
            return [seen.path for seen in server.seen]

    assert asyncio.run(run()) == ["/apis/example.com/v1", "/apis/example.com/v1", "/api/v7"]
