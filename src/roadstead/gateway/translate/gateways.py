"""What a Gateway's status says: of itself, of its addresses and of each listener.

Source: gateway-api, apis/v1/gateway_types.go (GatewayConditionType, ListenerConditionType). Beside those a listener
carries a condition of our own where it ends TLS, `roadstead.dev/CertificateUsable`: whether clients will take the
certificate, as far as that can be known here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from roadstead.api.conditions import condition
from roadstead.api.objects import Object, key_of
from roadstead.gateway.ir import Proxies, Proxy, ProxyState, gateway_proxy_key
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.statuses import ANNOTATIONS_USABLE, CERTIFICATE_USABLE, StatusUpdate, generation_of, update_for
from roadstead.gateway.translate.annotations import read_annotations
from roadstead.gateway.translate.certificates import uncovered_problem
from roadstead.gateway.translate.clientcertificates import asking_clients, backend_identity, is_exempt, is_insecure
from roadstead.gateway.translate.fields import mapping, mappings, spec_of, text
from roadstead.gateway.translate.hostnames import ANY
from roadstead.gateway.translate.listeners import PASSTHROUGH, ListenerPlan, plan_listeners
from roadstead.gateway.translate.listenersets import added_listeners, plan_sets
from roadstead.gateway.translate.notices import Notice
from roadstead.gateway.translate.parameters import parameters_of
from roadstead.gateway.translate.parents import GatewayPlan, GatewayTarget
from roadstead.gateway.translate.precedence import AttachedRoute
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.proxies import workload
from roadstead.gateway.translate.telemetry import plan_telemetry
from roadstead.gateway.translate.workloads import WorkloadState, workload_state

_ADDRESS_TYPES = ("IPAddress", "Hostname")


class ListenerLoad(NamedTuple):
    """What is attached to one listener: routes in effect, and how many routes count (Accepted)."""

    routes: Sequence[AttachedRoute]
    accepted: int


def plan_gateway(
    gateway: Object, controller_name: str, resources: Resources, listener_sets: Iterable[Object] = ()
) -> GatewayPlan:
    """Return a Gateway of ours with its listeners judged, and those that the ListenerSets that name it add."""
    sets = plan_sets(gateway, listener_sets, resources)
    own = plan_listeners(gateway, resources)
    listeners = asking_clients(gateway, (*own, *added_listeners(own, sets, resources)), resources)
    target = GatewayTarget(key_of(gateway), controller_name, listeners, frozenset(one.key for one in sets))
    parameters = parameters_of(gateway, target.key.namespace, resources)
    identity, telemetry = backend_identity(gateway, resources), plan_telemetry(gateway, resources)
    reflects = "reflection" in read_annotations(gateway).values
    return GatewayPlan(gateway, target, _invalid(gateway), sets, identity, parameters, telemetry, reflects)


def _invalid(gateway: Object) -> Problem | None:
    spec = spec_of(gateway)
    for index, address in enumerate(mappings(spec.get("addresses"))):
        kind = text(address.get("type"), "IPAddress")
        if kind not in _ADDRESS_TYPES:
            message = f"spec.addresses[{index}].type: {kind} is not one of {', '.join(_ADDRESS_TYPES)}"
            return Problem("UnsupportedAddress", message)
    return None


class Standing(NamedTuple):
    """How far the proxy of a Gateway is: `obstacle` is why traffic cannot flow yet, or not as the manifests say.

    `held`: what it says about this will soon be out of date, so it is not said.
    """

    proxy: str
    running: WorkloadState
    obstacle: Problem | None
    held: bool


def gateway_standing(plan: GatewayPlan, proxies: Proxies, resources: Resources) -> Standing:
    """Return how far the proxy of a Gateway is."""
    key = gateway_proxy_key(*plan.key)
    state = resources.proxy_states.get(key, ProxyState())
    running = workload_state(workload(plan.obj, plan.parameters), resources)
    # Ready Envoys that are not connected serve what they have: after a restart of ours they are back in a moment.
    held = not state.settled or (not state.connected and running.ready > 0)
    return Standing(key, running, _obstacle(plan, proxies.get(key), state, running), held)


def gateway_status(
    plan: GatewayPlan, loads: Mapping[int, ListenerLoad], proxies: Proxies, resources: Resources
) -> StatusUpdate:
    """Return what a Gateway's status says. `loads` is keyed by the listener's index."""
    standing = gateway_standing(plan, proxies, resources)
    generation = generation_of(plan.obj)
    accepted = _accepted(plan)
    programmed = _programmed(standing.obstacle, standing.running)
    none = ListenerLoad((), 0)
    wanted: Object = {
        "addresses": [{"type": kind, "value": value} for kind, value in standing.running.addresses],
        "conditions": [
            condition("Accepted", *accepted, generation=generation),
            condition("Programmed", *programmed, generation=generation),
            *_conditions_where_stated(plan, generation),
        ],
        "listeners": [
            listener_status(one, loads.get(index, none), plan.invalid or standing.obstacle, generation)
            for index, one in enumerate(plan.own_listeners)
        ],
    }
    if plan.sets or "attachedListenerSets" in mapping(plan.obj.get("status")):
        wanted["attachedListenerSets"] = _attached_sets(plan)
    return update_for(plan.obj, wanted, proxy=standing.proxy, held=standing.held)


def gateway_notices(plan: GatewayPlan) -> Iterator[Notice]:
    """Yield what is to be told of a Gateway and its ListenerSets beside conditions: options without effect."""
    objects = {one.key: one.obj for one in plan.sets}
    for listener in plan.listeners:
        why = "TLS is passed through" if listener.mode == PASSTHROUGH else "it is not an option of Roadstead"
        for key in listener.options.unheeded:
            message = f"spec.listeners[{listener.name}].tls.options[{key}]: has no effect; {why}"
            regarding = plan.obj if listener.origin is None else objects[listener.origin]
            yield Notice(regarding, "Ignored", message)
        if is_exempt(plan.obj, listener):
            exempt = f"clients of listener {listener.label} are not asked for certificates"
            yield Notice(plan.obj, "Ignored", f"spec.tls.frontend: is for listeners for HTTPS; {exempt}")


def _conditions_where_stated(plan: GatewayPlan, generation: int) -> Iterator[Object]:
    """Yield the conditions that a Gateway has only while its manifest gives reason to."""
    problems = (read_annotations(plan.obj).problem, plan.telemetry.problem)
    unheeded = joined([one for one in problems if one])
    if unheeded:
        yield condition(ANNOTATIONS_USABLE, False, *unheeded, generation=generation)
    if plan.identity:
        unresolved = plan.identity.unresolved
        verdict = (False, *unresolved) if unresolved else (True, "ResolvedRefs", "")
        yield condition("ResolvedRefs", *verdict, generation=generation)
    if is_insecure(plan.obj):
        message = "spec.tls.frontend: clients without a valid certificate are let in (AllowInsecureFallback)"
        yield condition("InsecureFrontendValidationMode", True, "ConfigurationChanged", message, generation=generation)


def _attached_sets(plan: GatewayPlan) -> int:
    """Count the ListenerSets that are Accepted: with at least one listener that is served."""
    return 0 if plan.invalid else len({one.origin for one in plan.listeners if one.origin and one.is_served})


Verdict = tuple[bool, str, str]
"""Status, reason and message of a condition."""


def _accepted(plan: GatewayPlan) -> Verdict:
    if plan.invalid:
        return (False, *plan.invalid)
    if isinstance(plan.parameters, Problem):
        return (False, *plan.parameters)
    own = plan.own_listeners
    wrong = with_fault(own)
    if not wrong:
        return (True, "Accepted", "")
    message = f"listeners with faults: {wrong}"
    if not any(one.is_accepted for one in own):
        return (False, "ListenersNotValid", message)
    return (True, "ListenersNotValid" if not all(one.is_accepted for one in own) else "Accepted", message)


def with_fault(listeners: Iterable[ListenerPlan]) -> str:
    """Return the listeners that have a fault, each with the first one, as one sentence."""
    return "; ".join(f"{one.name}: {problem.message}" for one in listeners if (problem := _first_problem(one)))


def _first_problem(plan: ListenerPlan) -> Problem | None:
    return plan.unaccepted or plan.conflict or plan.unresolved


def _programmed(obstacle: Problem | None, running: WorkloadState) -> Verdict:
    if obstacle:
        return (False, *obstacle)
    moved = [f"port {port} is {host} on this host" for port, host in sorted(running.host_ports.items()) if port != host]
    return (True, "Programmed", "; ".join(moved))


def _obstacle(plan: GatewayPlan, proxy: Proxy | None, state: ProxyState, running: WorkloadState) -> Problem | None:
    """Return why traffic cannot flow yet, or not as the newest manifest says."""
    if plan.invalid:
        return Problem("Invalid", plan.invalid.message)
    if proxy is None or not proxy.listeners:
        return Problem("Invalid", f"no listener can be served: {with_fault(plan.listeners) or 'there is none'}")
    rejections = [one for one in state.rejections if one.source is None]  # A rule's own route tells of it.
    if rejections:
        refused = "; ".join(f"{one.resource}: {one.message}" for one in rejections)
        return Problem("Invalid", f"Envoy refused the configuration and keeps the one before: {refused}")
    return _address_obstacle(proxy, running) or _readiness_obstacle(state, running)


def _address_obstacle(proxy: Proxy, running: WorkloadState) -> Problem | None:
    named = f"Service {proxy.workload.namespace}/{proxy.workload.name}"
    if running.problem:
        return Problem("AddressNotUsable", f"{named}: {running.problem}")
    given = [value for _, value in running.addresses]
    if not given:
        return Problem("AddressNotAssigned", f"{named} has no load balancer address yet")
    unusable = [wanted for wanted in proxy.workload.addresses if wanted not in given]
    if unusable:
        return Problem(
            "AddressNotUsable", f"spec.addresses: {', '.join(unusable)} cannot be had; {named} has {given[0]}"
        )
    return None


def _readiness_obstacle(state: ProxyState, running: WorkloadState) -> Problem | None:
    if not state.connected:
        return Problem("Pending", "no Envoy of this Gateway is connected to the control plane yet")
    if not running.ready:
        return Problem("Pending", "no Envoy of this Gateway is ready yet")
    return None


def listener_status(plan: ListenerPlan, load: ListenerLoad, obstacle: Problem | None, generation: int) -> Object:
    """Return what the status of a Gateway or ListenerSet says of one of its listeners."""
    verdicts = {
        "Accepted": _listener_accepted(plan),
        "Conflicted": (True, *plan.conflict) if plan.conflict else (False, "NoConflicts", ""),
        "ResolvedRefs": (False, *plan.unresolved) if plan.unresolved else (True, "ResolvedRefs", ""),
        "Programmed": _listener_programmed(plan, obstacle),
    }
    if plan.certificates:
        verdicts[CERTIFICATE_USABLE] = _certificate_usable(plan, load.routes)
    return {
        "name": plan.name,
        "supportedKinds": [{"group": GATEWAY_GROUP, "kind": kind} for kind in plan.kinds],
        "attachedRoutes": load.accepted,
        "conditions": [condition(kind, *verdict, generation=generation) for kind, verdict in verdicts.items()],
    }


def _listener_accepted(plan: ListenerPlan) -> Verdict:
    problem = plan.unaccepted or plan.conflict
    return (False, *problem) if problem else (True, "Accepted", "")


def _listener_programmed(plan: ListenerPlan, obstacle: Problem | None) -> Verdict:
    if plan.conflict:
        return (False, *plan.conflict)
    if not plan.is_served:
        problem = plan.unaccepted or plan.unresolved
        return (False, "Invalid", problem.message if problem else "")
    if obstacle:
        return (False, "Invalid" if obstacle.reason == "Invalid" else "Pending", obstacle.message)
    return (True, "Programmed", "")


def _certificate_usable(plan: ListenerPlan, routes: Iterable[AttachedRoute]) -> Verdict:
    uncovered = uncovered_problem(plan.certificates, _asked_for(plan, routes))
    problem = joined([*plan.warnings, *([uncovered] if uncovered else [])])
    if problem:
        return (False, *problem)
    return (True, "Usable", "; ".join(one.described() for one in plan.certificates))


def _asked_for(plan: ListenerPlan, routes: Iterable[AttachedRoute]) -> list[str]:
    """Return the hosts that clients ask for: those of the routes; without routes, the listener's."""
    effective = {claim.effective for route in routes for claim in route.claims}
    return sorted((effective or {plan.hostname}) - {ANY})
