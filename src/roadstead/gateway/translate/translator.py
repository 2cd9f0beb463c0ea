"""A translation that goes on: told what has changed, it makes anew what was made from that, and nothing else.

    GatewayClasses, Gateways ──▶ targets ─┐
    BackendTLSPolicies ──▶ in force ──────┴─▶ routes: plan, parents ──▶ proxies ──▶ statuses
    Services, EndpointSlices ──▶ endpoint sets ───────────────────────────┘
    Ingresses ──▶ proxy, statuses

What is made from what is not written down: it is seen from what each step reads (`reads`). So one more route costs as
much beside three thousand others as alone. Next: `proxies`, where routes become tables.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeVar

from roadstead.api.objects import Object, ObjectKey, is_deleting
from roadstead.gateway.ir import (
    INGRESS_PROXY_KEY,
    EndpointSet,
    Proxies,
    Proxy,
    ProxyState,
    Rejection,
    TrustBundle,
    gateway_proxy_key,
)
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import StatusUpdate
from roadstead.gateway.translate.backends import endpoint_set, referenced_services
from roadstead.gateway.translate.backendtls import PolicyPlan, PolicyTarget, in_force, plan_policies, policy_status
from roadstead.gateway.translate.fields import spec_of, text
from roadstead.gateway.translate.gatewayclass import gateway_class_status, our_classes
from roadstead.gateway.translate.gateways import ListenerLoad, gateway_notices, gateway_status, plan_gateway
from roadstead.gateway.translate.grpcroute import plan_grpc_route
from roadstead.gateway.translate.httproute import plan_http_route
from roadstead.gateway.translate.ingress import IngressTranslation, translate_ingresses
from roadstead.gateway.translate.listenersets import sets_by_gateway
from roadstead.gateway.translate.listenersetstatus import listener_set_statuses
from roadstead.gateway.translate.notices import Notice
from roadstead.gateway.translate.overlap import strict_gateways, without_overlaps
from roadstead.gateway.translate.parents import GatewayPlan, GatewayTarget, Parent, attach
from roadstead.gateway.translate.precedence import AttachedRoute
from roadstead.gateway.translate.proxies import GatewayProxy
from roadstead.gateway.translate.reads import Changes, Readers, Recorder
from roadstead.gateway.translate.reserve import Reserve, answered, succeeded, usable
from roadstead.gateway.translate.routes import RoutePlan
from roadstead.gateway.translate.routestatus import route_status
from roadstead.gateway.translate.streamroutes import plan_tcp_route, plan_tls_route

_CLOCK_TICK = timedelta(minutes=1)
"""How old a judgement of certificates' times may be when something changes."""

_PLANNERS: Mapping[str, Callable[[Object, Resources], RoutePlan]] = {
    "grpc_routes": plan_grpc_route,
    "http_routes": plan_http_route,
    "tls_routes": plan_tls_route,
    "tcp_routes": plan_tcp_route,
}
_FIELDS = {"GRPCRoute": "grpc_routes", "HTTPRoute": "http_routes", "TLSRoute": "tls_routes", "TCPRoute": "tcp_routes"}
_TARGETS, _BACKEND_TLS = "targets", "backend_tls"
"""What steps make for other steps: read like the fields of `Resources`, and changed like them."""

_Made = TypeVar("_Made")
_User = tuple[ObjectKey, str]
"""A Gateway and the name of its controller."""
_Place = tuple[ObjectKey, int]
"""A Gateway and one of its listeners, by index."""
_GatewayClasses = Mapping[str, str]


class RouteId(NamedTuple):
    """A route: the field of `Resources` that it is in, and its key."""

    field: str
    key: ObjectKey


class _EndpointsOf(NamedTuple):
    """An endpoint set, as a reader of Services and EndpointSlices."""

    name: str


class _StatusOf(NamedTuple):
    """The statuses of a Gateway and of its ListenerSets, as a reader of what they depend on."""

    gateway: ObjectKey


_CLASSES, _GATEWAYS, _POLICIES, _INGRESSES = "GatewayClasses", "Gateways", "BackendTLSPolicies", "Ingresses"
"""The other readers, and the other sources of statuses."""
_AROUND: Mapping[Hashable, int] = {_CLASSES: 0, _POLICIES: 3, _INGRESSES: 4}
"""Where statuses of these sources stand: Gateways and routes are between classes and policies."""

Statuses = Mapping[Hashable, tuple[StatusUpdate, ...]]
"""By where they come from: a route, a Gateway, all policies, ..."""


