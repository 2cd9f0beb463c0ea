import base64

import pytest
from described_service import descriptor_set, file_of
from gateway_objects import (
    NAMESPACE,
    backend,
    gateway,
    gateway_class,
    grpc_route,
    message,
    method,
    rule,
    service,
    status_of,
    stored,
    translated,
    verdict,
    virtual_host,
)

from roadstead.api.conditions import find_condition
from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.statuses import ANNOTATIONS_USABLE
from roadstead.gateway.translate import Translation

SHOP = file_of("shop.Shop", {"Get": {"get": "/items/{name}"}, "Put": {"put": "/items", "body": "*"}, "Buy": {}})
ENCODED = base64.b64encode(descriptor_set(SHOP)).decode()


def holder(kind: str = "ConfigMap", **content: str) -> Object:
    name = "binaryData" if kind == "ConfigMap" else "data"
    return stored(
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": "shop", "namespace": NAMESPACE},
            name: {f"{key}.binpb": value for key, value in content.items()},
        }
    )


def translation(stated: str, *objects: Object, matches: tuple[Object, ...] = (), **more: str) -> Translation:
    annotations = {"roadstead.dev/json-transcoding": stated} | more
    route = grpc_route("foo", rule(backend("foo-svc"), matches=matches), annotations=annotations)
    return translated(gateway_class(), gateway(), service("foo-svc"), route, *objects)


def lines(found: Translation) -> list[ir.Route]:
    return [route for route in virtual_host(found, "*").routes if route.source]


def test_lines_for_each_http_method_come_before_the_one_for_grpc() -> None:
    *json, own = lines(translation("ConfigMap/shop", holder(shop=ENCODED)))
    assert [(route.match.method, route.match.path.value) for route in json] == [
        ("POST", r"(?:/shop\.Shop/Get)|(?:/shop\.Shop/Put)|(?:/shop\.Shop/Buy)"),
        ("GET", "(?:/items/[^/]+)"),
        ("PUT", "(?:/items)"),
    ]
    assert {route.web.transcoding.services for route in json if route.web and route.web.transcoding} == {("shop.Shop",)}
    assert {route.action for route in json} == {own.action}
    assert own.match.grpc


def test_only_methods_that_a_match_lets_through_are_offered() -> None:
    found = lines(translation("ConfigMap/shop", holder(shop=ENCODED), matches=(method("shop.Shop", "Put"),)))
    assert [route.match.path.value for route in found[:-1]] == [r"(?:/shop\.Shop/Put)", "(?:/items)"]


def test_browsers_may_ask_where_origins_are_named() -> None:
    origins = {"roadstead.dev/cors-allow-origins": "https://app.example.com"}
    found = lines(translation("Secret/shop", holder("Secret", shop=ENCODED), **origins))
    asked = [route.match.path.value for route in found if route.name.endswith("/preflight")]
    assert "(?:/items/[^/]+)" in asked
    assert all(route.web and route.web.cors for route in found[:-1])


@pytest.mark.parametrize(
    ("stated", "objects", "reason", "said"),
    [
        ("ConfigMap/shop", [], "DescriptorNotFound", "there is no ConfigMap user-platform/shop"),
        ("ConfigMap/shop", [holder()], "DescriptorNotFound", "name a key of ConfigMap user-platform/shop"),
        ("ConfigMap/shop/b", [holder(a="")], "DescriptorNotFound", "has no binaryData[b]; there are: a.binpb"),
        ("ConfigMap/shop", [holder(a="", b="")], "DescriptorNotFound", "there are: a.binpb, b.binpb"),
        ("Secret/shop", [holder("Secret", a="?")], "InvalidDescriptor", "user-platform/shop: a.binpb is not base64"),
        ("ConfigMap/shop", [holder(a="")], "InvalidDescriptor", "a.binpb has no service"),
        ("File/shop", [], "InvalidAnnotation", "'File/shop' is not reflection, ConfigMap/NAME,"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_grpc_is_served(stated: str, objects: list[Object], reason: str, said: str) -> None:
    found = translation(stated, *objects)
    conditions = status_of(found, "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert verdict(conditions, ANNOTATIONS_USABLE) == ("False", reason)
    assert said in message(conditions, ANNOTATIONS_USABLE)
    assert verdict(conditions, "Accepted")[0] == "True"
    assert len(lines(found)) == 1


def test_descriptors_of_other_services_are_of_no_use() -> None:
    found = translation("ConfigMap/shop", holder(shop=ENCODED), matches=(method("other.Service"),))
    conditions = status_of(found, "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert "no match of the route is for a method of shop.Shop" in message(conditions, ANNOTATIONS_USABLE)


def test_good_ones_are_not_spoken_of() -> None:
    found = translation("ConfigMap/shop/shop.binpb", holder(shop=ENCODED))
    conditions = status_of(found, "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert find_condition(conditions, ANNOTATIONS_USABLE) is None


CLUSTER = "user-platform/foo-svc/50051/h2"


def by_reflection(told: bytes | str | None = None) -> tuple[list[ir.Route], str]:
    """Return the lines of a route that asks its backend for descriptors, and what is said of its annotations."""
    route = grpc_route("foo", rule(backend("foo-svc")), annotations={"roadstead.dev/json-transcoding": "reflection"})
    known = {} if told is None else {CLUSTER: told}
    found = translated(gateway_class(), gateway(), service("foo-svc"), route, reflected=known)
    condition = find_condition(status_of(found, "GRPCRoute", "foo")["parents"][0]["conditions"], ANNOTATIONS_USABLE)
    return lines(found), f"{condition['reason']}: {condition['message']}" if condition else ""


def test_descriptors_from_reflection_as_soon_as_they_are_known() -> None:
    found, said = by_reflection()
    assert len(found) == 1
    assert said.endswith("backend user-platform/foo-svc/50051: has not been asked yet")
    found, said = by_reflection(told=descriptor_set(SHOP))
    assert [route.match.method for route in found] == ["POST", "GET", "PUT", ""]
    assert said == ""


@pytest.mark.parametrize(("told", "said"), [("does not answer", "does not answer"), (b"", "has no service")])
def test_a_backend_that_does_not_describe_itself_is_told_of(told: bytes | str, said: str) -> None:
    found, message_ = by_reflection(told=told)
    assert len(found) == 1
    assert message_.startswith("ReflectionFailed: ")
    assert message_.endswith(said)
