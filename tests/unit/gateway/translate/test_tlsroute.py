"""TLSRoutes: which connections go where, by name, and what the status of a route says."""

from typing import Any

import pytest
from gateway_objects import (
    GATEWAY,
    PROXY,
    backend,
    gateway,
    gateway_class,
    grant,
    grpc_route,
    http_listener,
    https_listener,
    key_pair,
    message,
    namespaced,
    parent,
    rule,
    secret,
    service,
    status_of,
    tcp_listener,
    tcp_route,
    tls_listener,
    tls_route,
    translated,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.translate import Translation

FOO, BAR = service("foo"), service("bar")
TO_FOO, TO_BAR = backend("foo"), backend("bar")


def translation(*found: Object) -> Translation:
    return translated(gateway_class(), FOO, BAR, *found)


def chains(*found: Object) -> dict[tuple[str, ...], ir.FilterChain]:
    """Return the chains of port 443 by their server names."""
    (listener,) = translation(*found).proxies[PROXY].listeners
    return {chain.server_names: chain for chain in listener.chains}


def stream(*found: Object, name: str = "foo.example.com") -> ir.Stream:
    made = chains(*found)[(name,)].stream
    assert made is not None
    return made


def services(made: ir.Stream) -> dict[str, int]:
    return {one.cluster.split("/")[1]: one.weight for one in made.destinations}


def conditions(*found: Object, route: str = "route") -> list[Object]:
    (entry,) = status_of(translation(*found), "TLSRoute", route)["parents"]
    assert entry["controllerName"] == "roadstead.dev/gateway-controller"
    return list(entry["conditions"])


def attached(*found: Object) -> list[int]:
    return [one["attachedRoutes"] for one in status_of(translation(*found), "Gateway", GATEWAY.name)["listeners"]]


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listening", "asked", "served"),
    [
        ("abc.example.com", "*.example.com", "abc.example.com"),
        ("*.example.com", "abc.example.com", "abc.example.com"),
        ("*.example.com", "*.com", "*.example.com"),
        ("*.com", "*.example.com", "*.example.com"),
        ("", "*.example.com", "*.example.com"),
        ("foo.example.com", "FOO.example.com", "foo.example.com"),
    ],
)
def test_what_is_left_of_both_host_names_is_served(listening: str, asked: str, served: str) -> None:
    found = chains(gateway(tls_listener(hostname=listening)), tls_route("route", TO_FOO, hostnames=[asked]))
    made = found[(served,)]
    assert made.stream is not None
    assert services(made.stream) == {"foo": 1}
    assert made.tls is None


def test_what_no_route_is_for_is_refused() -> None:
    found = chains(gateway(tls_listener(hostname="*.example.com")), tls_route("route", TO_FOO))
    refused = found[("*.example.com",)].stream
    assert refused == ir.Stream(why="listener tls has no TLSRoute for *.example.com")


def test_a_listener_without_routes_refuses_all() -> None:
    assert chains(gateway(tls_listener()))[()].stream == ir.Stream(why="listener tls has no TLSRoute for any host")


def test_a_name_belongs_to_the_listener_that_is_most_specific_about_it() -> None:
    listeners = gateway(tls_listener("wide", "*.example.com"), tls_listener("narrow", "abc.example.com"))
    on_wide = tls_route("route", TO_FOO, hostnames=["*.example.com"], parents=[parent(sectionName="wide")])
    found = chains(listeners, on_wide)
    assert services(stream(listeners, on_wide, name="*.example.com")) == {"foo": 1}
    assert found[("abc.example.com",)].stream == ir.Stream(why="listener narrow has no TLSRoute for abc.example.com")


def test_the_more_specific_host_name_wins_and_then_the_older_route() -> None:
    listener = gateway(tls_listener(hostname="abc.example.com"))
    wide = tls_route("wide", TO_BAR, hostnames=["*.example.com"], creationTimestamp="2026-11-01T00:00:00Z")
    exact = tls_route("exact", TO_FOO, hostnames=["abc.example.com"])
    older = tls_route("older", TO_BAR, hostnames=["abc.example.com"], creationTimestamp="2026-11-02T00:00:00Z")
    assert services(stream(listener, wide, exact, name="abc.example.com")) == {"foo": 1}
    assert services(stream(listener, wide, exact, older, name="abc.example.com")) == {"bar": 1}


