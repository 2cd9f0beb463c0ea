"""The gateway's whole loop: objects in a real API server, their routes in a real Envoy, their statuses back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import apiserver_bed
import gateway_objects as made
import grpc
import pytest
import trustme
from described_service import V1, DescribedService, file_of
from envoy_bed import (
    KEY,
    SERVICE,
    Backend,
    Envoy,
    Load,
    alpn,
    call,
    channel,
    failure,
    http_get,
    place_for_sockets,
    run,
    until,
)
from free_ports import free_port

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import Object
from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.gateway.controller import GatewayConfig, GatewayController
from roadstead.gateway.infra import InfraSettings
from roadstead.gateway.xds import XdsServer
from roadstead.lib.pki import KeyPair
from roadstead.lib.tasks import cancel_all, spawn

pytestmark = pytest.mark.e2e

NAMESPACE = made.NAMESPACE
GATEWAY, GRPC_ROUTE = resource("Gateway"), resource("GRPCRoute")
WORKLOAD = "example-gateway-roadstead"


class System:
    """An API server, the gateway's controller, and one Envoy for example-gateway."""

    def __init__(self, client: ApiClient, server: XdsServer, envoy: Envoy, port: int) -> None:
        self.client, self.server, self.envoy, self.port = client, server, envoy, port

    async def create(self, *objects: Object) -> None:
        for obj in objects:
            kind = resource(obj["kind"], obj["apiVersion"])
            metadata = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
            created = await self.client.create(kind, {**obj, "metadata": metadata})
            if "status" in obj:
                patch = {"status": obj["status"]}
                key = created["metadata"]
                await self.client.patch(kind, key["name"], key.get("namespace", ""), patch, subresource="status")

    async def backend(self, name: str) -> Backend:
        """Start a backend and make the Service and EndpointSlice that lead to it."""
        started = await Backend(name).start()
        await self.create(made.service(name), made.endpoint_slice(name, "127.0.0.1", port=started.port))
        return started

    async def gateway(self) -> Object:
        return await self.client.get(GATEWAY, made.GATEWAY.name, NAMESPACE)

    async def programmed(self) -> Object:
        async def look() -> Object | None:
            found = await self.gateway()
            condition = find_condition(found["status"]["conditions"], "Programmed") or {}
            current = condition.get("observedGeneration") == found["metadata"]["generation"]
            return found if current and condition["status"] == "True" else None

        found: Object = await until(look, "the Gateway is programmed")
        return found

    async def listen_also(self, listener: Object) -> Object:
        """Add a listener on a port of its own; the proxy's pod has that port, too."""
        name = f"{WORKLOAD}-abcde"
        ports = [{"name": f"port-{port}", "port": port, "protocol": "TCP"} for port in (self.port, listener["port"])]
        await self.client.patch(resource("EndpointSlice"), name, NAMESPACE, {"ports": ports})
        listeners = [made.http_listener(port=self.port), listener]
        await self.client.patch(GATEWAY, made.GATEWAY.name, NAMESPACE, {"spec": {"listeners": listeners}})
        return await self.programmed()

    async def route_condition(self, name: str, type_: str, reason: str) -> Object:
        async def look() -> Object | None:
            parents = ((await self.client.get(GRPC_ROUTE, name, NAMESPACE)).get("status") or {}).get("parents") or [{}]
            found = find_condition(parents[0].get("conditions"), type_)
            return found if found and found["reason"] == reason else None

        found: Object = await until(look, f"{name} is {type_}/{reason}")
        return found


@contextlib.asynccontextmanager
async def system(directory: Path) -> AsyncIterator[System]:
    site = apiserver_bed.prepare(directory / "api", durable=False)
    port, server = free_port(), XdsServer()
    async with contextlib.AsyncExitStack() as stack:
        socket = stack.enter_context(place_for_sockets()) / "xds.sock"
        envoy = Envoy(directory, str(socket))
        config = GatewayConfig(socket, InfraSettings(str(socket)))
        await stack.enter_async_context(apiserver_bed.serving(site))
        client = await stack.enter_async_context(ApiClient.from_kubeconfig(site.kubeconfig, user_agent="test"))
        await server.start(socket)
        stack.push_async_callback(server.stop)
        controller = spawn(GatewayController(client, server, config).run(), name="gateway")
        stack.push_async_callback(cancel_all, [controller])
        stack.callback(envoy.kill)
        running = System(client, server, envoy, port)
        await prepare(running)
        envoy.start()
        await envoy.ready()
        yield running


