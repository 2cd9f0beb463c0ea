"""A route's status tells which of its rules Envoy does not take; its Gateway serves everything else."""

from gateway_objects import (
    GATEWAY,
    NAMESPACE,
    PROXY,
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_listener,
    message,
    method,
    objects,
    resources,
    rule,
    service,
    status_of,
    verdict,
)

from roadstead.gateway.ir import INGRESS_PROXY_KEY, ProxyState, Rejection, RouteSource
from roadstead.gateway.translate import Translator, everything, translate

ROUTE = grpc_route(
    "foo-route",
    rule(backend("foo-svc"), matches=[method("com.example.User", "Login")]),
    rule(backend("foo-svc"), matches=[method("com.example.User", "Delete")]),
)
OBJECTS = [gateway_class(), gateway(http_listener()), service("foo-svc"), ROUTE]


INGRESS = f"""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: echo, namespace: {NAMESPACE}}}
spec:
  ingressClassName: nginx
  rules: [{{http: {{paths: []}}}}]
"""


def refusing(*rules, name="foo-route"):
    sources = [RouteSource("GRPCRoute", NAMESPACE, name, number) for number in rules]
    return {PROXY: ProxyState(1, rejections=tuple(Rejection("routes", "too large", source) for source in sources))}


def conditions(translation, name="foo-route"):
    return status_of(translation, "GRPCRoute", name)["parents"][0]["conditions"]


def test_a_rule_that_envoy_refuses_is_told_at_its_route():
    translation = translate(resources(OBJECTS, proxy_states=refusing(1)))
    found = conditions(translation)
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, "PartiallyInvalid") == ("True", "UnsupportedValue")
    assert message(found, "PartiallyInvalid") == "Dropped Rule: spec.rules[1]: Envoy refuses it: too large"
    of_gateway = status_of(translation, "Gateway", GATEWAY.name)["conditions"]
    assert "refused" not in message(of_gateway, "Programmed")


def test_what_is_served_instead_is_told_where_all_envoys_that_refuse_the_rule_have_it():
    source = RouteSource("GRPCRoute", NAMESPACE, "foo-route", 1)
    for kept, told in (((0, 2), True), ((0, None), False), ((None, 0), False)):
        found = tuple(Rejection(f"routes {each}", "It is too large. ", source, each) for each in kept)
        state = {PROXY: ProxyState(1, rejections=found)}
        said = message(conditions(translate(resources(OBJECTS, proxy_states=state))), "PartiallyInvalid")
        instead = "; what it said before is served on" if told else ""
        assert said == f"Dropped Rule: spec.rules[1]: Envoy refuses it: It is too large{instead}"


def test_a_route_is_accepted_as_long_as_one_rule_is_served_as_it_is_or_was():
    sources = [RouteSource("GRPCRoute", NAMESPACE, "foo-route", number) for number in (0, 1)]
    found = tuple(
        Rejection("routes", "too large", source, kept) for source, kept in zip(sources, (None, 0), strict=True)
    )
    said = conditions(translate(resources(OBJECTS, proxy_states={PROXY: ProxyState(1, rejections=found)})))
    assert verdict(said, "Accepted") == ("True", "Accepted")
    assert verdict(said, "PartiallyInvalid") == ("True", "UnsupportedValue")


def test_a_route_of_which_nothing_is_left_is_not_accepted():
    found = conditions(translate(resources(OBJECTS, proxy_states=refusing(0, 1))))
    assert verdict(found, "Accepted") == ("False", "UnsupportedValue")
    assert "spec.rules[0]" in message(found, "Accepted")
    assert "spec.rules[1]" in message(found, "Accepted")
    assert [one["type"] for one in found] == ["Accepted", "ResolvedRefs"]


def test_another_routes_rule_is_nothing_to_this_one():
    found = conditions(translate(resources(OBJECTS, proxy_states=refusing(0, name="bar-route"))))
    assert [(one["type"], one["status"]) for one in found] == [("Accepted", "True"), ("ResolvedRefs", "True")]


def test_it_is_told_when_envoy_says_so_and_no_longer_than_that():
    def said(proxy_states, changes):
        translator.advance(resources(OBJECTS, proxy_states=proxy_states), changes)
        updates = [each for found in translator.statuses().values() for each in found if each.kind == "GRPCRoute"]
        return [[one["type"] for one in each.status["parents"][0]["conditions"]] for each in updates]

    translator, changed = Translator(), {"proxy_states": [PROXY]}
    usual = ["Accepted", "ResolvedRefs"]
    assert said({}, everything(resources(OBJECTS))) == [usual]
    assert said(refusing(1), changed) == [[*usual, "PartiallyInvalid"]]
    assert said(refusing(1), changed) == []
    assert said({}, changed) == [usual]


def test_of_an_ingress_an_event_tells():
    ingress = objects(INGRESS)[0]
    source = RouteSource("Ingress", NAMESPACE, "echo", 0)
    states = {INGRESS_PROXY_KEY: ProxyState(1, rejections=(Rejection("routes", "too large", source),))}
    translator = Translator()
    translator.advance(resources([ingress]), everything(resources([ingress])))
    translator.advance(resources([ingress], proxy_states=states), {"proxy_states": [INGRESS_PROXY_KEY]})
    (notice,) = translator.notices
    told = f"Ingress {NAMESPACE}/echo rule 0 is left out, since Envoy refuses it: too large"
    assert (notice.regarding["metadata"]["name"], notice.reason, notice.message) == ("echo", "Refused", told)