def test_names_of_one_route_share_a_chain_and_any_name_has_its_own() -> None:
    names = ["b.example.com", "a.example.com"]
    found = chains(gateway(tls_listener()), tls_route("route", TO_FOO, hostnames=names))
    assert set(found) == {("a.example.com", "b.example.com"), ()}
    anything = chains(gateway(tls_listener()), tls_route("route", TO_FOO, hostnames=[]))
    assert services(anything[()].stream or ir.Stream()) == {"foo": 1}


def test_https_and_tls_share_a_port() -> None:
    listeners = gateway(https_listener(hostname="*.example.com"), tls_listener(hostname="foo.example.com"))
    pair = secret("example-gateway", key_pair("*.example.com"))
    (listener,) = translation(listeners, pair, tls_route("route", TO_FOO)).proxies[PROXY].listeners
    assert listener.protocol == "HTTPS"
    assert [(chain.server_names, chain.stream is None) for chain in listener.chains] == [
        (("*.example.com",), True),
        (("foo.example.com",), False),
    ]


def test_a_request_for_a_host_that_is_passed_through_is_misdirected_at_https() -> None:
    listeners = gateway(https_listener(hostname="*.example.com"), tls_listener(hostname="foo.example.com"))
    pair = secret("example-gateway", key_pair("*.example.com"))
    made = translation(listeners, pair, tls_route("route", TO_FOO), grpc_route("all", rule(TO_FOO)))
    (table,) = made.proxies[PROXY].route_tables
    host = next(one for one in table.virtual_hosts if "foo.example.com" in one.domains)
    assert host.routes[0].action == ir.DirectResponse(
        421,
        "this connection was opened for listener https of Gateway user-platform/example-gateway, the host belongs to "
        "listener tls of Gateway user-platform/example-gateway; open another connection",
    )


# --- backends -----------------------------------------------------------------------------------------------------


def test_weights_divide_the_connections_and_invalid_backends_have_their_share_refused() -> None:
    weighted = [backend("foo", weight=3), backend("bar", weight=0), backend("none", weight=2), backend("foo", weight=1)]
    made = stream(gateway(tls_listener()), tls_route("route", *weighted))
    assert services(made) == {"foo": 4}
    assert made.refused == 2
    assert made.why == "spec.rules[0].backendRefs[2]: Service user-platform/none does not exist"
    assert made.source == ir.RouteSource("TLSRoute", "user-platform", "route")


@pytest.mark.parametrize(("weighted", "why"), [([], "no backendRefs"), ([backend("foo", weight=0)], "weight 0")])
def test_without_a_backend_all_are_refused(weighted: list[Object], why: str) -> None:
    made = stream(gateway(tls_listener()), tls_route("route", *weighted))
    assert (made.destinations, why in made.why) == ((), True)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (backend("none"), "BackendNotFound"),
        (backend("foo", kind="Unknown", group="example.com"), "InvalidKind"),
        (backend("far", namespace="elsewhere"), "RefNotPermitted"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(entry: Object, reason: str) -> None:
    far = service("far", namespace="elsewhere")
    found = conditions(gateway(tls_listener()), far, tls_route("route", entry))
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, "ResolvedRefs") == ("False", reason)


def test_a_grant_for_tls_routes_lets_them_cross_namespaces() -> None:
    far = service("far", namespace="elsewhere")
    allowed = grant("elsewhere", [("gateway.networking.k8s.io", "TLSRoute", "user-platform")], [("", "Service")])
    route = tls_route("route", backend("far", namespace="elsewhere"))
    assert services(stream(gateway(tls_listener()), far, allowed, route)) == {"far": 1}


def test_clusters_and_endpoints_of_streams_are_there() -> None:
    proxy = translation(gateway(tls_listener()), tls_route("route", TO_FOO)).proxies[PROXY]
    assert proxy.clusters == (ir.Cluster("user-platform/foo/50051/tcp", "user-platform/foo/50051", "tcp"),)
    assert [one.name for one in proxy.endpoints] == ["user-platform/foo/50051"]


