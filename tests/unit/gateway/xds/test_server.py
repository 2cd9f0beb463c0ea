"""The ADS server over a real Unix socket, talked to by a client that speaks the protocol by hand."""

import asyncio
import contextlib
import stat
from pathlib import Path

import grpc
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.rpc import status_pb2
from polling import until

from roadstead.gateway import ir
from roadstead.gateway.xds.resources import Resource, ResourceType
from roadstead.gateway.xds.server import XdsServer, decoded_request, encoded_response, node_settings
from roadstead.gateway.xds.session import Request, Response
from roadstead.gateway.xds.snapshot import NodeSettings

KEY = ir.gateway_proxy_key("ns", "gw")
CLUSTERS, LISTENERS, ENDPOINTS = ResourceType.CLUSTER, ResourceType.LISTENER, ResourceType.ENDPOINTS


def proxy(*services, key=KEY):
    return ir.Proxy(
        key,
        ir.Workload("ns", "gw"),
        clusters=tuple(ir.Cluster(name, name, "h2") for name in services),
        endpoints=tuple(ir.EndpointSet(name, (ir.Endpoint("10.0.0.1", 80),)) for name in services),
    )


class Client:
    """One ADS stream, spoken by hand."""

    def __init__(self, stub, key):
        self.call = stub.DeltaAggregatedResources()
        self.key = key
        self.introduced = False

    async def send(self, type_, *names, nonce="", error=None, type_url=None):
        node = None if self.introduced else base_pb2.Node(id="envoy-1", cluster=self.key)
        self.introduced = True
        detail = None if error is None else status_pb2.Status(code=3, message=error)
        await self.call.write(
            discovery_pb2.DeltaDiscoveryRequest(
                node=node,
                type_url=type_url or type_.value,
                resource_names_subscribe=names,
                response_nonce=nonce,
                error_detail=detail,
            )
        )

    async def receive(self):
        response = await asyncio.wait_for(self.call.read(), 10)
        return response, [each.name for each in response.resources]

    async def exchange(self, type_, *names):
        """Subscribe, and acknowledge what comes."""
        await self.send(type_, *names)
        response, received = await self.receive()
        await self.send(type_, nonce=response.nonce)
        return received


@contextlib.asynccontextmanager
async def serving(tmp_path, **settings):
    server = XdsServer(**settings)
    path = tmp_path / "xds.sock"
    await server.start(path)
    try:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
            yield server, lambda key=KEY: Client(stub, key)
    finally:
        await server.stop()


def run(test, tmp_path, **settings):
    async def main():
        async with serving(tmp_path, **settings) as (server, connect):
            await test(server, connect)

    asyncio.run(main())


def test_an_envoy_gets_what_its_proxy_has_and_the_state_says_how_far_it_is(tmp_path):
    async def test(server, connect):
        told = []
        server.on_change(told.append)
        server.update({KEY: proxy("foo"), "other": proxy("bar", key="other")})
        assert server.state(KEY) == ir.ProxyState()
        client = connect()
        await client.send(CLUSTERS)
        response, names = await client.receive()
        assert names == ["foo"]
        assert server.state(KEY) == ir.ProxyState(connected=1, settled=False)
        await client.send(CLUSTERS, nonce=response.nonce)
        assert await client.exchange(ENDPOINTS, "foo") == ["foo"]
        assert await client.exchange(LISTENERS) == ["roadstead-ready"]
        await until(lambda: server.state(KEY).settled)
        assert set(told) == {KEY}
        client.call.cancel()
        await until(lambda: server.state(KEY) == ir.ProxyState())

    run(test, tmp_path)


def test_a_rejection_shows_in_the_state_until_it_is_mended(tmp_path):
    async def test(server, connect):
        server.update({KEY: proxy("foo")})
        client = connect()
        await client.send(CLUSTERS)
        response, _ = await client.receive()
        await client.send(CLUSTERS, nonce=response.nonce, error="no such thing")
        await until(lambda: server.state(KEY).rejections == (ir.Rejection("cluster foo", "no such thing"),))
        server.update({KEY: proxy("bar")})
        await until(lambda: server.state(KEY).rejections == ())

    run(test, tmp_path)


