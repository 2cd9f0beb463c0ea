"""LoadBalancer Services get an address on the host: a real API server, a real relay process, real clients."""

import asyncio
import contextlib
import dataclasses
import socket

import pytest
from apiserver_bed import prepare, serving
from free_ports import free_port
from network_bed import in_child
from polling import until

from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.network.loadbalancer_controller import LoadBalancerController
from roadstead.node.network.relay import fork_relay
from roadstead.node.network.relay_client import RelayClient

pytestmark = pytest.mark.e2e

SERVICE, SLICE = resource("Service"), resource("EndpointSlice")
BACKEND = "127.44.0.5"


def _with_controller(tmp_path, scenario):
    """Run `scenario(client)` beside an API server and the controller of a cluster without a node network."""

    def run():
        control, _ = fork_relay(lent_sockets=False)

        async def main():
            site = prepare(tmp_path / "api", durable=False)
            site = dataclasses.replace(site, config=dataclasses.replace(site.config, service_cidr="127.96.0.0/16"))
            relay = RelayClient(control, None, None)
            async with serving(site), ApiClient.from_kubeconfig(site.kubeconfig, user_agent="test") as client:
                controller = LoadBalancerController(client, relay, cluster="dev", isolated=False)
                running = spawn(controller.run(), name="controller")
                try:
                    async with asyncio.timeout(30):
                        return await scenario(client)
                finally:
                    await cancel_all([running])
                    await relay.aclose()

        return asyncio.run(main())

    return in_child("root", run)


def _service(port: int) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"name": "http", "port": port}]},
    }


def _slice(backend: int) -> dict:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": backend, "protocol": "TCP"}],
        "endpoints": [{"addresses": [BACKEND], "conditions": {"ready": True}}],
    }


async def _status(client: ApiClient) -> dict:
    return (await client.get(SERVICE, "web", "default")).get("status") or {}


async def _condition(client: ApiClient, status: str) -> dict | None:
    conditions = (await _status(client)).get("conditions") or ()
    return next((entry for entry in conditions if entry["status"] == status), None)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello from the pod")
    writer.close()


async def _read(address: str, port: int) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        reader, writer = await asyncio.open_connection(address, port)
        received = await reader.read(-1)
        writer.close()
        return received
    return b"reset"


def test_a_service_is_reachable_at_its_address_and_at_its_cluster_address_until_it_is_deleted(tmp_path):
    port = free_port()

    async def scenario(client):
        backend = await asyncio.start_server(_greet, BACKEND, 0)
        created = await client.create(SERVICE, _service(port))
        await until(lambda: _condition(client, "True"))
        address = (await _status(client))["loadBalancer"]["ingress"][0]["ip"]
        before = await _read(address, port)
        await client.create(SLICE, _slice(backend.sockets[0].getsockname()[1]))
        places = [(address, port), (created["spec"]["clusterIP"], port)]

        async def served():
            return [await _read(*place) for place in places] == [b"hello from the pod"] * 2

        await until(served)
        await client.delete(SERVICE, "web", "default")

        async def refused():
            with contextlib.suppress(ConnectionRefusedError):
                await _read(address, port)
                return False
            return True

        await until(refused)
        backend.close()
        return address, before

    address, before = _with_controller(tmp_path, scenario)
    assert address.startswith("127.1.")
    assert before == b"reset"


def test_a_port_in_use_is_told_with_a_remedy_and_served_once_it_is_free(tmp_path):
    port = free_port("127.1.88.1")

    async def scenario(client):
        service = _service(port)
        service["spec"]["loadBalancerIP"] = "127.1.88.1"
        with socket.create_server(("127.1.88.1", port)):
            await client.create(SERVICE, service)
            await until(lambda: _condition(client, "False"))
            told = await _condition(client, "False")
            assert "ingress" not in (await _status(client)).get("loadBalancer", {})

            async def events():
                listed = await client.list(resource("Event", "v1"), "default")
                return [event for event in listed if event["reason"] == "PortUnavailable"]

            await until(events)
            event = (await events())[0]
        await until(lambda: _condition(client, "True"))
        return told["message"], event["message"], event["involvedObject"]["kind"]

    told, event, kind = _with_controller(tmp_path, scenario)
    assert told == event
    assert told.startswith(f"port {port} on 127.1.88.1 is in use by another program; stop that program (`ss -ltnp")
    assert kind == "Service"
