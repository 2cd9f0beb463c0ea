"""Listeners of a Gateway: which can be served, which contradict each other, who may attach to them.

Source of the rules: gateway-api, apis/v1/gateway_types.go (Listener, ListenerConditionReason).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from roadstead.api.objects import Object, ObjectKey, key_of, labels_of
from roadstead.api.selectors import label_selector_from
from roadstead.gateway.ir import TrustBundle, container_port
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.translate.certificates import (
    ServerCertificate,
    UnusableSecret,
    chain_problem,
    server_certificate,
    validity_problem,
)
from roadstead.gateway.translate.fields import integer, mapping, mappings, spec_of, text
from roadstead.gateway.translate.hostnames import ANY, is_hostname, normal
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.references import Referrer, Target, is_permitted, not_permitted_message
from roadstead.gateway.translate.tlsoptions import DEFAULT_OPTIONS, TlsOptions, read_tls_options

HTTP, HTTPS, TLS, TCP = "HTTP", "HTTPS", "TLS", "TCP"
TERMINATE, PASSTHROUGH = "Terminate", "Passthrough"
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")
_OFFERED: Mapping[str, tuple[str, ...]] = {
    HTTP: ROUTE_KINDS,
    HTTPS: ROUTE_KINDS,
    TLS: ("TLSRoute",),
    TCP: ("TCPRoute",),
}
"""The protocols that are served, each with the kinds of routes that can attach."""
_LARGEST_PORT = 65535
_UNSERVED = {"UDP": "UDP listeners are not served"}


@dataclass(frozen=True, slots=True)
class NamespaceRule:
    """From which namespaces routes may attach: `allowedRoutes.namespaces`."""

    source: str
    own: str
    selector: Mapping[str, Any]

    def allows(self, namespace: str, resources: Resources) -> bool:
        """Say whether a route of this namespace may attach."""
        if self.source == "All":
            return True
        if self.source == "Same":
            return namespace == self.own
        found = resources.namespaces.get(ObjectKey("", namespace))
        return self.source == "Selector" and found is not None and _selects(self.selector, found)


@dataclass(frozen=True, slots=True)
class ClientCheck:
    """Clients must show a certificate that `trust` has signed; if `optional`, they are let in without one, too."""

    trust: TrustBundle
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    """One listener, decided: what it serves and what is wrong with it.

    `unaccepted`: it cannot be served as written. `conflict`: another one claims the same. `unresolved`: a certificate
    or a route kind in it cannot be had. `warnings`: served, though clients will not like it. `origin`: the ListenerSet
    that it comes from, None if it is the Gateway's own. `clients`: what it asks of them. `mode`: what becomes of TLS,
    empty without TLS.
    """

    name: str
    port: int
    protocol: str
    hostname: str
    kinds: tuple[str, ...]
    namespaces: NamespaceRule
    unaccepted: Problem | None = None
    conflict: Problem | None = None
    unresolved: Problem | None = None
    certificates: tuple[ServerCertificate, ...] = ()
    warnings: tuple[Problem, ...] = ()
    origin: ObjectKey | None = None
    clients: ClientCheck | None = None
    mode: str = ""
    options: TlsOptions = DEFAULT_OPTIONS

    @property
    def label(self) -> str:
        """Its name among all listeners of the Gateway, those of ListenerSets included."""
        return f"{self.origin}/{self.name}" if self.origin else self.name

    @property
    def is_accepted(self) -> bool:
        """Say whether the listener itself is in order; certificates apart."""
        return self.unaccepted is None and self.conflict is None

    @property
    def is_served(self) -> bool:
        """Say whether the proxy listens for it."""
        return self.is_accepted and (self.mode in ("", PASSTHROUGH) or bool(self.certificates))


def plan_listeners(gateway: Object, resources: Resources) -> tuple[ListenerPlan, ...]:
    """Return the Gateway's own listeners in the order of the manifest."""
    referrer = Referrer("Gateway", key_of(gateway).namespace)
    plans = [plan_listener(entry, referrer, resources) for entry in mappings(spec_of(gateway).get("listeners"))]
    return _without_conflicts(plans)


