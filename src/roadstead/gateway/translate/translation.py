"""The one entry: judge Gateways, then routes, let them meet, and say what comes of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from roadstead.api.objects import Object, ObjectKey, is_deleting, key_of
from roadstead.gateway.ir import Proxies, Proxy
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import StatusUpdate
from roadstead.gateway.translate.backends import referenced_services
from roadstead.gateway.translate.backendtls import PolicyPlan, in_force, plan_policies, policy_status
from roadstead.gateway.translate.fields import spec_of, text
from roadstead.gateway.translate.gatewayclass import gateway_class_status, our_classes
from roadstead.gateway.translate.gateways import ListenerLoad, gateway_notices, gateway_status, plan_gateway
from roadstead.gateway.translate.grpcroute import plan_grpc_route
from roadstead.gateway.translate.httproute import plan_http_route
from roadstead.gateway.translate.ingress import translate_ingresses
from roadstead.gateway.translate.listenersets import sets_by_gateway
from roadstead.gateway.translate.listenersetstatus import listener_set_statuses
from roadstead.gateway.translate.memory import Memory
from roadstead.gateway.translate.notices import Notice
from roadstead.gateway.translate.overlap import strict_gateways, without_overlaps
from roadstead.gateway.translate.parents import GatewayPlan, Parent, attach
from roadstead.gateway.translate.precedence import AttachedRoute
from roadstead.gateway.translate.proxies import gateway_proxy
from roadstead.gateway.translate.routes import RoutePlan
from roadstead.gateway.translate.routestatus import route_status
from roadstead.gateway.translate.tlsroute import plan_tls_route

GatewayPlans = Mapping[ObjectKey, GatewayPlan]
Loads = Mapping[ObjectKey, Mapping[int, ListenerLoad]]
_Attached = tuple[RoutePlan, tuple[Parent, ...]]


@dataclass(frozen=True, slots=True)
class Translation:
    """What every proxy does, by its key, what every status says, and what is to be told besides."""

    proxies: Proxies = field(default_factory=dict)
    statuses: tuple[StatusUpdate, ...] = ()
    notices: tuple[Notice, ...] = ()
    gateways: GatewayPlans = field(default_factory=dict, repr=False)
    loads: Loads = field(default_factory=dict, repr=False)


def translate(resources: Resources, memory: Memory | None = None) -> Translation:
    """Translate all Gateways, routes and Ingresses. Never raises on what a user wrote.

    A `memory` that is handed in again and again saves the work that was done before; it never changes the result.
    """
    memory = memory or Memory()
    memory.begin()
    classes = our_classes(resources)
    gateways = _gateways(classes, resources)
    policies = plan_policies(resources)
    resources = replace(resources, backend_tls=memory.settled("policies", in_force(policies)))
    routes = without_overlaps(list(_routes(gateways, resources, memory)), strict_gateways(gateways.values()))
    loads = _loads(routes)
    proxies = {proxy.key: proxy for proxy in _proxies(gateways, loads, resources, memory)}
    ingresses = translate_ingresses(resources)
    if ingresses.proxy:
        proxies[ingresses.proxy.key] = ingresses.proxy
    statuses = (
        *(
            gateway_class_status(found, resources)
            for key, found in resources.gateway_classes.items()
            if key.name in classes
        ),
        *_gateway_statuses(gateways, loads, proxies, resources),
        *_route_statuses(routes, resources, memory),
        *_policy_statuses(policies, routes, resources),
        *ingresses.statuses,
    )
    notices = (*(notice for gateway in gateways.values() for notice in gateway_notices(gateway)), *ingresses.notices)
    return Translation(proxies, statuses, notices, gateways, loads)


def restated(translation: Translation, resources: Resources) -> Translation:
    """Return the same translation with the Gateways' and ListenerSets' statuses as of now.

    It is enough when nothing has changed but what is known of the proxies (`resources.proxy_states`).
    """
    others = [update for update in translation.statuses if update.kind not in ("Gateway", "ListenerSet")]
    gateways = _gateway_statuses(translation.gateways, translation.loads, translation.proxies, resources)
    return replace(translation, statuses=(*others, *gateways))


def _gateways(classes: Mapping[str, str], resources: Resources) -> GatewayPlans:
    sets = sets_by_gateway(resources)
    return {
        key: plan_gateway(gateway, classes[class_name], resources, sets.get(key, ()))
        for key, gateway in resources.gateways.items()
        if (class_name := text(spec_of(gateway).get("gatewayClassName"))) in classes and not is_deleting(gateway)
    }


def _routes(gateways: GatewayPlans, resources: Resources, memory: Memory) -> Iterator[_Attached]:
    targets = memory.settled("gateways", {key: plan.target for key, plan in gateways.items()})
    grants = memory.settled("grants", tuple(resources.reference_grants.values()))

    def planned(kind: str, route: Object, plan: Callable[[Object, Resources], RoutePlan]) -> _Attached:
        key = key_of(route)
        made = memory.recall_watched(
            (kind, key),
            (route, grants, resources.backend_tls),
            resources.services,
            lambda services: plan(route, replace(resources, services=services)),
        )
        namespace = resources.namespaces.get(ObjectKey("", key.namespace))
        inputs = (made, targets, namespace)
        return made, memory.recall(("parents", kind, key), inputs, lambda: attach(made, targets, resources))

    for route in resources.grpc_routes.values():
        yield planned("GRPCRoute", route, plan_grpc_route)
    for route in resources.http_routes.values():
        yield planned("HTTPRoute", route, plan_http_route)
    for route in resources.tls_routes.values():
        yield planned("TLSRoute", route, plan_tls_route)


def _route_statuses(routes: Iterable[_Attached], resources: Resources, memory: Memory) -> Iterator[StatusUpdate]:
    for plan, parents in routes:
        inputs = (plan, parents, resources.controller_names)
        made = memory.recall(("status", plan.kind, plan.key), inputs, partial(route_status, plan, parents, resources))
        if made is not None:
            yield made


def _policy_statuses(
    policies: Iterable[PolicyPlan], routes: Iterable[_Attached], resources: Resources
) -> Iterator[StatusUpdate]:
    users: dict[ObjectKey, set[tuple[ObjectKey, str]]] = defaultdict(set)
    for plan, parents in routes if resources.backend_tls else ():
        gateways = {(one.gateway.key, one.gateway.controller_name) for one in parents if one.problem is None}
        for service in referenced_services(plan.obj):
            users[service] |= gateways
    for policy in policies:
        found = [one for target in policy.targets for one in users.get(target.service, ())]
        made = policy_status(policy, resources.backend_tls, found, resources)
        if made is not None:
            yield made


def _loads(routes: Iterable[_Attached]) -> Loads:
    """Gather what is attached where; a route that names a listener twice counts once."""
    found: dict[ObjectKey, dict[int, dict[int, AttachedRoute]]] = defaultdict(lambda: defaultdict(dict))
    for plan, parents in routes:
        if plan.unaccepted:
            continue
        for parent in parents:
            for attachment in parent.attachments:
                found[parent.gateway.key][attachment.listener][id(plan)] = AttachedRoute(plan, attachment.claims)
    return {
        key: {index: ListenerLoad(tuple(routes.values()), len(routes)) for index, routes in listeners.items()}
        for key, listeners in found.items()
    }


def _proxies(gateways: GatewayPlans, loads: Loads, resources: Resources, memory: Memory) -> Iterator[Proxy]:
    for key, gateway in gateways.items():
        attached = {index: load.routes for index, load in loads.get(key, {}).items()}
        yield gateway_proxy(gateway, attached, resources, memory)


def _gateway_statuses(
    gateways: GatewayPlans, loads: Loads, proxies: Proxies, resources: Resources
) -> Iterator[StatusUpdate]:
    for key, gateway in gateways.items():
        yield gateway_status(gateway, loads.get(key, {}), proxies, resources)
        yield from listener_set_statuses(gateway, loads.get(key, {}), proxies, resources)
