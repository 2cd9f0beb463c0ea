"""`channel("xds:///…")` with a control plane for clients without proxy, and with ours, which is for Envoys."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter

import grpc
import pytest
from echo_service import loop_thread
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import any_pb2, json_format

from roadstead.gateway import ir
from roadstead.gateway.xds.server import XdsServer
from roadstead.service import Server, standard_stages
from roadstead.service.passwords import hash_password

pytestmark = pytest.mark.e2e

ADS = {"ads": {}, "resourceApiVersion": "V3"}
TYPES = (listener_pb2.Listener, route_pb2.RouteConfiguration, cluster_pb2.Cluster, endpoint_pb2.ClusterLoadAssignment)
CLIENT = """
import asyncio, json, sys
import grpc
from roadstead.service.channel import Hedging, channel, password

async def main():
    settings = dict(credentials=password("alice", "wonderland"), timeout=5, hedging=Hedging(delay=0.05))
    async with channel("xds:///echo", idempotent=sys.argv[1:], **settings) as opened:
        invoke = opened.unary_unary("/test.Name/Get")
        ended = []
        for word in [b""] * 20 + [b"slow"] * 6 + [b"flaky"]:
            try:
                ended.append((await invoke(word)).decode())
            except grpc.aio.AioRpcError as error:
                ended.append(f"{error.code().name}: {error.details()}")
    print(json.dumps(ended))

asyncio.run(main())
"""


def packed(message) -> any_pb2.Any:
    wrapped = any_pb2.Any()
    wrapped.Pack(message)
    return wrapped


def resources(ports) -> dict[str, any_pb2.Any]:
    """What a control plane says to a client of `xds:///echo`, by type."""
    router = {"name": "router", "typedConfig": json.loads(json_format.MessageToJson(packed(router_pb2.Router())))}
    manager = json_format.ParseDict(
        {"rds": {"routeConfigName": "routes", "configSource": ADS}, "httpFilters": [router]},
        http_connection_manager_pb2.HttpConnectionManager(),
    )
    listener = listener_pb2.Listener(name="echo")
    listener.api_listener.api_listener.Pack(manager)
    routes = {
        "name": "routes",
        "virtualHosts": [
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": ""}, "route": {"cluster": "pods"}}]}
        ],
    }
    cluster = {"name": "pods", "type": "EDS", "edsClusterConfig": {"edsConfig": ADS}, "lbPolicy": "ROUND_ROBIN"}
    addresses = [{"socketAddress": {"address": "127.0.0.1", "portValue": port}} for port in ports]
    endpoints = {
        "clusterName": "pods",
        "endpoints": [
            {
                "locality": {"zone": "a"},
                "loadBalancingWeight": 1,
                "lbEndpoints": [{"endpoint": {"address": address}} for address in addresses],
            }
        ],
    }
    made = (listener, *(json_format.ParseDict(*pair) for pair in (
        (routes, TYPES[1]()), (cluster, TYPES[2]()), (endpoints, TYPES[3]()),
    )))  # fmt: skip
    return {packed(one).type_url: packed(one) for one in made}


class ControlPlane(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """State of the world: each type once, when it is asked for."""

    def __init__(self, ports) -> None:
        self.resources = resources(ports)
        self.refused: list[str] = []

    async def StreamAggregatedResources(self, requests, context):
        async for request in requests:
            if request.HasField("error_detail"):
                self.refused.append(request.error_detail.message)
            if not request.response_nonce and request.type_url in self.resources:
                yield discovery_pb2.DiscoveryResponse(
                    version_info="1", nonce="1", type_url=request.type_url,
                    resources=[self.resources[request.type_url]],
                )  # fmt: skip


def named(name: str, tmp_path) -> Server:
    """A server that tells its name; the one called "b" may be slow."""
    stages = standard_stages(passwords=tmp_path / "passwords", policy=tmp_path / "policy.yaml")
    server = Server(port=0, address="127.0.0.1", stages=stages)

    async def get(request: bytes, context) -> bytes:
        if request == b"flaky":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if request == b"slow" and name == "b":
            await asyncio.sleep(3)
        return name.encode()

    server.add_registered_method_handlers("test.Name", {"Get": grpc.unary_unary_rpc_method_handler(get)})
    return server


def ask(address: str, idempotent: tuple[str, ...] = ("test.Name",)) -> list[str]:
    """Run the client with a control plane at this address."""
    bootstrap = {
        "xds_servers": [
            {"server_uri": address, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
        ],
        "node": {"id": "client", "cluster": "ns/gw"},
    }
    environment = {**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap)}
    run = subprocess.run(
        [sys.executable, "-c", CLIENT, *idempotent],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ended: list[str] = json.loads(run.stdout)
    return ended


def test_calls_go_where_a_control_plane_says(tmp_path):
    (tmp_path / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
    (tmp_path / "policy.yaml").write_text("{roles: {all: [test.Name/*]}, identities: {alice: [all]}}")
    loop = loop_thread()

    async def start() -> tuple:
        servers = [named(name, tmp_path) for name in ("a", "b")]
        for server in servers:
            await server.start()
        plane, host = ControlPlane([server.port for server in servers]), grpc.aio.server()
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(plane, host)
        port = host.add_insecure_port("127.0.0.1:0")
        await host.start()
        return plane, port, [*servers, host]

    plane, port, running = loop.run(start())
    try:
        ended = ask(f"127.0.0.1:{port}")
    finally:
        for server in running:
            loop.run(server.stop(None))
    assert plane.refused == []
    # Round-robin, with credentials; and hedged, so that nobody waits for the slow one.
    assert min(Counter(ended[:20])[name] for name in "ab") >= 8
    assert ended[20:26] == ["a"] * 6
    # Repetition is the control plane's business: it said nothing of it, and `idempotent` has no say.
    assert ended[26] == "UNAVAILABLE: not now"


def test_our_own_control_plane_serves_envoys_only(tmp_path):
    loop, server, path = loop_thread(), XdsServer(), tmp_path / "xds.sock"
    key = ir.gateway_proxy_key("ns", "gw")
    loop.run(server.start(path))
    try:
        server.update({key: ir.Proxy(key, ir.Workload("ns", "gw"))})
        # Those of idempotent methods would wait for a control plane that knows them.
        ended = ask(f"unix:{path}", idempotent=())
    finally:
        loop.run(server.stop())
    assert ended[0].startswith("UNAVAILABLE")
    assert "UNIMPLEMENTED" in ended[0]
