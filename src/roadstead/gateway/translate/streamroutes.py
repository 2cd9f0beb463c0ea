"""TLSRoute and TCPRoute: connections are led to a backend as a whole, by the name that the client asks for (SNI).

Source: gateway-api, apis/v1/tlsroute_types.go, tcproute_types.go. What a listener does with TLS decides what is sent
on: `Passthrough` the client's own TLS; `Terminate` what is inside it, encrypted anew where a BackendTLSPolicy says so.
A route does not know its listeners, so both are planned. Next: `streams`, where routes meet at a listener.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from roadstead.api.objects import Object, key_of, metadata_of
from roadstead.gateway.ir import Cluster, Destination, RouteSource, Stream
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.annotations import read_annotations
from roadstead.gateway.translate.backends import POLICY_NOT_KEPT, read_reference, resolve, weight_of
from roadstead.gateway.translate.fields import mappings, spec_of, text, texts
from roadstead.gateway.translate.hostnames import is_hostname, normal
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.references import Referrer
from roadstead.gateway.translate.routes import RoutePlan


class Streaming(NamedTuple):
    """Where connections go, and the clusters that this takes; `unresolved`: references that lead nowhere."""

    stream: Stream = Stream()
    clusters: tuple[Cluster, ...] = ()
    unresolved: tuple[Problem, ...] = ()


NOWHERE = Streaming()


@dataclass(frozen=True, slots=True)
class StreamRoutePlan(RoutePlan):
    """A route of connections, decided: where those go that are passed on, and those whose TLS ends at the listener."""

    passed: Streaming = NOWHERE
    ended: Streaming = NOWHERE


def plan_tls_route(route: Object, resources: Resources) -> StreamRoutePlan:
    """Return what a TLSRoute adds to the listeners that it attaches to."""
    return _plan(route, "TLSRoute", resources)


def plan_tcp_route(route: Object, resources: Resources) -> StreamRoutePlan:
    """Return what a TCPRoute adds to the listeners that it attaches to; it has no host names."""
    return _plan(route, "TCPRoute", resources)


def _plan(route: Object, kind: str, resources: Resources) -> StreamRoutePlan:
    spec, key = spec_of(route), key_of(route)
    hostnames = tuple(dict.fromkeys(normal(name) for name in texts(spec.get("hostnames"))))
    age = (text(metadata_of(route).get("creationTimestamp")), str(key))
    named = hostnames if kind == "TLSRoute" else ()
    plan = StreamRoutePlan(route, kind, key, age, named, unheeded=read_annotations(route).problem)
    wrong = [name for name in plan.hostnames if not is_hostname(name)]
    if wrong:
        message = f"spec.hostnames: {', '.join(map(repr, wrong))} is not a host name"
        return replace(plan, unaccepted=Problem("UnsupportedValue", message))
    rules = mappings(spec.get("rules"))
    rule = rules[0] if rules else {}
    source = RouteSource(kind, key.namespace, key.name, rule_name=text(rule.get("name")))
    ended = _streaming(rule, source, resources)
    passed = _streaming(rule, source, replace(resources, backend_tls={})) if resources.backend_tls else ended
    further = Problem("UnsupportedValue", f"spec.rules: a {kind} has one rule; the others are not served")
    return replace(
        plan,
        passed=passed,
        ended=ended,
        dropped=further if len(rules) > 1 else None,
        unresolved=joined(list(passed.unresolved)),
    )


def _streaming(rule: Mapping[str, Any], source: RouteSource, resources: Resources) -> Streaming:
    referrer = Referrer(source.kind, source.namespace)
    clusters: list[Cluster] = []
    destinations: list[Destination] = []
    problems: list[Problem] = []
    refused, reasons = 0, []
    for number, entry in enumerate(mappings(rule.get("backendRefs"))):
        weight = weight_of(entry)
        found = resolve(read_reference(entry, f"spec.rules[0].backendRefs[{number}]", referrer), resources)
        if isinstance(found, Problem):
            problems.append(found)
            refused += weight
            reasons += [found.message] if weight else []
        elif weight:
            clusters.append(found)
            destinations.append(Destination(found.name, weight))
    if not destinations and not refused:
        reasons.append("every backendRef has weight 0" if rule.get("backendRefs") else "it has no backendRefs")
    stream = Stream(_summed(destinations), refused, "; ".join(reasons), source)
    unresolved = tuple(problem for problem in problems if problem.reason != POLICY_NOT_KEPT)
    return Streaming(stream, tuple(dict.fromkeys(clusters)), unresolved)


def _summed(destinations: list[Destination]) -> tuple[Destination, ...]:
    """Return each cluster once: two references to one Service port are one destination with both weights."""
    weights: dict[str, int] = {}
    for one in destinations:
        weights[one.cluster] = weights.get(one.cluster, 0) + one.weight
    return tuple(Destination(cluster, weight) for cluster, weight in weights.items())
