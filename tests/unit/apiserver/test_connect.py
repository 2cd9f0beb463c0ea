"""Connections inside the process: without TLS, as a user that is known from the beginning."""

import asyncio

import pytest
from apiserver_bed import prepare, serving

from roadstead.api.errors import Forbidden
from roadstead.api.resources import resource
from roadstead.apiserver.access.rbac import MASTERS
from roadstead.apiserver.calls import User
from roadstead.apiserver.server import ApiServer
from roadstead.client import ApiClient, Credentials, Informer, ServerUnreachable
from roadstead.lib.tasks import spawn


def client(server: ApiServer, name: str, *groups: str) -> ApiClient:
    user = User(name, groups)
    return ApiClient("http://kubernetes", Credentials(), user_agent=name, dial=lambda: server.connect(user))


def test_a_part_of_the_process_is_who_it_is_said_to_be(tmp_path):
    async def scenario():
        async with serving(prepare(tmp_path)) as server, client(server, "system:part", MASTERS) as part:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
            answer = await part.create(resource("SelfSubjectReview"), review)
            async with client(server, "nobody") as nobody:
                with pytest.raises(Forbidden, match='User "nobody" cannot list'):
                    await nobody.list(resource("Secret"), "default")
            return answer["status"]["userInfo"]

    assert asyncio.run(scenario()) == {"username": "system:part", "groups": [MASTERS, "system:authenticated"]}


def test_an_informer_follows_what_happens(tmp_path):
    async def scenario():
        async with serving(prepare(tmp_path)) as server, client(server, "part", MASTERS) as part:
            informer, seen = Informer(part, resource("ConfigMap")), asyncio.Event()
            informer.on_change(lambda key, old, new: seen.set() if key.name == "new" else None)
            running = spawn(informer.run(), name="informer")
            await informer.wait_synced()
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new", "namespace": "default"}}
            await part.create(resource("ConfigMap"), made)
            async with asyncio.timeout(10):
                await seen.wait()
            running.cancel()

    asyncio.run(scenario())


def test_before_the_start_nobody_answers(tmp_path):
    site = prepare(tmp_path)

    async def scenario():
        server = ApiServer(site.config, sockets=[site.listening])
        async with client(server, "part", MASTERS) as part:
            with pytest.raises(ServerUnreachable, match="has not started"):
                await part.list(resource("Pod"))
        await server.stop()

    asyncio.run(scenario())
