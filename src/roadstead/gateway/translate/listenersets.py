"""ListenerSets: listeners that other people add to a Gateway, as far as it lets them.

Where listeners contradict each other the Gateway's own win, then those of the older ListenerSet, then by name
(gateway-api, apis/v1/listenerset_types.go). Next: `gateways`, where both kinds of listeners are one list.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from roadstead.api.objects import Object, ObjectKey, is_deleting, key_of, metadata_of
from roadstead.gateway.ir import container_port
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.translate.fields import mapping, mappings, spec_of, text
from roadstead.gateway.translate.listeners import ListenerPlan, are_told_apart, namespace_rule, plan_listener
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.references import Referrer

KIND = "ListenerSet"


@dataclass(frozen=True, slots=True)
class ListenerSetPlan:
    """A ListenerSet that names a Gateway of ours. `refused`: why the Gateway does not take it."""

    obj: Object
    key: ObjectKey
    refused: Problem | None = None


def sets_by_gateway(resources: Resources) -> Mapping[ObjectKey, Sequence[Object]]:
    """Return the ListenerSets that name each Gateway, the oldest first."""
    found: dict[ObjectKey, list[Object]] = defaultdict(list)
    for one in sorted(resources.listener_sets.values(), key=_age):
        parent = mapping(spec_of(one).get("parentRef"))
        kind = (text(parent.get("group"), GATEWAY_GROUP), text(parent.get("kind"), "Gateway"))
        if kind == (GATEWAY_GROUP, "Gateway") and not is_deleting(one):
            namespace = text(parent.get("namespace")) or key_of(one).namespace
            found[ObjectKey(namespace, text(parent.get("name")))].append(one)
    return found


def _age(listener_set: Object) -> tuple[str, str]:
    return text(metadata_of(listener_set).get("creationTimestamp")), str(key_of(listener_set))


def plan_sets(gateway: Object, sets: Iterable[Object], resources: Resources) -> tuple[ListenerSetPlan, ...]:
    """Return what a Gateway says to the ListenerSets that name it: none is taken unless `allowedListeners` says so."""
    key = key_of(gateway)
    rule = namespace_rule(mapping(spec_of(gateway).get("allowedListeners")), key.namespace, otherwise="None")

    def judged(listener_set: Object) -> ListenerSetPlan:
        own = key_of(listener_set)
        if rule.allows(own.namespace, resources):
            return ListenerSetPlan(listener_set, own)
        message = (
            f"Gateway {key} takes no ListenerSets of namespace {own.namespace}; see its allowedListeners.namespaces"
        )
        return ListenerSetPlan(listener_set, own, Problem("NotAllowed", message))

    return tuple(judged(one) for one in sets)


def added_listeners(
    own: Iterable[ListenerPlan], sets: Iterable[ListenerSetPlan], resources: Resources
) -> tuple[ListenerPlan, ...]:
    """Return the listeners of all ListenerSets that a Gateway with these listeners of its own takes."""
    taken = _Taken()
    for plan in own:
        taken.add(plan)
    made = []
    for one in sets:
        entries = () if one.refused else mappings(spec_of(one.obj).get("listeners"))
        for entry in entries:
            referrer = Referrer(KIND, one.key.namespace)
            plan = taken.judged(plan_listener(entry, referrer, resources, origin=one.key))
            taken.add(plan)
            made.append(plan)
    return tuple(made)


@dataclass(slots=True)
class _Taken:
    """Which places earlier listeners have: by port, by port and host name, and by the port inside the proxy."""

    ports: dict[int, ListenerPlan] = field(default_factory=dict)
    hosts: dict[tuple[int, str], ListenerPlan] = field(default_factory=dict)
    inside: dict[int, ListenerPlan] = field(default_factory=dict)

    def add(self, plan: ListenerPlan) -> None:
        if plan.unaccepted is None:
            self.ports.setdefault(plan.port, plan)
            self.hosts.setdefault((plan.port, plan.hostname), plan)
            self.inside.setdefault(container_port(plan.port), plan)

    def judged(self, plan: ListenerPlan) -> ListenerPlan:
        """Return the listener with what an earlier one has against it."""
        port, same = self.ports.get(plan.port), self.hosts.get((plan.port, plan.hostname))
        inside = self.inside.get(container_port(plan.port))
        if port is not None and not are_told_apart(port.protocol, plan.protocol):
            message = f"port {plan.port} is {port.protocol} for listener {port.label}, which goes first"
            return replace(plan, unaccepted=None, conflict=Problem("ProtocolConflict", message))
        if same is not None:
            message = f"listener {same.label}, which goes first, has port {plan.port} and host name {plan.hostname}"
            return replace(plan, unaccepted=None, conflict=Problem("HostnameConflict", message))
        if plan.unaccepted is None and inside is not None and inside.port != plan.port:
            bound = container_port(plan.port)
            message = f"ports {plan.port} and {inside.port} are the same port {bound} inside the proxy"
            return replace(plan, unaccepted=Problem("PortUnavailable", message), kinds=())
        return plan
