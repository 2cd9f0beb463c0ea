"""Which connections go where: names at listeners for TLS, the oldest route at those for TCP."""

import pytest
from gateway_objects import (
    GATEWAY,
    PROXY,
    backend,
    gateway,
    grpc_route,
    https_listener,
    key_pair,
    parent,
    rule,
    secret,
    status_of,
    stream_chains,
    stream_for,
    stream_translation,
    stream_weights,
    tcp_listener,
    tcp_route,
    tls_listener,
    tls_route,
    verdict,
)

from roadstead.gateway import ir

TO_FOO, TO_BAR = backend("foo"), backend("bar")


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
    found = stream_chains(gateway(tls_listener(hostname=listening)), tls_route("route", TO_FOO, hostnames=[asked]))
    made = found[(served,)]
    assert made.stream is not None
    assert stream_weights(made.stream) == {"foo": 1}
    assert made.tls is None


def test_what_no_route_is_for_is_refused() -> None:
    found = stream_chains(gateway(tls_listener(hostname="*.example.com")), tls_route("route", TO_FOO))
    refused = found[("*.example.com",)].stream
    assert refused == ir.Stream(why="listener tls has no TLSRoute for *.example.com")


def test_a_listener_without_routes_refuses_all() -> None:
    assert stream_chains(gateway(tls_listener()))[()].stream == ir.Stream(
        why="listener tls has no TLSRoute for any host"
    )


def test_a_name_belongs_to_the_listener_that_is_most_specific_about_it() -> None:
    listeners = gateway(tls_listener("wide", "*.example.com"), tls_listener("narrow", "abc.example.com"))
    on_wide = tls_route("route", TO_FOO, hostnames=["*.example.com"], parents=[parent(sectionName="wide")])
    found = stream_chains(listeners, on_wide)
    assert stream_weights(stream_for(listeners, on_wide, name="*.example.com")) == {"foo": 1}
    assert found[("abc.example.com",)].stream == ir.Stream(why="listener narrow has no TLSRoute for abc.example.com")


def test_the_more_specific_host_name_wins_and_then_the_older_route() -> None:
    listener = gateway(tls_listener(hostname="abc.example.com"))
    wide = tls_route("wide", TO_BAR, hostnames=["*.example.com"], creationTimestamp="2026-11-01T00:00:00Z")
    exact = tls_route("exact", TO_FOO, hostnames=["abc.example.com"])
    older = tls_route("older", TO_BAR, hostnames=["abc.example.com"], creationTimestamp="2026-11-02T00:00:00Z")
    assert stream_weights(stream_for(listener, wide, exact, name="abc.example.com")) == {"foo": 1}
    assert stream_weights(stream_for(listener, wide, exact, older, name="abc.example.com")) == {"bar": 1}


def test_names_of_one_route_share_a_chain_and_any_name_has_its_own() -> None:
    names = ["b.example.com", "a.example.com"]
    found = stream_chains(gateway(tls_listener()), tls_route("route", TO_FOO, hostnames=names))
    assert set(found) == {("a.example.com", "b.example.com"), ()}
    anything = stream_chains(gateway(tls_listener()), tls_route("route", TO_FOO, hostnames=[]))
    assert stream_weights(anything[()].stream or ir.Stream()) == {"foo": 1}


def test_https_and_tls_share_a_port() -> None:
    listeners = gateway(https_listener(hostname="*.example.com"), tls_listener(hostname="foo.example.com"))
    pair = secret("example-gateway", key_pair("*.example.com"))
    (listener,) = stream_translation(listeners, pair, tls_route("route", TO_FOO)).proxies[PROXY].listeners
    assert listener.protocol == "HTTPS"
    assert [(chain.server_names, chain.stream is None) for chain in listener.chains] == [
        (("*.example.com",), True),
        (("foo.example.com",), False),
    ]


def test_a_request_for_a_host_that_is_passed_through_is_misdirected_at_https() -> None:
    listeners = gateway(https_listener(hostname="*.example.com"), tls_listener(hostname="foo.example.com"))
    pair = secret("example-gateway", key_pair("*.example.com"))
    made = stream_translation(listeners, pair, tls_route("route", TO_FOO), grpc_route("all", rule(TO_FOO)))
    (table,) = made.proxies[PROXY].route_tables
    host = next(one for one in table.virtual_hosts if "foo.example.com" in one.domains)
    assert host.routes[0].action == ir.DirectResponse(
        421,
        "this connection was opened for listener https of Gateway user-platform/example-gateway, the host belongs to "
        "listener tls of Gateway user-platform/example-gateway; open another connection",
    )


def test_all_connections_of_a_tcp_port_go_to_the_oldest_route() -> None:
    older = tcp_route("z-older", TO_FOO, creationTimestamp="2026-11-01T00:00:00Z")
    made = stream_translation(gateway(tcp_listener()), older, tcp_route("a-newer", TO_BAR))
    (listener,) = made.proxies[PROXY].listeners
    (chain,) = listener.chains
    assert (listener.protocol, listener.port, chain.server_names, chain.tls) == ("TCP", 5432, (), None)
    assert stream_weights(chain.stream or ir.Stream()) == {"foo": 1}
    (found,) = status_of(made, "Gateway", GATEWAY.name)["listeners"]
    assert found["supportedKinds"] == [{"group": "gateway.networking.k8s.io", "kind": "TCPRoute"}]
    assert found["attachedRoutes"] == 2


def test_a_tcp_port_without_routes_refuses_all() -> None:
    (listener,) = stream_translation(gateway(tcp_listener())).proxies[PROXY].listeners
    assert listener.chains[0].stream == ir.Stream(why="listener tcp has no TCPRoute")


def test_tcp_shares_its_port_with_nobody() -> None:
    found = status_of(stream_translation(gateway(tcp_listener(port=443), tls_listener())), "Gateway", GATEWAY.name)
    for listener in found["listeners"]:
        assert verdict(listener["conditions"], "Conflicted") == ("True", "ProtocolConflict")


def test_tcp_routes_attach_to_tcp_only() -> None:
    made = stream_translation(gateway(tls_listener()), tcp_route("route", TO_FOO))
    (entry,) = status_of(made, "TCPRoute", "route")["parents"]
    assert verdict(entry["conditions"], "Accepted") == ("False", "NotAllowedByListeners")