async def prepare(running: System) -> None:
    """Make a Gateway whose Envoy is the one beside this test, and say that it is reached and ready."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await running.create(namespace, made.gateway_class(), made.gateway(made.http_listener(port=running.port)))
    await until(lambda: running.server.state(KEY) is not None, "the gateway runs")
    kind = resource("Service")

    async def applied() -> bool:
        return any(one["metadata"]["name"] == WORKLOAD for one in await running.client.list(kind, NAMESPACE))

    await until(applied, "the proxy's Service is there")
    address = {"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}
    await running.client.patch(kind, WORKLOAD, NAMESPACE, address, subresource="status")
    slice_ = made.endpoint_slice(WORKLOAD, "127.0.0.1", port=running.port)
    slice_["ports"][0]["name"] = f"port-{running.port}"
    await running.create(slice_)


def whole(test: Callable[[System], Awaitable[None]], directory: Path) -> None:
    async def started() -> None:
        async with system(directory) as running:
            await test(running)

    run(started)


async def answered(over: grpc.aio.Channel) -> str:
    """Return the first answer; that a route is accepted does not yet mean that Envoy has it."""

    async def attempt() -> str | None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await call(over)
        return None

    answer: str = await until(attempt, "the backend answers")
    return answer


def login(name: str, *, service: str = SERVICE, **more: Any) -> Object:
    return made.grpc_route(name, made.rule(made.backend("foo-svc"), matches=[made.method(service, "Login")]), **more)


def test_a_route_that_is_created_is_served_and_said_to_be(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        await running.backend("foo-svc")
        await running.create(login("foo-route", hostnames=["foo.example.com"]))
        found = await running.programmed()
        assert found["status"]["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
        await running.route_condition("foo-route", "Accepted", "Accepted")
        async with channel(running.port) as over:
            assert await answered(over) == "foo-svc"
            refused = await failure(call(over, "Delete"))
        assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "has a rule for foo.example.com that matches this request" in (refused.details() or "")

    whole(test, tmp_path)


def test_attached_routes_are_counted_as_they_come_and_go(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        await running.programmed()

        async def attached() -> int:
            return int((await running.gateway())["status"]["listeners"][0]["attachedRoutes"])

        async def has(count: int) -> bool:
            return await attached() == count

        await running.create(login("one"), login("two"))
        await until(lambda: has(2), "two routes are attached")
        await running.client.delete(GRPC_ROUTE, "one", NAMESPACE)
        await until(lambda: has(1), "one route is attached")

    whole(test, tmp_path)


def test_a_missing_backend_is_told_and_served_as_soon_as_it_is_there(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        await running.create(login("foo-route"))
        told = await running.route_condition("foo-route", "ResolvedRefs", "BackendNotFound")
        assert "spec.rules[0].backendRefs[0]: Service user-platform/foo-svc does not exist" in told["message"]
        await running.programmed()
        async with channel(running.port) as over:
            refused = await failure(call(over))
            assert refused.code() is grpc.StatusCode.UNAVAILABLE
            assert "Service user-platform/foo-svc does not exist" in (refused.details() or "")
            await running.backend("foo-svc")
            await running.route_condition("foo-route", "ResolvedRefs", "ResolvedRefs")
            assert await answered(over) == "foo-svc"

    whole(test, tmp_path)


def test_another_listener_is_programmed_under_its_own_generation(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        await running.programmed()
        more = [made.http_listener(port=running.port), made.http_listener("more", "more.com", port=running.port)]
        await running.client.patch(GATEWAY, made.GATEWAY.name, NAMESPACE, {"spec": {"listeners": more}})
        found = await running.programmed()
        generations = {one["observedGeneration"] for one in found["status"]["conditions"]}
        assert generations == {found["metadata"]["generation"]} != {1}
        assert [one["name"] for one in found["status"]["listeners"]] == ["http", "more"]
        assert all(is_true(one["conditions"], "Programmed") for one in found["status"]["listeners"])

    whole(test, tmp_path)


def test_proxy_objects_that_somebody_deletes_come_back_and_go_with_their_gateway(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        kind = resource("Deployment")
        first = await running.client.get(kind, WORKLOAD, NAMESPACE)
        assert first["metadata"]["ownerReferences"][0]["name"] == made.GATEWAY.name
        await running.client.delete(kind, WORKLOAD, NAMESPACE)

        async def names() -> set[str]:
            return {one["metadata"]["uid"] for one in await running.client.list(kind, NAMESPACE)}

        async def another() -> bool:
            return bool(await names() - {first["metadata"]["uid"]})

        await until(another, "the Deployment is there again")
        await running.client.delete(GATEWAY, made.GATEWAY.name, NAMESPACE)

        async def gone() -> bool:
            return not await names()

        await until(gone, "the Deployment is gone")

    whole(test, tmp_path)


def test_a_renewed_secret_serves_new_handshakes_and_ends_no_stream(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        authority, secure = trustme.CA(), free_port()
        await running.backend("foo-svc")
        await running.create(served_with(authority), made.grpc_route("foo-route", made.rule(made.backend("foo-svc"))))
        await running.listen_also(made.https_listener(port=secure))
        async with channel(secure, trust=authority) as over:
            assert await answered(over) == "foo-svc"
            before = await shown(secure, authority)
            stream = over.unary_stream(f"/{SERVICE}/Stream")(b"")
            assert await stream.read() == b"foo-svc"
            renewed = {"data": served_with(authority)["data"]}
            await running.client.patch(resource("Secret"), "example-gateway", NAMESPACE, renewed)

            async def changed() -> bool:
                return await shown(secure, authority) != before

            await until(changed, "new handshakes get the new certificate")
            assert [await stream.read() for _ in range(5)] == [b"foo-svc"] * 5
            assert await call(over) == "foo-svc"
            stream.cancel()

    whole(test, tmp_path)


def served_with(authority: trustme.CA) -> Object:
    """Return the Gateway's Secret with a certificate that was issued just now."""
    issued = authority.issue_cert("foo.example.com")
    return made.secret("example-gateway", KeyPair(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()))