def test_tls_that_ends_here_begins_anew_where_a_policy_says_so() -> None:
    policy = namespaced(
        "gateway.networking.k8s.io/v1",
        "BackendTLSPolicy",
        "policy",
        {
            "targetRefs": [{"group": "", "kind": "Service", "name": "foo"}],
            "validation": {"hostname": "foo.internal", "wellKnownCACertificates": "System"},
        },
    )
    listeners = gateway(
        tls_listener("ended", "foo.example.com", secret="example-gateway"),
        tls_listener("passed", "bar.example.com"),
    )
    route = tls_route("route", TO_FOO, hostnames=["foo.example.com", "bar.example.com"])
    found = chains(listeners, policy, secret("example-gateway", key_pair("foo.example.com")), route)
    ended, passed = found[("foo.example.com",)], found[("bar.example.com",)]
    assert ended.tls == ir.ServerTls(("user-platform/example-gateway",), alpn=())
    assert [one.cluster for one in (ended.stream or ir.Stream()).destinations] == ["user-platform/foo/50051/tcp-tls"]
    assert passed.tls is None
    assert [one.cluster for one in (passed.stream or ir.Stream()).destinations] == ["user-platform/foo/50051/tcp"]


# --- attachment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", [http_listener(), https_listener()])
def test_listeners_for_http_take_no_tls_routes(listener: Object) -> None:
    pair = secret("example-gateway", key_pair("foo.example.com"))
    found = conditions(gateway(listener), pair, tls_route("route", TO_FOO))
    assert verdict(found, "Accepted") == ("False", "NotAllowedByListeners")
    assert "takes no TLSRoute; see protocol" in message(found, "Accepted")


def test_listeners_for_tls_take_no_other_routes() -> None:
    made = translation(gateway(tls_listener()), grpc_route("grpc", rule(TO_FOO)))
    (entry,) = status_of(made, "GRPCRoute", "grpc")["parents"]
    assert verdict(entry["conditions"], "Accepted") == ("False", "NotAllowedByListeners")


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (tls_route("route", TO_FOO, parents=[parent(sectionName="none")]), "NoMatchingParent"),
        (tls_route("route", TO_FOO, hostnames=["foo.example.org"]), "NoMatchingListenerHostname"),
        (tls_route("route", TO_FOO, hostnames=["foo_1.example.com"]), "UnsupportedValue"),
    ],
)
def test_a_route_that_no_listener_takes_is_told(route: Object, reason: str) -> None:
    found = conditions(gateway(tls_listener(hostname="*.example.com")), route)
    assert verdict(found, "Accepted") == ("False", reason)


def test_routes_are_counted_where_they_attach() -> None:
    listeners = gateway(tls_listener("a", "a.example.com"), tls_listener("b", "b.example.com"))
    assert attached(listeners, tls_route("route", TO_FOO, hostnames=["a.example.com"])) == [1, 0]


def test_a_second_rule_is_dropped_and_told() -> None:
    route: dict[str, Any] = tls_route("route", TO_FOO)
    route["spec"]["rules"].append({"backendRefs": [TO_BAR]})
    found = conditions(gateway(tls_listener()), route)
    assert verdict(found, "PartiallyInvalid") == ("True", "UnsupportedValue")
    assert services(stream(gateway(tls_listener()), route)) == {"foo": 1}


# --- TCP ----------------------------------------------------------------------------------------------------------


def test_all_connections_of_a_tcp_port_go_to_the_oldest_route() -> None:
    older = tcp_route("z-older", TO_FOO, creationTimestamp="2026-11-01T00:00:00Z")
    made = translation(gateway(tcp_listener()), older, tcp_route("a-newer", TO_BAR))
    (listener,) = made.proxies[PROXY].listeners
    (chain,) = listener.chains
    assert (listener.protocol, listener.port, chain.server_names, chain.tls) == ("TCP", 5432, (), None)
    assert services(chain.stream or ir.Stream()) == {"foo": 1}
    (found,) = status_of(made, "Gateway", GATEWAY.name)["listeners"]
    assert found["supportedKinds"] == [{"group": "gateway.networking.k8s.io", "kind": "TCPRoute"}]
    assert found["attachedRoutes"] == 2


def test_a_tcp_port_without_routes_refuses_all() -> None:
    (listener,) = translation(gateway(tcp_listener())).proxies[PROXY].listeners
    assert listener.chains[0].stream == ir.Stream(why="listener tcp has no TCPRoute")


def test_tcp_shares_its_port_with_nobody() -> None:
    found = status_of(translation(gateway(tcp_listener(port=443), tls_listener())), "Gateway", GATEWAY.name)
    for listener in found["listeners"]:
        assert verdict(listener["conditions"], "Conflicted") == ("True", "ProtocolConflict")


def test_tcp_routes_attach_to_tcp_only() -> None:
    made = translation(gateway(tls_listener()), tcp_route("route", TO_FOO))
    (entry,) = status_of(made, "TCPRoute", "route")["parents"]
    assert verdict(entry["conditions"], "Accepted") == ("False", "NotAllowedByListeners")