def plan_listener(
    entry: Mapping[str, Any], referrer: Referrer, resources: Resources, *, origin: ObjectKey | None = None
) -> ListenerPlan:
    """Return one listener as its manifest alone has it; `referrer` is the kind and namespace of that manifest."""
    protocol = text(entry.get("protocol"))
    allowed = mapping(entry.get("allowedRoutes"))
    plan = ListenerPlan(
        name=text(entry.get("name")),
        port=integer(entry.get("port")),
        protocol=protocol,
        hostname=ANY if protocol == TCP else normal(text(entry.get("hostname"))),
        kinds=_OFFERED.get(protocol, ()),
        namespaces=namespace_rule(allowed, referrer.namespace),
        origin=origin,
        mode=text(mapping(entry.get("tls")).get("mode"), TERMINATE) if protocol in (HTTPS, TLS) else "",
    )
    unaccepted = _protocol_problem(protocol) or _port_problem(plan.port) or _hostname_problem(plan.hostname)
    if unaccepted:
        return replace(plan, unaccepted=unaccepted, kinds=(), unresolved=_kinds(allowed, plan.kinds)[1])
    kinds, unknown = _kinds(allowed, plan.kinds)
    plan = replace(plan, kinds=kinds, unresolved=unknown)
    return _with_tls(plan, referrer, mapping(entry.get("tls")), resources) if plan.mode else plan


def _protocol_problem(protocol: str) -> Problem | None:
    if protocol in _OFFERED:
        return None
    message = _UNSERVED.get(protocol, f"protocol {protocol!r} is not one of {', '.join(_OFFERED)}")
    return Problem("UnsupportedProtocol", message)


def _port_problem(port: int) -> Problem | None:
    if 0 < port <= _LARGEST_PORT:
        return None
    return Problem("PortUnavailable", f"port {port} is not between 1 and {_LARGEST_PORT}")


def _hostname_problem(hostname: str) -> Problem | None:
    if is_hostname(hostname):
        return None
    return Problem("UnsupportedValue", f"hostname: {hostname!r} is not a host name")


def namespace_rule(allowed: Mapping[str, Any], own: str, *, otherwise: str = "Same") -> NamespaceRule:
    """Return the rule that `allowedRoutes` or `allowedListeners` states, or `otherwise` if it states none."""
    rule = mapping(allowed.get("namespaces"))
    return NamespaceRule(text(rule.get("from"), otherwise), own, mapping(rule.get("selector")))


def _selects(selector: Mapping[str, Any], namespace: Object) -> bool:
    terms = [
        {"key": text(term.get("key")), "operator": text(term.get("operator")), "values": term.get("values") or ()}
        for term in mappings(selector.get("matchExpressions"))
    ]
    wanted = {"matchLabels": mapping(selector.get("matchLabels")), "matchExpressions": terms}
    return label_selector_from(wanted).matches(labels_of(namespace))


def _kinds(allowed: Mapping[str, Any], offered: tuple[str, ...]) -> tuple[tuple[str, ...], Problem | None]:
    wanted = mappings(allowed.get("kinds"))
    if not wanted:
        return offered, None
    named = [(text(entry.get("group"), GATEWAY_GROUP), text(entry.get("kind"))) for entry in wanted]
    known = tuple(kind for group, kind in named if group == GATEWAY_GROUP and kind in offered)
    unknown = [kind for group, kind in named if group != GATEWAY_GROUP or kind not in offered]
    if not unknown:
        return known, None
    can = f"{' and '.join(offered)} can" if offered else "none can"
    message = f"allowedRoutes.kinds: {', '.join(unknown)} cannot attach to this listener; {can}"
    return known, Problem("InvalidRouteKinds", message)


def _with_tls(plan: ListenerPlan, referrer: Referrer, tls: Mapping[str, Any], resources: Resources) -> ListenerPlan:
    modes = (TERMINATE,) if plan.protocol == HTTPS else (TERMINATE, PASSTHROUGH)
    if plan.mode not in modes:
        message = f"tls.mode of a listener for {plan.protocol} must be {' or '.join(modes)}"
        return replace(plan, unaccepted=Problem("UnsupportedValue", message))
    options = read_tls_options(tls, ends_here=plan.mode == TERMINATE)
    if isinstance(options, Problem):
        return replace(plan, unaccepted=options)
    plan = replace(plan, options=options)
    return plan if plan.mode == PASSTHROUGH else _with_certificates(plan, referrer, tls, resources)