def test_what_cannot_be_encoded_shows_in_the_state(tmp_path):
    async def test(server, connect):
        server.update({KEY: proxy("\ud800")})
        await connect().send(CLUSTERS)
        await until(lambda: server.state(KEY).rejections)
        assert "cannot be encoded" in server.state(KEY).rejections[0].message

    run(test, tmp_path)


def test_routes_wait_no_longer_than_patience_for_an_envoy_that_does_not_answer(tmp_path):
    async def test(server, connect):
        server.update({KEY: proxy("foo")})
        client = connect()
        await client.send(CLUSTERS)
        await client.send(LISTENERS)
        assert (await client.receive())[1] == ["foo"]
        assert (await client.receive())[1] == ["roadstead-ready"]

    run(test, tmp_path, patience=0.05)


def test_a_stream_of_an_unknown_proxy_or_type_is_told_nothing_until_it_is_known(tmp_path):
    async def test(server, connect):
        client = connect("later")
        await client.send(None, "x", type_url="type.googleapis.com/envoy.service.runtime.v3.Runtime")
        await client.send(CLUSTERS)
        await until(lambda: server.state("later").connected == 1)
        assert not server.state("later").settled
        server.update({"later": proxy("foo", key="later")})
        assert (await client.receive())[1] == ["foo"]

    run(test, tmp_path)


def test_a_stream_that_ends_before_it_says_anything_leaves_no_trace(tmp_path):
    async def test(server, connect):
        silent = connect()
        await silent.call.done_writing()
        assert await silent.call.read() is grpc.aio.EOF
        assert server.state(KEY) == ir.ProxyState()

    run(test, tmp_path)


def test_a_proxy_that_is_gone_is_emptied(tmp_path):
    async def test(server, connect):
        server.update({KEY: proxy("foo")})
        client = connect()
        assert await client.exchange(CLUSTERS) == ["foo"]
        await client.exchange(ENDPOINTS, "foo")
        await client.exchange(LISTENERS)
        server.update({})
        response, _ = await client.receive()
        assert (response.type_url, list(response.removed_resources)) == (CLUSTERS.value, ["foo"])

    run(test, tmp_path)


def test_only_this_user_may_connect_and_an_old_socket_is_replaced(tmp_path):
    async def test(server, connect):
        path = tmp_path / "xds.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not [each for each in tmp_path.iterdir() if each != path]

    (tmp_path / "xds.sock").write_text("left by a process that was killed")
    run(test, tmp_path)


def test_a_path_too_long_for_a_socket_is_refused_with_a_remedy():
    with pytest.raises(OSError, match="shorter path"):
        asyncio.run(XdsServer().start(Path("/tmp") / ("x" * 120)))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, NodeSettings()),
        ({"bind": "127.8.0.1", "ready_port": 19103.0, "statistics": True}, NodeSettings("127.8.0.1", 19103, True)),
        ({"access_log": False}, NodeSettings(access_log=False)),
        ({"bind": 5.0, "ready_port": "x", "statistics": "yes"}, NodeSettings()),
    ],
)
def test_node_settings(metadata, expected):
    assert node_settings(metadata) == expected


def test_requests_and_responses_cross_the_wire_whole():
    message = discovery_pb2.DeltaDiscoveryRequest(
        type_url=CLUSTERS.value,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "1"},
        response_nonce="7",
        error_detail=status_pb2.Status(message="bad"),
    )
    assert decoded_request(message) == Request(CLUSTERS, ("a",), ("b",), {"c": "1"}, "7", "bad")
    response = encoded_response(Response(CLUSTERS, "8", (Resource("a", "v1", b"body"),), ("b",)))
    (sent,) = response.resources
    assert (sent.name, sent.version, sent.resource.type_url, sent.resource.value) == (
        "a",
        "v1",
        CLUSTERS.value,
        b"body",
    )
    assert (response.nonce, list(response.removed_resources)) == ("8", ["b"])
