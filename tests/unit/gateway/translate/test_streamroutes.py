"""TLSRoutes: where their connections go, what becomes of references that lead nowhere, and what their status says."""

from typing import Any

import pytest
from gateway_objects import (
    GATEWAY,
    PROXY,
    backend,
    gateway,
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
    stream_chains,
    stream_for,
    stream_translation,
    stream_weights,
    tls_listener,
    tls_route,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir

TO_FOO, TO_BAR = backend("foo"), backend("bar")


def conditions(*found: Object, route: str = "route") -> list[Object]:
    (entry,) = status_of(stream_translation(*found), "TLSRoute", route)["parents"]
    assert entry["controllerName"] == "roadstead.dev/gateway-controller"
    return list(entry["conditions"])


def attached(*found: Object) -> list[int]:
    return [
        one["attachedRoutes"] for one in status_of(stream_translation(*found), "Gateway", GATEWAY.name)["listeners"]
    ]


# --- backends -----------------------------------------------------------------------------------------------------


def test_weights_divide_the_connections_and_invalid_backends_have_their_share_refused() -> None:
    weighted = [backend("foo", weight=3), backend("bar", weight=0), backend("none", weight=2), backend("foo", weight=1)]
    made = stream_for(gateway(tls_listener()), tls_route("route", *weighted))
    assert stream_weights(made) == {"foo": 4}
    assert made.refused == 2
    assert made.why == "spec.rules[0].backendRefs[2]: Service user-platform/none does not exist"
    assert made.source == ir.RouteSource("TLSRoute", "user-platform", "route")


@pytest.mark.parametrize(("weighted", "why"), [([], "no backendRefs"), ([backend("foo", weight=0)], "weight 0")])
def test_without_a_backend_all_are_refused(weighted: list[Object], why: str) -> None:
    made = stream_for(gateway(tls_listener()), tls_route("route", *weighted))
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
    assert stream_weights(stream_for(gateway(tls_listener()), far, allowed, route)) == {"far": 1}


def test_clusters_and_endpoints_of_streams_are_there() -> None:
    proxy = stream_translation(gateway(tls_listener()), tls_route("route", TO_FOO)).proxies[PROXY]
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
    found = stream_chains(listeners, policy, secret("example-gateway", key_pair("foo.example.com")), route)
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
    made = stream_translation(gateway(tls_listener()), grpc_route("grpc", rule(TO_FOO)))
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
    assert stream_weights(stream_for(gateway(tls_listener()), route)) == {"foo": 1}


def test_annotations_of_other_kinds_are_told_to_have_no_effect() -> None:
    route = tls_route("route", TO_FOO, annotations={"roadstead.dev/timeout": "1s"})
    found = conditions(gateway(tls_listener()), route)
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, "roadstead.dev/AnnotationsUsable") == ("False", "InvalidAnnotation")
    assert message(found, "roadstead.dev/AnnotationsUsable") == (
        "metadata.annotations[roadstead.dev/timeout]: TLSRoutes have no such annotation of Roadstead; there are none"
    )
