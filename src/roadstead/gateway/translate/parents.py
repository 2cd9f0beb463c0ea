"""Which listeners a route attaches to, parent by parent: section, port, kind, namespace, host names.

Source: gateway-api, apis/v1/shared_types.go (ParentReference, RouteConditionReason).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway.ir import Parameters
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.translate.clientcertificates import BackendIdentity
from roadstead.gateway.translate.fields import integer, mappings, spec_of, text
from roadstead.gateway.translate.hostnames import ANY, intersection
from roadstead.gateway.translate.listeners import ListenerPlan, is_offered
from roadstead.gateway.translate.listenersets import KIND, ListenerSetPlan
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.routes import RoutePlan
from roadstead.gateway.translate.telemetry import TelemetryPlan

_REFERENCE_FIELDS = ("group", "kind", "namespace", "name", "sectionName", "port")


@dataclass(frozen=True, slots=True)
class GatewayTarget:
    """What routes see of a Gateway of ours. It stays equal while only the Gateway's status changes.

    `listeners`: its own, then those of ListenerSets. `sets`: the ListenerSets that name it, also those it refuses.
    """

    key: ObjectKey
    controller_name: str
    listeners: tuple[ListenerPlan, ...]
    sets: frozenset[ObjectKey] = frozenset()


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """A Gateway of ours, decided.

    `invalid`: why it is not served at all. `sets`: the ListenerSets that name it. `identity`: its certificate as a
    client of backends. `parameters`: how its Envoys are run, or why that cannot be said; it is served all the same.
    `telemetry`: what they tell of requests. `reflects`: hosts answer reflection for all their backends.
    """

    obj: Object
    target: GatewayTarget
    invalid: Problem | None = None
    sets: tuple[ListenerSetPlan, ...] = ()
    identity: BackendIdentity | None = None
    parameters: Parameters | Problem = field(default_factory=Parameters)
    telemetry: TelemetryPlan = field(default_factory=TelemetryPlan)
    reflects: bool = False

    @property
    def key(self) -> ObjectKey:
        """Its namespace and name."""
        return self.target.key

    @property
    def listeners(self) -> tuple[ListenerPlan, ...]:
        """Its listeners in the order of the manifest, then those of ListenerSets."""
        return self.target.listeners

    @property
    def own_listeners(self) -> tuple[ListenerPlan, ...]:
        """The listeners of its own manifest."""
        return tuple(one for one in self.listeners if one.origin is None)


Targets = Mapping[ObjectKey, GatewayTarget]


class Claim(NamedTuple):
    """A host name under which a route is served at a listener: as the route writes it, and what is left of it there."""

    written: str
    effective: str


class Attachment(NamedTuple):
    """A route at one listener; `listener` is an index into the Gateway's listeners."""

    listener: int
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """What has become of one of a route's parentRefs. Without a problem there is at least one attachment."""

    reference: Mapping[str, Any]
    gateway: GatewayTarget
    problem: Problem | None
    attachments: tuple[Attachment, ...] = ()


class _Meant(NamedTuple):
    """What a parentRef names: a Gateway's own listeners, or those of one of its ListenerSets; with their indices."""

    named: str
    kind: str
    gateway: GatewayTarget
    listeners: tuple[tuple[int, ListenerPlan], ...]


def attach(plan: RoutePlan, gateways: Targets, resources: Resources) -> tuple[Parent, ...]:
    """Return the parents of a route that are ours, in the order of the manifest."""
    parents = []
    for entry in mappings(spec_of(plan.obj).get("parentRefs")):
        meant = _meant(entry, plan.key.namespace, gateways)
        if meant is not None:
            parents.append(_parent(plan, entry, meant, resources))
    return tuple(parents)


def _meant(entry: Mapping[str, Any], namespace: str, gateways: Targets) -> _Meant | None:
    group, kind = text(entry.get("group"), GATEWAY_GROUP), text(entry.get("kind"), "Gateway")
    key = ObjectKey(text(entry.get("namespace")) or namespace, text(entry.get("name")))
    if group != GATEWAY_GROUP or kind not in ("Gateway", KIND):
        return None
    gateway = gateways.get(key) if kind == "Gateway" else _gateway_of_set(key, gateways)
    if gateway is None:
        return None
    origin = None if kind == "Gateway" else key
    listeners = tuple(pair for pair in enumerate(gateway.listeners) if pair[1].origin == origin)
    return _Meant(f"{kind} {key}", kind, gateway, listeners)


def _gateway_of_set(key: ObjectKey, gateways: Targets) -> GatewayTarget | None:
    return next((gateway for gateway in gateways.values() if key in gateway.sets), None)


def _parent(plan: RoutePlan, entry: Mapping[str, Any], meant: _Meant, resources: Resources) -> Parent:
    stated = {"group": GATEWAY_GROUP, **entry, "kind": meant.kind}
    reference = {name: stated[name] for name in _REFERENCE_FIELDS if name in stated}
    found = _attachments(plan, entry, meant, resources)
    if isinstance(found, Problem):
        return Parent(reference, meant.gateway, found)
    return Parent(reference, meant.gateway, None, found)


def _attachments(
    plan: RoutePlan, entry: Mapping[str, Any], parent: _Meant, resources: Resources
) -> tuple[Attachment, ...] | Problem:
    named = parent.named
    section, port = text(entry.get("sectionName")), integer(entry.get("port"))
    meant = [pair for pair in parent.listeners if section in ("", pair[1].name) and port in (0, pair[1].port)]
    if not meant:
        message = f"{named} has no listener{_described(section, port)}; it has {_all(parent)}"
        return Problem("NoMatchingParent", message)
    open_ones = [pair for pair in meant if _allows(pair[1], plan, resources)]
    if not open_ones:
        return Problem("NotAllowedByListeners", _refusal(plan, named, [listener for _, listener in meant]))
    served = [
        Attachment(index, claims) for index, one in open_ones if (claims := _claims(one.hostname, plan.hostnames))
    ]
    if not served:
        listening = ", ".join(dict.fromkeys(listener.hostname for _, listener in open_ones))
        message = f"no host name of {', '.join(plan.hostnames)} is one of {named}, which listens for {listening}"
        return Problem("NoMatchingListenerHostname", message)
    return tuple(served)


def _described(section: str, port: int) -> str:
    return (f" named {section}" if section else "") + (f" on port {port}" if port else "")


def _all(parent: _Meant) -> str:
    return ", ".join(f"{listener.name} ({listener.port})" for _, listener in parent.listeners) or "none"


def _allows(listener: ListenerPlan, plan: RoutePlan, resources: Resources) -> bool:
    return plan.kind in listener.kinds and listener.namespaces.allows(plan.key.namespace, resources)


def _refusal(plan: RoutePlan, named: str, listeners: list[ListenerPlan]) -> str:
    names = ", ".join(listener.name for listener in listeners)
    if not any(plan.kind in listener.kinds for listener in listeners):
        field = "allowedRoutes.kinds" if any(is_offered(plan.kind, one.protocol) for one in listeners) else "protocol"
        return f"{named}: listener {names} takes no {plan.kind}; see {field}"
    return (
        f"{named}: listener {names} takes no routes of namespace {plan.key.namespace}; "
        "see allowedRoutes.namespaces (by default only the Gateway's own)"
    )


def _claims(listener: str, hostnames: tuple[str, ...]) -> tuple[Claim, ...]:
    pairs = [(written, intersection(listener, written)) for written in hostnames or (ANY,)]
    return tuple(Claim(written, effective) for written, effective in pairs if effective is not None)