def _with_certificates(
    plan: ListenerPlan, referrer: Referrer, tls: Mapping[str, Any], resources: Resources
) -> ListenerPlan:
    found: list[ServerCertificate] = []
    problems = [plan.unresolved] if plan.unresolved else []
    references = mappings(tls.get("certificateRefs"))
    if not references:
        problems.append(Problem("InvalidCertificateRef", "tls.certificateRefs is empty; name a Secret"))
    for index, reference in enumerate(references):
        certificate = referenced_certificate(referrer, f"tls.certificateRefs[{index}]", reference, resources)
        if isinstance(certificate, Problem):
            problems.append(certificate)
        else:
            found.append(certificate)
    judged = (problem for one in found for problem in (validity_problem(one, resources.now), chain_problem(one)))
    warnings = [problem for problem in judged if problem]
    return replace(plan, certificates=tuple(found), unresolved=joined(problems), warnings=tuple(warnings))


def referenced_certificate(
    referrer: Referrer, field: str, reference: Mapping[str, Any], resources: Resources
) -> ServerCertificate | Problem:
    """Return the certificate that a reference in the field of a manifest means, or why it means none."""
    target = Target(
        text(reference.get("group")),
        text(reference.get("kind"), "Secret"),
        text(reference.get("namespace")) or referrer.namespace,
        text(reference.get("name")),
    )
    if (target.group, target.kind) != ("", "Secret"):
        kind = f"{target.kind}.{target.group}" if target.group else target.kind
        return Problem("InvalidCertificateRef", f"{field}: {kind} is not a kind of certificate; use Secret")
    if not is_permitted(resources, referrer, target):
        return Problem("RefNotPermitted", not_permitted_message(field, referrer, target))
    secret = resources.secrets.get(ObjectKey(target.namespace, target.name))
    if secret is None:
        return Problem("InvalidCertificateRef", f"{field}: {target} does not exist")
    try:
        return server_certificate(secret)
    except UnusableSecret as unusable:
        return Problem("InvalidCertificateRef", f"{field}: {unusable}")


def is_offered(kind: str, protocol: str) -> bool:
    """Say whether routes of this kind can attach to listeners for this protocol."""
    return kind in _OFFERED.get(protocol, ())


def are_told_apart(one: str, other: str) -> bool:
    """Say whether listeners of these two protocols can share a port: those that know the host name from the SNI can."""
    return one == other or {one, other} == {HTTPS, TLS}


def _without_conflicts(plans: Sequence[ListenerPlan]) -> tuple[ListenerPlan, ...]:
    """Mark every listener that is not distinct: none of them wins (gateway_types.go, Listeners)."""
    by_port: dict[int, list[ListenerPlan]] = defaultdict(list)
    by_bind: dict[int, set[int]] = defaultdict(set)
    for plan in plans:
        if plan.unaccepted is None:
            by_port[plan.port].append(plan)
            by_bind[container_port(plan.port)].add(plan.port)
    return tuple(_judged(plan, by_port[plan.port], by_bind) if plan.unaccepted is None else plan for plan in plans)


def _judged(plan: ListenerPlan, neighbours: list[ListenerPlan], by_bind: dict[int, set[int]]) -> ListenerPlan:
    others = [other for other in neighbours if other is not plan]
    protocols = sorted({one.protocol for one in others if not are_told_apart(one.protocol, plan.protocol)})
    same = [other.name for other in others if other.hostname == plan.hostname]
    clash = by_bind[container_port(plan.port)] - {plan.port}
    if protocols:
        message = f"port {plan.port} is claimed for {plan.protocol} and for {', '.join(protocols)}; use different ports"
        return replace(plan, conflict=Problem("ProtocolConflict", message))
    if same:
        message = f"listener {', '.join(same)} has the same port {plan.port} and host name {plan.hostname}"
        return replace(plan, conflict=Problem("HostnameConflict", message))
    if clash:
        message = f"ports {plan.port} and {min(clash)} are the same port {container_port(plan.port)} inside the proxy"
        return replace(plan, unaccepted=Problem("PortUnavailable", message), kinds=())
    return plan
