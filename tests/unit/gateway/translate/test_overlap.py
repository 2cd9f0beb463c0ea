import pytest
from gateway_objects import (
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_listener,
    http_route,
    message,
    parent,
    rule,
    service,
    status_of,
    translated,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway.translate import Translation

FOO = service("foo-svc")
OLD, NEW = "2026-11-22T10:00:00Z", "2026-11-22T12:00:00Z"
STRICT = {"annotations": {"roadstead.dev/route-overlap": "strict"}}


def strict(*listeners: Object) -> Object:
    made = gateway(*listeners)
    return {**made, "metadata": {**made["metadata"], **STRICT}}


def grpc(hostname: str, age: str = OLD, **more: object) -> Object:
    return grpc_route("g", rule(backend("foo-svc")), hostnames=[hostname], creationTimestamp=age, **more)


def http(hostname: str, age: str = NEW, **more: object) -> Object:
    return http_route("h", rule(backend("foo-svc")), hostnames=[hostname], creationTimestamp=age, **more)


def accepted(found: Translation, kind: str, name: str) -> tuple[str, str]:
    return verdict(status_of(found, kind, name)["parents"][0]["conditions"], "Accepted")


SERVED, REFUSED = ("True", "Accepted"), ("False", "HostnameConflict")


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("foo.example.com", "foo.example.com", REFUSED),
        ("*.example.com", "foo.example.com", REFUSED),
        ("foo.example.com", "*.example.com", REFUSED),
        ("foo.example.com", "*.com", REFUSED),
        ("foo.example.com", "bar.example.com", SERVED),
        ("*.example.com", "example.com", SERVED),
    ],
)
def test_a_strict_gateway_refuses_the_younger_route(one: str, other: str, outcome: tuple[str, str]) -> None:
    found = translated(gateway_class(), strict(), FOO, grpc(one), http(other))
    assert accepted(found, "GRPCRoute", "g") == SERVED
    assert accepted(found, "HTTPRoute", "h") == outcome
    found = translated(gateway_class(), strict(), FOO, grpc(other, NEW), http(one, OLD))
    assert accepted(found, "GRPCRoute", "g") == outcome
    assert accepted(found, "HTTPRoute", "h") == SERVED


def test_the_loser_hears_of_the_winner_and_is_not_counted() -> None:
    found = translated(gateway_class(), strict(), FOO, grpc("foo.example.com"), http("foo.example.com"))
    conditions = status_of(found, "HTTPRoute", "h")["parents"][0]["conditions"]
    assert message(conditions, "Accepted") == (
        "spec.hostnames: foo.example.com overlaps GRPCRoute user-platform/g at listener http, which is older; "
        "Gateway user-platform/example-gateway says roadstead.dev/route-overlap: strict"
    )
    (listener,) = status_of(found, "Gateway", "example-gateway")["listeners"]
    assert listener["attachedRoutes"] == 1


def test_both_are_served_unless_the_gateway_is_strict() -> None:
    found = translated(gateway_class(), gateway(), FOO, grpc("foo.example.com"), http("foo.example.com"))
    assert accepted(found, "GRPCRoute", "g") == accepted(found, "HTTPRoute", "h") == SERVED


def test_routes_of_one_kind_never_conflict() -> None:
    second = grpc_route("g2", rule(backend("foo-svc")), hostnames=["foo.example.com"])
    found = translated(gateway_class(), strict(), FOO, grpc("foo.example.com"), second)
    assert accepted(found, "GRPCRoute", "g2") == SERVED


def test_a_route_that_lost_takes_nothing_from_others() -> None:
    third = grpc_route("g3", rule(backend("foo-svc")), hostnames=["b.example.com"], creationTimestamp=NEW + "1")
    loser = http_route(
        "h", rule(backend("foo-svc")), hostnames=["foo.example.com", "b.example.com"], creationTimestamp=NEW
    )
    found = translated(gateway_class(), strict(), FOO, grpc("foo.example.com"), loser, third)
    assert accepted(found, "HTTPRoute", "h") == REFUSED
    assert accepted(found, "GRPCRoute", "g3") == SERVED


def test_what_is_left_at_other_listeners_is_served() -> None:
    listeners = [http_listener("one"), http_listener("two", port=81)]
    found = translated(
        gateway_class(), strict(*listeners), FOO, grpc("a.com", parents=[parent(sectionName="one")]), http("a.com")
    )
    assert accepted(found, "HTTPRoute", "h") == SERVED
    counts = {one["name"]: one["attachedRoutes"] for one in status_of(found, "Gateway", "example-gateway")["listeners"]}
    assert counts == {"one": 1, "two": 1}
