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
    rule,
    secret,
    service,
    status_of,
    stored,
    translated,
    verdict,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway.translate import Translation

OWN = http_listener("own", "own.example.com")
TEAM = "team"


def listener_set(name: str, *listeners: Object, namespace: str = TEAM, created: str = "2026-11-22T11:00:00Z") -> Object:
    reference = {"kind": "Gateway", "name": GATEWAY.name, "namespace": GATEWAY.namespace}
    spec = {"parentRef": reference, "listeners": list(listeners)}
    return namespaced(
        "gateway.networking.k8s.io/v1", "ListenerSet", name, spec, namespace=namespace, creationTimestamp=created
    )


def namespace(name: str, **labels: str) -> Object:
    return stored({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def served(*found: Object, allowed: Any = "All", own: tuple[Object, ...] = (OWN,)) -> Translation:
    rule_ = {"from": allowed} if isinstance(allowed, str) else allowed
    allowing = gateway(*own, allowedListeners={"namespaces": rule_}) if rule_ else gateway(*own)
    return translated(gateway_class(), allowing, namespace(TEAM, kind="team"), *found)


def says(translation: Translation, name: str) -> dict[str, tuple[str, str]]:
    conditions = status_of(translation, "ListenerSet", name)["conditions"]
    return {one["type"]: verdict(conditions, one["type"]) for one in conditions}


def entry(translation: Translation, name: str, listener: str) -> Object:
    listeners = status_of(translation, "ListenerSet", name)["listeners"]
    return next(one for one in listeners if one["name"] == listener)


def attached(translation: Translation) -> int:
    return int(status_of(translation, "Gateway", GATEWAY.name)["attachedListenerSets"])


@pytest.mark.parametrize(
    ("allowed", "taken"),
    [
        (None, False),
        ("None", False),
        ("Same", False),
        ("All", True),
        ({"from": "Selector", "selector": {"matchLabels": {"kind": "team"}}}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"kind": "other"}}}, False),
    ],
)
def test_a_gateway_takes_the_listener_sets_that_it_allows(allowed: Any, taken: bool) -> None:
    translation = served(listener_set("set", http_listener("added", "added.example.com")), allowed=allowed)
    assert attached(translation) == int(taken)
    assert bool(status_of(translation, "ListenerSet", "set")["listeners"]) is taken
    expected = ("True", "Accepted") if taken else ("False", "NotAllowed")
    assert says(translation, "set")["Accepted"] == expected
    (listener,) = translation.proxies[PROXY].listeners
    assert listener.chains[0].listeners == ("own", *(["team/set/added"] if taken else []))


def test_without_listener_sets_a_gateways_status_does_not_speak_of_them() -> None:
    assert "attachedListenerSets" not in status_of(served(), "Gateway", GATEWAY.name)


def test_the_gateways_own_listener_wins_then_that_of_the_older_set_then_of_the_lower_name() -> None:
    here, there = http_listener("here", "own.example.com"), http_listener("there", "there.example.com")
    translation = served(
        listener_set("b-late", there, created="2026-11-22T11:00:01Z"),
        listener_set("b", there),
        listener_set("a", here, there),
    )
    lost = {"Accepted": "False", "Programmed": "False", "Conflicted": "True"}
    for name, listener in (("a", "here"), ("b", "there"), ("b-late", "there")):
        found = entry(translation, name, listener)["conditions"]
        assert {kind: verdict(found, kind) for kind in lost} == {
            kind: (value, "HostnameConflict") for kind, value in lost.items()
        }
    assert "listener team/a/there, which goes first" in message(found, "Conflicted")
    assert verdict(entry(translation, "a", "there")["conditions"], "Accepted") == ("True", "Accepted")
    assert says(translation, "a")["Accepted"] == ("True", "ListenersNotValid")
    assert says(translation, "b") == dict.fromkeys(("Accepted", "Programmed"), ("False", "ListenersNotValid"))
    assert attached(translation) == 1


def test_another_protocol_on_a_port_in_use_is_a_conflict_even_if_it_is_not_served() -> None:
    translation = served(listener_set("set", {"name": "bytes", "port": 80, "protocol": "TCP"}))
    found = entry(translation, "set", "bytes")["conditions"]
    assert verdict(found, "Accepted") == ("False", "ProtocolConflict")
    assert verdict(found, "Programmed") == ("False", "ProtocolConflict")


def test_a_port_that_would_be_the_same_inside_the_proxy_is_not_available() -> None:
    translation = served(listener_set("set", http_listener("clash", port=10080)))
    assert verdict(entry(translation, "set", "clash")["conditions"], "Accepted") == ("False", "PortUnavailable")


def test_a_reference_needs_a_grant_to_listener_sets_not_to_gateways() -> None:
    listener = https_listener("secure", "secure.example.com")
    listener["tls"]["certificateRefs"][0]["namespace"] = "certificates"
    pair = secret("example-gateway", key_pair("secure.example.com"), namespace="certificates")

    def resolved(kind: str) -> tuple[str, str]:
        allow = grant("certificates", [("gateway.networking.k8s.io", kind, TEAM)], [("", "Secret")])
        made = served(listener_set("set", listener), pair, allow)
        return verdict(entry(made, "set", "secure")["conditions"], "ResolvedRefs")

    assert resolved("ListenerSet") == ("True", "ResolvedRefs")
    assert resolved("Gateway") == ("False", "RefNotPermitted")


def test_routes_attach_to_the_gateways_listeners_or_to_those_of_a_set() -> None:
    def route(route_name: str, **reference: Any) -> Object:
        return grpc_route(route_name, rule(backend("foo-svc")), parents=[reference], namespace=TEAM)

    every = {"allowedRoutes": {"namespaces": {"from": "All"}}}
    translation = served(
        listener_set("set", http_listener("added", "added.example.com")),
        service("foo-svc", namespace=TEAM),
        route("to-gateway", name=GATEWAY.name, namespace=GATEWAY.namespace),
        route("to-set", kind="ListenerSet", name="set"),
        route("to-nothing", name=GATEWAY.name, namespace=GATEWAY.namespace, sectionName="added"),
        route("to-no-set", kind="ListenerSet", name="absent"),
        own=(OWN | every,),
    )

    def served_at(host: str) -> set[str]:
        return {one.source.name for one in virtual_host(translation, host).routes if one.source}

    assert served_at("own.example.com") == {"to-gateway"}
    assert served_at("added.example.com") == {"to-set"}
    assert entry(translation, "set", "added")["attachedRoutes"] == 1
    (parent,) = status_of(translation, "GRPCRoute", "to-set")["parents"]
    assert parent["parentRef"] == {"group": "gateway.networking.k8s.io", "kind": "ListenerSet", "name": "set"}
    (parent,) = status_of(translation, "GRPCRoute", "to-nothing")["parents"]
    assert verdict(parent["conditions"], "Accepted") == ("False", "NoMatchingParent")
    assert not [one for one in translation.statuses if one.key.name == "to-no-set"]


def test_a_gateway_that_is_not_served_takes_no_listener_set() -> None:
    allowing = gateway(OWN, allowedListeners={"namespaces": {"from": "All"}}, addresses=[{"type": "a/b", "value": "c"}])
    translation = translated(gateway_class(), allowing, listener_set("set", http_listener("added", "a.example.com")))
    assert says(translation, "set") == dict.fromkeys(("Accepted", "Programmed"), ("False", "ParentNotAccepted"))
    assert attached(translation) == 0
