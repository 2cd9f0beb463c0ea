"""Weights, invalid backends, filters: what a rule does, whatever it matches."""

import pytest
from gateway_objects import (
    backend,
    gateway,
    gateway_class,
    grant,
    grpc_route,
    http_route,
    message,
    rule,
    service,
    status_of,
    translated,
    verdict,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir

SERVICES = (
    service("foo-svc"),
    service("bar-svc"),
    service("http-only", appProtocol="http"),
    service("h2c", appProtocol="kubernetes.io/h2c"),
    service("encrypted", appProtocol="https"),
    service("other", namespace="elsewhere"),
)


def actions(*rules: Object, kind: str = "GRPCRoute", more: tuple[Object, ...] = ()) -> list[ir.Route]:
    made = grpc_route("foo", *rules) if kind == "GRPCRoute" else http_route("foo", *rules)
    host = virtual_host(translated(gateway_class(), gateway(), *SERVICES, *more, made), "*")
    return [route for route in host.routes if route.source]


def forward(*rules: Object, kind: str = "GRPCRoute") -> ir.Forward:
    (route,) = actions(*rules, kind=kind)
    assert isinstance(route.action, ir.Forward)
    return route.action


def answer(*rules: Object, kind: str = "GRPCRoute") -> ir.DirectResponse:
    (route,) = actions(*rules, kind=kind)
    assert isinstance(route.action, ir.DirectResponse)
    return route.action


def resolved(made: Object, *more: Object) -> tuple[tuple[str, str], str]:
    translation = translated(gateway_class(), gateway(), *SERVICES, *more, grpc_route("foo", made))
    found = status_of(translation, "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert verdict(found, "Accepted") == ("True", "Accepted")
    return verdict(found, "ResolvedRefs"), message(found, "ResolvedRefs")


# --- weights ------------------------------------------------------------------------------------------------------


def test_weights_are_kept_and_zero_receives_nothing() -> None:
    found = forward(rule(backend("foo-svc", weight=70), backend("bar-svc"), backend("h2c", weight=0)))
    assert [(one.cluster, one.weight) for one in found.destinations] == [
        ("user-platform/foo-svc/50051/h2", 70),
        ("user-platform/bar-svc/50051/h2", 1),
    ]


@pytest.mark.parametrize(("kind", "status"), [("GRPCRoute", 503), ("HTTPRoute", 500)])
@pytest.mark.parametrize(
    ("backends", "words"),
    [
        ([], "it has no backendRefs"),
        ([backend("foo-svc", weight=0)], "every backendRef has weight 0"),
        ([backend("missing")], "backendRefs[0]: Service user-platform/missing does not exist"),
    ],
)
def test_without_any_backend_the_gateway_answers_and_says_why(
    kind: str, status: int, backends: list[Object], words: str
) -> None:
    found = answer(rule(*backends), kind=kind)
    assert found.status == status
    assert found.message.startswith(f"{kind} user-platform/foo rule 0")
    assert words in found.message


def test_the_share_of_invalid_backends_is_refused_and_the_rest_served() -> None:
    refused, served = actions(rule(backend("missing", weight=1), backend("foo-svc", weight=3)))
    assert refused.match.parts_per_million == 250_000
    assert isinstance(refused.action, ir.DirectResponse)
    assert isinstance(served.action, ir.Forward)
    assert served.match.parts_per_million is None
    assert [one.weight for one in served.action.destinations] == [3]


def test_an_invalid_backend_of_weight_zero_is_told_and_takes_nothing() -> None:
    made = rule(backend("missing", weight=0), backend("foo-svc"))
    assert len(forward(made).destinations) == 1
    assert resolved(made)[0] == ("False", "BackendNotFound")


# --- references ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "reason", "words"),
    [
        (backend("missing"), "BackendNotFound", "Service user-platform/missing does not exist"),
        (backend("foo-svc", 50052), "BackendNotFound", "has no port 50052; it has 50051"),
        ({"name": "foo-svc"}, "BackendNotFound", "to be named with a port; it has 50051"),
        (backend("foo-svc", kind="Bucket"), "InvalidKind", "Bucket is not a kind of backend"),
        (backend("foo-svc", group="x.org"), "InvalidKind", "Service.x.org is not a kind of backend"),
        (
            backend("other", namespace="elsewhere"),
            "RefNotPermitted",
            "no ReferenceGrant in elsewhere allows GRPCRoutes",
        ),
        (backend("http-only"), "UnsupportedProtocol", "appProtocol http of Service user-platform/http-only:50051"),
        (backend("encrypted"), "UnsupportedProtocol", "use kubernetes.io/h2c, or none"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(reference: Object, reason: str, words: str) -> None:
    found, told = resolved(rule(reference))
    assert found == ("False", reason)
    assert words in told


def test_a_grant_opens_another_namespace() -> None:
    allowed = grant("elsewhere", [("gateway.networking.k8s.io", "GRPCRoute", "user-platform")], [("", "Service")])
    made = rule(backend("other", namespace="elsewhere"))
    assert resolved(made, allowed)[0] == ("True", "ResolvedRefs")
    (route,) = actions(made, more=(allowed,))
    assert isinstance(route.action, ir.Forward)
    assert route.action.destinations[0].cluster == "elsewhere/other/50051/h2"


@pytest.mark.parametrize(
    ("name", "kind", "protocol"),
    [
        ("foo-svc", "GRPCRoute", "h2"),
        ("foo-svc", "HTTPRoute", "http1"),
        ("h2c", "HTTPRoute", "h2"),
        ("http-only", "HTTPRoute", "http1"),
    ],
)
def test_the_protocol_comes_of_the_service_port_and_the_kind(name: str, kind: str, protocol: str) -> None:
    (chosen,) = forward(rule(backend(name)), kind=kind).destinations
    assert chosen.cluster == f"user-platform/{name}/50051/{protocol}"


# --- filters ------------------------------------------------------------------------------------------------------

MODIFIER = {
    "set": [{"name": "X-Set", "value": "1"}, {"name": "x-set", "value": "2"}],
    "add": [{"name": "X-Add", "value": "%"}],
    "remove": ["X-Gone", "x-gone"],
}
EDITS = ir.HeaderEdits(set=(("x-set", "1"),), add=(("x-add", "%"),), remove=("x-gone",))


def test_header_filters_of_a_rule() -> None:
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": MODIFIER},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": MODIFIER},
    ]
    found = forward(rule(backend("foo-svc"), filters=filters))
    assert (found.request_headers, found.response_headers) == (EDITS, EDITS)


def test_filters_of_a_backend_stay_with_it() -> None:
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": MODIFIER}]
    found = forward(rule(backend("foo-svc", filters=filters), backend("bar-svc")))
    assert [one.request_headers for one in found.destinations] == [EDITS, None]
    assert found.request_headers is None


@pytest.mark.parametrize(
    ("share", "parts"),
    [
        ({}, 1_000_000),
        ({"percent": 42}, 420_000),
        ({"fraction": {"numerator": 1, "denominator": 1000}}, 1_000),
        ({"fraction": {"numerator": 50}}, 500_000),
        ({"percent": 0}, 0),
    ],
)
def test_mirrors_have_a_share(share: Object, parts: int) -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend("bar-svc"), **share}}
    found = forward(rule(backend("foo-svc"), filters=[mirror, mirror]))
    assert found.mirrors == (ir.Mirror("user-platform/bar-svc/50051/h2", parts),) * 2