@dataclass(slots=True)
class _Route:
    """A route: its plan and its parents.

    `kept`: the parents without overlaps. `places`: where it is attached. `services`: those that it names. `reserve`:
    what stands in for its rules where Envoys refuse them.
    """

    plan: RoutePlan
    parents: tuple[Parent, ...]
    kept: tuple[Parent, ...] = ()
    places: Mapping[_Place, AttachedRoute] = field(default_factory=dict)
    services: frozenset[ObjectKey] = frozenset()
    reserve: Reserve = field(default_factory=Reserve)


class Translator:
    """Keeps what was made, and of what.

    `proxies` and `notices` are as of the last `advance`. Statuses are made when they are asked for, so that what is
    served does not wait for what is said about it.
    """

    def __init__(self) -> None:
        self.proxies: Proxies = {}
        self.notices: tuple[Notice, ...] = ()
        self._recorder = Recorder()
        self._readers = Readers()
        self._plain = self._watched = Resources(datetime.min)
        self._judged: datetime | None = None
        self._classes: _GatewayClasses = {}
        self._gateways: Mapping[ObjectKey, GatewayPlan] = {}
        self._targets: Mapping[ObjectKey, GatewayTarget] = {}
        self._strict: frozenset[ObjectKey] = frozenset()
        self._kept_strict: frozenset[ObjectKey] = frozenset()
        self._policies: tuple[PolicyPlan, ...] = ()
        self._in_force: Mapping[PolicyTarget, PolicyPlan] = {}
        self._trust: Mapping[str, TrustBundle] = {}
        self._routes: dict[RouteId, _Route] = {}
        self._unanswered: dict[str, set[RouteId]] = defaultdict(set)
        self._users: dict[ObjectKey, dict[RouteId, frozenset[_User]]] = defaultdict(dict)
        self._fleet: dict[ObjectKey, GatewayProxy] = {}
        self._endpoints: dict[str, EndpointSet] = {}
        self._speakers: dict[str, set[ObjectKey]] = defaultdict(set)
        self._ingresses = IngressTranslation(None, (), ())
        self._touched: dict[ObjectKey, None] = {}
        self._unsaid: dict[Hashable, None] = {}
        self._refused: dict[str, frozenset[Rejection]] = {}

    def advance(self, resources: Resources, changes: Changes) -> None:
        """Take the resources as they are now. `changes`: where they differ from those of the time before."""
        self._plain = replace(resources, backend_tls=self._in_force)
        self._watched = self._recorder.resources(self._plain)
        stale = self._readers.of(changes)
        derived: dict[str, list[Any]] = {}
        if _GATEWAYS in stale or changes.get("gateways") or changes.get("gateway_classes") or self._is_late():
            derived[_TARGETS] = self._judge_gateways()
        if _POLICIES in stale or changes.get("backend_tls_policies"):
            derived[_BACKEND_TLS] = self._judge_policies()
        stale |= self._readers.of(derived)
        self._hear(changes)
        self._plan_routes(stale, changes)
        if _INGRESSES in stale or changes.get("ingresses"):
            self._translate_ingresses()
        self._refresh_endpoints(stale)
        self._serve()
        self._note_refusals(changes)
        self._unsaid |= {reader: None for reader in stale if isinstance(reader, _StatusOf) or reader == _CLASSES}

    def statuses(self) -> Statuses:
        """Return what statuses say, as far as it may differ from what they said at the time before."""
        unsaid, self._unsaid = self._unsaid, {}
        return {name: self._stated(name) for name in sorted(unsaid, key=_place_among_statuses)}

    def _make(self, reader: Hashable, make: Callable[[], _Made]) -> _Made:
        """Make something, and note from what."""
        with self._recorder.recording() as reads:
            made = make()
        self._readers.note(reader, reads)
        return made

    # Gateways

    def _is_late(self) -> bool:
        return self._judged is not None and self._plain.now - self._judged >= _CLOCK_TICK

    def _judge_gateways(self) -> list[ObjectKey]:
        """Plan all Gateways; return those that are another target for routes than before."""
        before, self._judged = self._gateways, self._plain.now
        self._classes, planned = self._make(_GATEWAYS, lambda: _planned_gateways(self._watched))
        self._gateways = {key: before[key] if before.get(key) == plan else plan for key, plan in planned.items()}
        self._strict = strict_gateways(self._gateways.values())
        for key in {**before, **self._gateways}:
            if before.get(key) is not self._gateways.get(key):
                self._refit(key)
        self._unsaid[_CLASSES] = None
        self._tell()
        targets, known = {key: plan.target for key, plan in self._gateways.items()}, self._targets
        self._targets = {key: known[key] if known.get(key) == target else target for key, target in targets.items()}
        return [key for key in {**known, **targets} if known.get(key) is not self._targets.get(key)]

    def _refit(self, key: ObjectKey) -> None:
        """Let the proxy of a Gateway follow its plan."""
        self._touched[key] = self._unsaid[_StatusOf(key)] = None
        plan = self._gateways.get(key)
        if plan is None:
            del self._fleet[key]
            self._readers.note(_StatusOf(key), ())
        elif key in self._fleet:
            self._fleet[key].plan(plan)
        else:
            self._fleet[key] = GatewayProxy(plan)

    def _judge_policies(self) -> list[PolicyTarget]:
        """Plan all policies; return the targets for which another one counts than before."""
        before, self._policies = self._in_force, self._make(_POLICIES, lambda: plan_policies(self._watched))
        self._in_force = found = in_force(self._policies)
        self._trust = {plan.trust.name: plan.trust for plan in found.values() if plan.trust}
        self._plain = replace(self._plain, backend_tls=found)
        self._watched = replace(self._watched, backend_tls=self._recorder.watched(_BACKEND_TLS, found))
        self._unsaid[_POLICIES] = None
        self._touched |= dict.fromkeys(self._gateways)
        return [target for target in {**before, **found} if before.get(target) != found.get(target)]

    def _tell(self) -> None:
        told = (notice for gateway in self._gateways.values() for notice in gateway_notices(gateway))
        self.notices = (*told, *self._ingresses.notices, *self._refusal_notices())

    def _refusal_notices(self) -> Iterator[Notice]:
        """Yield what Envoy refuses of Ingresses: they have no condition that could tell."""
        for one in sorted(self._refused.get(INGRESS_PROXY_KEY, ()), key=str):
            source = one.source
            found = self._plain.ingresses.get(ObjectKey(source.namespace, source.name)) if source else None
            if found is not None:
                yield Notice(found, "Refused", f"{source} is left out, since Envoy refuses it: {one.message}")

    # Routes

    def _plan_routes(self, stale: Iterable[Hashable], changes: Changes) -> None:
        """Plan what may have changed of the routes, and let them meet their Gateways."""
        found = {reader: None for reader in stale if isinstance(reader, RouteId)}
        found |= {RouteId(name, key): None for name in _PLANNERS for key in changes.get(name, ())}
        for identity in found:
            self._plan(identity)
        # Where a Gateway is strict about overlaps, or was, each route may concern each other one.
        if self._strict != self._kept_strict or (self._strict and found):
            self._kept_strict = self._strict
            for identity, kept in self._without_overlaps():
                self._meet(identity, kept)
        else:
            for identity in found.keys() & self._routes.keys():
                self._meet(identity, self._routes[identity].parents)

    def _plan(self, identity: RouteId) -> None:
        obj = getattr(self._plain, identity.field).get(identity.key)
        if obj is None:
            self._forget(identity)
            return
        targets = self._recorder.watched(_TARGETS, self._targets)

        known = self._routes.get(identity)

        def make() -> tuple[RoutePlan, tuple[Parent, ...], Reserve]:
            plan = _PLANNERS[identity.field](obj, self._watched)
            return plan, attach(plan, targets, self._watched), self._reserved(known, plan)

        plan, parents, reserve = self._make(identity, make)
        if known is None:
            self._routes[identity] = _Route(plan, parents)
        else:
            known.plan = known.plan if known.plan == plan else plan
            known.parents = known.parents if known.parents == parents else parents
            known.reserve = reserve
        self._unsaid[identity] = None

    def _forget(self, identity: RouteId) -> None:
        """Let a route go."""
        self._readers.note(identity, ())
        if identity in self._routes:
            self._note_answered(identity)
            self._put(identity, {})
            self._use(identity, frozenset(), frozenset())
            del self._routes[identity]
            self._unsaid[identity] = None

    def _reserved(self, known: _Route | None, plan: RoutePlan) -> Reserve:
        """Return what is in reserve for a route that has another plan than before."""
        if known is None:
            return Reserve()
        reserve = known.reserve
        if known.plan.entries != plan.entries:
            answering = any(self._plain.proxy_states.get(key, ProxyState()).connected for key in _proxies(known))
            reserve = succeeded(reserve, known.plan, plan, answering=answering)
        return usable(reserve, plan, self._watched)

    def _hear(self, changes: Changes) -> None:
        """Take note of routes that all their Envoys have answered to, as these were made the last time."""
        state = cache(lambda key: self._plain.proxy_states.get(key, ProxyState()))
        for key in changes.get("proxy_states", ()):
            for identity in list(self._unanswered[key]) if _has_answered(state(key)) else ():
                found = [state(each) for each in _proxies(self._routes[identity])]
                if all(map(_has_answered, found)):
                    self._settle(identity, [one for each in found for one in each.rejections])

    def _settle(self, identity: RouteId, rejections: Iterable[Rejection]) -> None:
        """Forget what is in reserve for rules that no Envoy refuses."""
        route = self._routes[identity]
        refused = [(one.source.rule, one.kept) for one in rejections if one.source and route.plan.has_made(one.source)]
        before, route.reserve = route.reserve, answered(route.reserve, route.plan, refused)
        if route.reserve.former != before.former:
            self._meet(identity, route.kept)
        if not refused:
            self._note_answered(identity)

    def _note_answered(self, identity: RouteId) -> None:
        for key in _proxies(self._routes[identity]):
            self._unanswered[key].discard(identity)

    def _without_overlaps(self) -> Iterator[tuple[RouteId, tuple[Parent, ...]]]:
        routes = list(self._routes.items())
        kept = without_overlaps([(route.plan, route.parents) for _, route in routes], self._strict)
        for (identity, route), (_, parents) in zip(routes, kept, strict=True):
            if parents != route.kept:
                self._unsaid[identity] = None
            yield identity, route.kept if parents == route.kept else parents

    def _meet(self, identity: RouteId, kept: tuple[Parent, ...]) -> None:
        """Attach a route to the listeners that take it; one that names a listener twice counts once."""
        route = self._routes[identity]
        route.kept = kept
        attachments = [(one.gateway.key, found) for one in kept for found in one.attachments]
        served = attachments if not route.plan.unaccepted else []
        former = route.reserve.former
        places = {(key, found.listener): AttachedRoute(route.plan, found.claims, former) for key, found in served}
        self._note_answered(identity)
        self._put(identity, places)
        for key in _proxies(route):
            self._unanswered[key].add(identity)
        users = frozenset((one.gateway.key, one.gateway.controller_name) for one in kept if one.problem is None)
        self._use(identity, referenced_services(route.plan.obj), users)

    def _put(self, identity: RouteId, places: Mapping[_Place, AttachedRoute]) -> None:
        route = self._routes[identity]
        before, route.places = route.places, places
        for place in {**before, **places}:
            old, new = before.get(place), places.get(place)
            if not _is_as_before(old, new) and place[0] in self._fleet:
                self._fleet[place[0]].attach(place[1], identity, new)
                self._touched[place[0]] = None

    def _use(self, identity: RouteId, services: Set[ObjectKey], users: frozenset[_User]) -> None:
        """Note which Gateways use which Services by a route: policies tell it."""
        route = self._routes[identity]
        for service in route.services - services:
            del self._users[service][identity]
        for service in services:
            self._users[service][identity] = users
        route.services = frozenset(services)
        if self._in_force:
            self._unsaid[_POLICIES] = None

    # What is served

    def _translate_ingresses(self) -> None:
        self._ingresses = self._make(_INGRESSES, lambda: translate_ingresses(self._watched))
        self.proxies = _with(self.proxies, INGRESS_PROXY_KEY, self._ingresses.proxy)
        self._unsaid[_INGRESSES] = None
        self._tell()

    def _refresh_endpoints(self, stale: Iterable[Hashable]) -> None:
        for reader in stale:
            if isinstance(reader, _EndpointsOf):
                self._look_up(reader.name)
                speakers = {key for key in self._speakers[reader.name] if self._tell_endpoints(key, reader.name)}
                self._speakers[reader.name] = speakers
                if not speakers:
                    self._readers.note(reader, ())
                    del self._endpoints[reader.name], self._speakers[reader.name]

    def _look_up(self, name: str) -> None:
        self._endpoints[name] = self._make(_EndpointsOf(name), lambda: endpoint_set(name, self._watched))

    def _tell_endpoints(self, key: ObjectKey, name: str) -> bool:
        """Give a proxy its endpoints; return whether it speaks to them at all."""
        is_wanted = key in self._fleet and self._fleet[key].endpoints(self._endpoints[name])
        if is_wanted:
            self._touched[key] = None
        return is_wanted

    def _serve(self) -> None:
        """Make the proxies anew that something has touched."""
        touched, self._touched = self._touched, {}
        for key in touched:
            made = self._served(key) if key in self._fleet else None
            if made is not self.proxies.get(gateway_proxy_key(*key)):
                self.proxies = _with(self.proxies, gateway_proxy_key(*key), made)
            self._unsaid[_StatusOf(key)] = None

    def _served(self, key: ObjectKey) -> Proxy:
        proxy = self._fleet[key].begin()
        for name in list(proxy.missing_endpoints):
            if name not in self._endpoints:
                self._look_up(name)
            proxy.endpoints(self._endpoints[name])
            self._speakers[name].add(key)
        return proxy.proxy(self._trust)

    # What is said

    def _stated(self, name: Hashable) -> tuple[StatusUpdate, ...]:
        match name:
            case RouteId():
                route = self._routes.get(name)
                made = route_status(route.plan, route.kept, self._plain) if route else None
                return (made,) if made else ()
            case _StatusOf():
                plan = self._gateways.get(name.gateway)
                return self._make(name, lambda: tuple(self._gateway_statuses(plan))) if plan else ()
            case _ if name == _CLASSES:
                return self._make(name, lambda: tuple(self._class_statuses()))
            case _ if name == _POLICIES:
                return tuple(self._policy_statuses())
            case _:
                return self._ingresses.statuses

    def _note_refusals(self, changes: Changes) -> None:
        """Find the routes whose rules Envoys have begun or ceased to refuse: their statuses tell."""
        for key in changes.get("proxy_states", ()):
            state = self._plain.proxy_states.get(key, ProxyState())
            found = frozenset(one for one in state.rejections if one.source is not None)
            changed = found ^ self._refused.get(key, frozenset())
            self._refused[key] = found
            for source in (one.source for one in changed):
                if source is not None and source.kind in _FIELDS:
                    self._unsaid[RouteId(_FIELDS[source.kind], ObjectKey(source.namespace, source.name))] = None
            if changed and key == INGRESS_PROXY_KEY:
                self._tell()

    def _class_statuses(self) -> Iterator[StatusUpdate]:
        for key, found in self._plain.gateway_classes.items():
            if key.name in self._classes:
                yield gateway_class_status(found, self._watched)

    def _gateway_statuses(self, plan: GatewayPlan) -> Iterator[StatusUpdate]:
        attached = self._fleet[plan.key].loads
        loads = {
            index: ListenerLoad(tuple(found.routes), len(found.routes))
            for index, found in attached.items()
            if found.routes
        }
        yield gateway_status(plan, loads, self.proxies, self._watched)
        yield from listener_set_statuses(plan, loads, self.proxies, self._watched)

    def _policy_statuses(self) -> Iterator[StatusUpdate]:
        for policy in self._policies:
            users = (users for target in policy.targets for users in self._users.get(target.service, {}).values())
            made = policy_status(policy, self._in_force, {user for found in users for user in found}, self._plain)
            if made is not None:
                yield made


