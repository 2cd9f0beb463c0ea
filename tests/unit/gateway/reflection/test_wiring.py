import pytest
from gateway_objects import (
    NAMESPACE,
    PROXY,
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_route,
    rule,
    service,
    translated,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.explain import explain
from roadstead.gateway.infra import InfraSettings, bootstrap_of
from roadstead.gateway.matching import Request
from roadstead.gateway.reflection.serving import find_place
from roadstead.gateway.reflection.wiring import V1, V1ALPHA, envoy_socket, host_key

ON = {"annotations": {"roadstead.dev/reflection": "merged"}}
FOO = service("foo-svc")


def grpc(name: str, hostname: str, **more: object) -> Object:
    return grpc_route(name, rule(backend("foo-svc")), hostnames=[hostname], **more)


def reflecting() -> Object:
    made = gateway()
    return {**made, "metadata": {**made["metadata"], **ON}}


def first(proxy: ir.Proxy, host: str, service_name: str) -> ir.Route:
    return explain(proxy, Request.grpc(80, host, f"{service_name}/ServerReflectionInfo")).outcomes[0].route


@pytest.mark.parametrize("version", [V1, V1ALPHA])
def test_hosts_of_an_annotated_route_answer_themselves(version: str) -> None:
    proxy = translated(gateway_class(), gateway(), FOO, grpc("a", "a.com", **ON), grpc("b", "b.com")).proxies[PROXY]
    made = first(proxy, "a.com", version)
    assert made.action == ir.Reflect("a.com listener http of Gateway user-platform/example-gateway")
    assert made.source == ir.RouteSource("GRPCRoute", NAMESPACE, "a")
    assert isinstance(first(proxy, "b.com", version).action, ir.Forward)


def test_those_of_an_annotated_gateway_do_where_there_are_grpc_routes() -> None:
    pages = http_route("pages", rule(backend("foo-svc")), hostnames=["pages.com"])
    found = translated(gateway_class(), reflecting(), FOO, grpc("a", "a.com"), pages)
    assert isinstance(first(found.proxies[PROXY], "a.com", V1).action, ir.Reflect)
    assert first(found.proxies[PROXY], "a.com", V1).source is None
    assert not any(isinstance(route.action, ir.Reflect) for route in virtual_host(found, "pages.com").routes)


def test_a_virtual_host_is_found_by_its_key_while_an_envoy_serves_it() -> None:
    proxies = translated(gateway_class(), reflecting(), FOO, grpc("a", "a.com")).proxies
    host = virtual_host(translated(gateway_class(), reflecting(), FOO, grpc("a", "a.com")), "a.com")
    key = host_key(host.name, host.listener)
    place = find_place(key, proxies, lambda _: ["/run/xds/10.244.0.7"])
    assert place is not None
    assert (place.host, place.socket) == (host, "/run/xds/10.244.0.7")
    assert find_place(key, proxies, lambda _: []) is None
    assert find_place("b.com x", proxies, lambda _: ["/s"]) is None


def test_every_envoy_has_the_way_where_xds_is_a_socket() -> None:
    proxy = ir.Proxy(PROXY, ir.Workload(NAMESPACE, "example-gateway"))
    made = bootstrap_of(proxy, InfraSettings("/run/xds/ads.sock"))
    (listener,) = made["static_resources"]["listeners"]
    assert listener["address"]["pipe"] == {"path": "/run/xds/$(POD_IP)", "mode": 0o600}
    assert made["node"]["metadata"]["reflection"] == envoy_socket("/run/xds/ads.sock")
    assert "listeners" not in bootstrap_of(proxy, InfraSettings("xds.example.com:18000"))["static_resources"]
