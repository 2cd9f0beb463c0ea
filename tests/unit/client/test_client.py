import asyncio

import pytest
from scripted_server import scripted_server

from roadstead.api.errors import AlreadyExists, NotFound, ServiceUnavailable, TooManyRequests, not_found
from roadstead.api.resources import resource
from roadstead.client import ApiClient, Credentials

POD = resource("Pod")
WEB = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}}


def converse(handler, conversation, credentials=None):
    async def run():
        async with (
            scripted_server(handler) as server,
            ApiClient(server.url, credentials or Credentials(token="t"), user_agent="test") as client,
        ):
            return await conversation(client, server)

    return asyncio.run(run())


def answering(*answers):
    remaining = list(answers)

    async def handler(_, answer):
        body, status, headers = (*remaining.pop(0), {})[:3]
        await answer.send(body, status, headers)

    return handler


def test_an_object_is_read():
    async def conversation(client, server):
        assert await client.get(POD, "web", "shop") == WEB
        assert server.seen[0].headers["authorization"] == "Bearer t"
        assert server.seen[0].headers["user-agent"] == "test"

    converse(answering((WEB, 200)), conversation)


def test_items_of_a_list_know_their_kind():
    async def conversation(client, _):
        return await client.list(POD, "shop")

    bare = {"metadata": {"name": "web"}}
    assert converse(answering(({"kind": "PodList", "items": [bare]}, 200)), conversation) == [
        {"apiVersion": "v1", "kind": "Pod", **bare}
    ]


def test_a_refusal_is_the_error_that_the_server_meant():
    async def conversation(client, _):
        with pytest.raises(NotFound, match='pods "web" not found'):
            await client.get(POD, "web", "shop")
        with pytest.raises(AlreadyExists):
            await client.create(POD, WEB)

    exists = {"kind": "Status", "reason": "AlreadyExists", "message": "there", "code": 409}
    converse(answering((not_found("pods", "", "web").status(), 404), (exists, 409)), conversation)


def test_an_answer_that_is_no_status_is_quoted():
    async def conversation(client, _):
        with pytest.raises(ServiceUnavailable, match="HTTP 503: upstream sleeps"):
            await client.get(POD, "web")
        with pytest.raises(ServiceUnavailable, match="not JSON"):
            await client.get(POD, "web")

    converse(answering((b"upstream sleeps", 503), (b"<html>", 200)), conversation)


def test_a_server_that_is_busy_is_asked_again_when_it_says():
    busy = ({}, 429, {"Retry-After": "0"})

    async def conversation(client, server):
        assert await client.get(POD, "web") == WEB
        with pytest.raises(TooManyRequests):
            await client.get(POD, "web")
        return len(server.seen)

    assert converse(answering(busy, (WEB, 200), busy, busy, busy, busy), conversation) == 6


def test_an_eviction_that_a_budget_forbids_is_not_asked_again():
    async def conversation(client, server):
        with pytest.raises(TooManyRequests):
            await client.create(POD, WEB, subresource="eviction")
        return len(server.seen)

    assert converse(answering(({}, 429)), conversation) == 1


def test_a_stream_is_read_and_may_be_left():
    async def handler(_, answer):
        await answer.start()
        for number in range(3):
            await answer.raw(b"line %d\n" % number)
        await asyncio.Event().wait()

    async def conversation(client, _):
        from roadstead.client import requests

        stream = client.stream(requests.get(POD, "shop", "web", "log"))
        assert await anext(stream) == b"line 0\n"
        await stream.aclose()

    converse(handler, conversation)


def test_a_token_file_that_is_missing_is_an_api_error(tmp_path):
    async def conversation(client, _):
        with pytest.raises(ServiceUnavailable, match="gone"):
            await client.get(POD, "web")

    converse(answering(), conversation, Credentials(token_file=tmp_path / "gone"))