async def shown(port: int, authority: trustme.CA) -> str:
    """Return the serial number of the certificate that a new handshake gets."""
    _, certificate = await asyncio.to_thread(alpn, port, "foo.example.com", authority, ["h2"])
    serial: str = certificate["serialNumber"]
    return serial


def test_a_tls_route_is_served_and_said_to_be(tmp_path: Path) -> None:
    async def test(running: System) -> None:
        authority, secure = trustme.CA(), free_port()
        issued = authority.issue_cert("foo.example.com")
        pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
        backend = await Backend("foo-svc").start(grpc.ssl_server_credentials([pair]))
        await running.create(
            made.service("foo-svc"),
            made.endpoint_slice("foo-svc", "127.0.0.1", port=backend.port),
            made.tls_route("passed", made.backend("foo-svc")),
        )
        found = await running.listen_also(made.tls_listener(port=secure))
        assert [one["attachedRoutes"] for one in found["status"]["listeners"]] == [0, 1]

        async def accepted() -> bool:
            route = await running.client.get(resource("TLSRoute"), "passed", NAMESPACE)
            parents = (route.get("status") or {}).get("parents") or [{}]
            return is_true(parents[0].get("conditions"), "Accepted")

        await until(accepted, "the route is accepted")
        async with channel(secure, trust=authority) as over:
            assert await answered(over) == "foo-svc"

    whole(test, tmp_path)


def test_a_rule_that_envoy_refuses_is_told_at_its_route_and_mended_by_an_edit(tmp_path: Path) -> None:

    async def test(running: System) -> None:
        await running.backend("foo-svc")
        login_rule = made.rule(made.backend("foo-svc"), matches=[made.method(SERVICE, "Login")])
        route = made.grpc_route("foo-route", login_rule, regex(TOO_LARGE))
        await running.create(route)
        await running.route_condition("foo-route", "PartiallyInvalid", "UnsupportedValue")

        async def attached() -> bool:
            return (await running.programmed())["status"]["listeners"][0]["attachedRoutes"] == 1

        await until(attached, "the route is attached")
        await running.create(made.grpc_route("bar-route", regex("com[.]example[.]Other")))
        async with channel(running.port) as over:
            assert await answered(over) == "foo-svc"
            await until(lambda: answers(over, "com.example.Other"), "what comes later is served")
        patch = {"spec": {"rules": [login_rule]}}
        await running.client.patch(GRPC_ROUTE, "foo-route", NAMESPACE, patch)

        async def mended() -> bool:
            status = (await running.client.get(GRPC_ROUTE, "foo-route", NAMESPACE))["status"]
            return find_condition(status["parents"][0]["conditions"], "PartiallyInvalid") is None

        await until(mended, "the route is whole")

    whole(test, tmp_path)


