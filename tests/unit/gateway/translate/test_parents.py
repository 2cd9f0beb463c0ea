from typing import Any

import pytest
from gateway_objects import (
    gateway,
    gateway_class,
    grpc_route,
    http_listener,
    message,
    parent,
    status_of,
    stored,
    translated,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway.resources import CONTROLLER_NAME

LISTENERS = (http_listener("plain", "*.example.com"), http_listener("other", "bar.org", port=8080))


def parents(*references: Object, listeners: tuple[Object, ...] = LISTENERS, **more: Any) -> list[Object]:
    route = grpc_route("foo", parents=references, **more)
    status = status_of(translated(gateway_class(), gateway(*listeners), route), "GRPCRoute", "foo")
    found: list[Object] = status["parents"]
    return found


def test_a_parent_is_told_apart_by_its_reference_as_written() -> None:
    found = parents(parent(sectionName="plain"), parent(port=8080))
    assert [one["parentRef"] for one in found] == [
        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "example-gateway", "sectionName": "plain"},
        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "example-gateway", "port": 8080},
    ]
    assert {one["controllerName"] for one in found} == {CONTROLLER_NAME}
    assert {verdict(one["conditions"], "Accepted") for one in found} == {("True", "Accepted")}


@pytest.mark.parametrize(
    ("reference", "hostnames", "reason", "words"),
    [
        (
            parent(sectionName="absent"),
            [],
            "NoMatchingParent",
            "has no listener named absent; it has plain (80), other",
        ),
        (parent(port=81), [], "NoMatchingParent", "has no listener on port 81"),
        (parent(sectionName="plain", port=8080), [], "NoMatchingParent", "named plain on port 8080"),
        (parent(), ["a.com"], "NoMatchingListenerHostname", "no host name of a.com is one of Gateway"),
        (parent(sectionName="other"), ["a.example.com"], "NoMatchingListenerHostname", "listens for bar.org"),
        (parent(), ["example.com"], "NoMatchingListenerHostname", ""),
    ],
)
def test_why_a_route_does_not_attach(reference: Object, hostnames: list[str], reason: str, words: str) -> None:
    (found,) = parents(reference, hostnames=hostnames)
    assert verdict(found["conditions"], "Accepted") == ("False", reason)
    assert words in message(found["conditions"], "Accepted")


def test_one_host_name_that_fits_is_enough() -> None:
    (found,) = parents(parent(), hostnames=["elsewhere.org", "a.example.com"])
    assert verdict(found["conditions"], "Accepted") == ("True", "Accepted")


def test_a_listener_for_another_kind_does_not_allow() -> None:
    only = http_listener(allowedRoutes={"kinds": [{"kind": "HTTPRoute"}]})
    (found,) = parents(parent(), listeners=(only,))
    assert verdict(found["conditions"], "Accepted") == ("False", "NotAllowedByListeners")
    assert "takes no GRPCRoute; see allowedRoutes.kinds" in message(found["conditions"], "Accepted")


def test_another_namespace_is_not_allowed_unless_said_so() -> None:
    (found,) = parents(parent(namespace="user-platform"), namespace="elsewhere")
    assert verdict(found["conditions"], "Accepted") == ("False", "NotAllowedByListeners")
    assert "takes no routes of namespace elsewhere" in message(found["conditions"], "Accepted")


def test_parents_that_are_not_ours_are_not_spoken_of() -> None:
    mesh = {"group": "", "kind": "Service", "name": "echo"}
    assert len(parents(mesh, parent(name="theirs"), parent())) == 1


def test_a_route_that_leaves_loses_our_entries_only() -> None:
    route = grpc_route("foo", parents=[parent(name="theirs")])
    route["status"] = {"parents": [{"controllerName": CONTROLLER_NAME, "parentRef": {"name": "example-gateway"}}]}
    translation = translated(gateway_class(), gateway(), route)
    assert status_of(translation, "GRPCRoute", "foo") == {"parents": []}


def test_a_route_that_was_never_ours_is_left_alone() -> None:
    route = stored(grpc_route("foo", parents=[parent(name="theirs")]))
    assert [update.kind for update in translated(gateway_class(), route).statuses] == ["GatewayClass"]