def test_a_mirror_that_leads_nowhere_is_told_and_left_out() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend("missing")}}
    made = rule(backend("foo-svc"), filters=[mirror])
    assert forward(made).mirrors == ()
    found, told = resolved(made)
    assert found == ("False", "BackendNotFound")
    assert "filters[0].requestMirror.backendRef" in told


def test_an_extension_that_leads_nowhere_is_not_skipped() -> None:
    extension = {"type": "ExtensionRef", "extensionRef": {"group": "x.org", "kind": "Auth", "name": "mine"}}
    made = rule(backend("foo-svc"), filters=[extension])
    found = answer(made)
    assert found.status == 500
    assert "Auth.x.org mine is not a filter that Roadstead has" in found.message
    assert resolved(made)[0] == ("False", "InvalidKind")


def test_an_extension_at_one_backend_takes_its_share_only() -> None:
    extension = {"type": "ExtensionRef", "extensionRef": {"group": "x.org", "kind": "Auth", "name": "mine"}}
    refused, served = actions(rule(backend("foo-svc", filters=[extension]), backend("bar-svc")))
    assert refused.match.parts_per_million == 500_000
    assert isinstance(served.action, ir.Forward)


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ([{"type": "Sorcery"}], "UnsupportedValue"),
        ([{"type": "URLRewrite", "urlRewrite": {"hostname": "a.com"}}], "UnsupportedValue"),
        ([{"type": "RequestHeaderModifier", "requestHeaderModifier": MODIFIER}] * 2, "IncompatibleFilters"),
        (
            [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "Host", "value": "x"}]}}],
            "UnsupportedValue",
        ),
        (
            [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "\r"}]}}],
            "UnsupportedValue",
        ),
    ],
)
def test_filters_that_cannot_be_served_drop_their_rule(filters: list[Object], reason: str) -> None:
    made = rule(backend("foo-svc"), filters=filters)
    assert actions(made) == []
    translation = translated(gateway_class(), gateway(), *SERVICES, grpc_route("foo", made))
    found = status_of(translation, "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert verdict(found, "Accepted") == ("False", reason)