TOO_LARGE = "(" + "abcdefghij" * 4 + "){1000}"
"""An expression that passes every check before Envoy, but is too large for it."""


def regex(pattern: str, to: str = "foo-svc") -> Object:
    matching = {"method": {"type": "RegularExpression", "service": pattern, "method": "Login"}}
    return made.rule(made.backend(to), matches=[matching])


def test_what_a_rule_said_before_is_served_on_while_envoy_refuses_it(tmp_path: Path) -> None:
    """Also over a change of endpoints and a new Envoy; only until the route goes."""

    async def test(running: System) -> None:
        await running.backend("foo-svc")
        await running.backend("bar-svc")
        await running.create(made.grpc_route("foo-route", regex("com[.]example[.]User")))
        async with channel(running.port) as over:
            assert await answered(over) == "foo-svc"
            await running.route_condition("foo-route", "Accepted", "Accepted")
        async with Load(running.port) as load:
            rules = [regex(TOO_LARGE, "bar-svc"), regex("com[.]example[.]Other", "bar-svc")]
            await running.client.patch(GRPC_ROUTE, "foo-route", NAMESPACE, {"spec": {"rules": rules}})
            found = await running.route_condition("foo-route", "PartiallyInvalid", "UnsupportedValue")
            assert found["message"].startswith("Dropped Rule: spec.rules[0]: Envoy refuses it: ")
            assert found["message"].endswith("; what it said before is served on")
            async with channel(running.port) as over:
                await until(lambda: answers(over, "com.example.Other", "bar-svc"), "the rule beside it is served")
            other = await Backend("another").start()
            ports = [{"name": "grpc", "port": other.port, "protocol": "TCP"}]
            name = made.endpoint_slice("foo-svc", "127.0.0.1")["metadata"]["name"]
            await running.client.patch(resource("EndpointSlice"), name, NAMESPACE, {"ports": ports})
            await until(lambda: "another" in load.answers, "new endpoints are called")
        assert load.failures == []
        assert set(load.answers) == {"foo-svc", "another"}
        running.envoy.kill()
        running.envoy.start()
        await running.envoy.ready()
        async with channel(running.port) as over:
            assert await answered(over) == "another"
            await running.client.delete(GRPC_ROUTE, "foo-route", NAMESPACE)

            async def gone() -> bool:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await call(over)
                    return False
                return True

            await until(gone, "what was kept goes with the route")

    whole(test, tmp_path)


async def answers(over: grpc.aio.Channel, service: str, name: str = "foo-svc") -> bool:
    with contextlib.suppress(grpc.aio.AioRpcError):
        return await call(over, service=service) == name
    return False


async def served_json(system: System, path: str) -> bool:
    status, body = await http_get(system.port, path, "foo.example.com")
    return status == 200 and '"name":"TEA"' in body


def test_json_is_served_as_soon_as_a_backend_has_described_itself(tmp_path: Path) -> None:
    async def test(system: System) -> None:
        mute, shop = DescribedService(described("Hidden")), DescribedService(described("Get"), reflects=(V1,))
        for name, service in (("mute", await mute.start()), ("shop", await shop.start())):
            await system.create(made.service(name), made.endpoint_slice(name, "127.0.0.1", port=service.port))
        route = made.grpc_route(
            "shop",
            made.rule(made.backend("shop"), matches=[made.method("shop.Shop", "Get")]),
            made.rule(made.backend("mute"), matches=[made.method("shop.Shop", "Hidden")]),
            annotations={"roadstead.dev/json-transcoding": "reflection"},
        )
        await system.create(route)
        await until(lambda: served_json(system, "/v1/get/tea"), "JSON is served")

        async def told() -> bool:  # as long as Envoy does not know the backend, it is out of reach
            found = await system.route_condition("shop", "roadstead.dev/AnnotationsUsable", "ReflectionFailed")
            mute_is = "backend user-platform/mute/50051: its reflection does not answer: UNIMPLEMENTED"
            return mute_is in found["message"]

        await until(told, "the backend without reflection is named")
        async with channel(system.port) as over:
            assert await call(over, "Hidden", service="shop.Shop") == ""  # gRPC is served as ever
        await mute.stop()
        await shop.stop()

    whole(test, tmp_path)


def described(method: str) -> Any:
    return file_of("shop.Shop", {method: {"get": f"/v1/{method.lower()}/{{name}}"}})