def _is_as_before(old: AttachedRoute | None, new: AttachedRoute | None) -> bool:
    return old is not None and new is not None and old.plan is new.plan and old[1:] == new[1:]


def _has_answered(state: ProxyState) -> bool:
    """Say whether a proxy has Envoys, and all of them have taken or refused what they were sent."""
    return state.connected > 0 and state.settled


def _proxies(route: _Route) -> set[str]:
    """Return the keys of the proxies that serve a route."""
    return {gateway_proxy_key(*gateway) for gateway, _ in route.places}


def _place_among_statuses(source: Hashable) -> int:
    return 1 if isinstance(source, _StatusOf) else 2 if isinstance(source, RouteId) else _AROUND[source]


def _planned_gateways(resources: Resources) -> tuple[_GatewayClasses, Mapping[ObjectKey, GatewayPlan]]:
    """Return the classes that are ours, and the plans of their Gateways."""
    classes, sets = our_classes(resources), sets_by_gateway(resources)
    return classes, {
        key: plan_gateway(gateway, classes[class_name], resources, sets.get(key, ()))
        for key, gateway in resources.gateways.items()
        if (class_name := text(spec_of(gateway).get("gatewayClassName"))) in classes and not is_deleting(gateway)
    }


def _with(proxies: Proxies, key: str, proxy: Proxy | None) -> Proxies:
    """Return these proxies with another one under this key, or none."""
    others = {name: one for name, one in proxies.items() if name != key}
    return others if proxy is None else {**others, key: proxy}
