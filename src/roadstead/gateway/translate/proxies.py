"""The proxy of a Gateway: listeners become ports and filter chains, attached routes become route tables.

Listeners that share a port share Envoy's listener. Plain HTTP has one route table per port. HTTPS has one filter chain
and one table per listener, told apart by SNI; a request whose host belongs to another listener is misdirected (421).
Listeners for TLS have the filter chains of their TLSRoutes (`streams`), beside those for HTTPS; TCP has one chain.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from roadstead.api.objects import Object, metadata_of
from roadstead.gateway.ir import (
    HTTP_ALPN,
    Certificate,
    ClientValidation,
    Cluster,
    EndpointSet,
    FilterChain,
    Listener,
    Owner,
    Parameters,
    Proxy,
    RouteTable,
    ServerTls,
    TrustBundle,
    VirtualHost,
    Workload,
    container_port,
    gateway_proxy_key,
)
from roadstead.gateway.resources import GATEWAY_GROUP
from roadstead.gateway.translate.clientcertificates import showing
from roadstead.gateway.translate.fields import mapping, mappings, spec_of, text, text_map
from roadstead.gateway.translate.hostnames import ANY
from roadstead.gateway.translate.listeners import HTTP, HTTPS, TCP, TERMINATE, TLS, ListenerPlan
from roadstead.gateway.translate.ordered import Ordered
from roadstead.gateway.translate.parents import GatewayPlan
from roadstead.gateway.translate.precedence import (
    AttachedRoute,
    AttachedRoutes,
    ListenerRoutes,
    misdirected,
    more_specific,
    unknown_host,
    virtual_host,
)
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.streams import stream_chains, stream_clusters

GATEWAY_NAME_LABEL = f"{GATEWAY_GROUP}/gateway-name"
GATEWAY_CLASS_LABEL = f"{GATEWAY_GROUP}/gateway-class-name"
_LONGEST_LABEL = 63
_LONGEST_WORKLOAD_NAME = 52  # leaves room for what Deployments append to the names of their pods
_DIGEST_LENGTH = 8
_IMPLIED_PORTS = {HTTP: 80, HTTPS: 443}
_STREAMED = (TLS, TCP)
_Protocol = Literal["HTTP", "HTTPS", "TLS", "TCP"]


class _Port(NamedTuple):
    """A port and the listeners served on it, with their routes; HTTPS stands for both kinds of TLS together."""

    number: int
    protocol: _Protocol
    listeners: tuple[tuple[ListenerPlan, ListenerRoutes], ...]


class _Table(NamedTuple):
    """A route table in the making: the listeners that it serves, and hosts that are answered without a route."""

    name: str
    listeners: tuple[ListenerRoutes, ...]
    answers: Mapping[str, VirtualHost]
    hosts: Ordered[VirtualHost]


class GatewayProxy:
    """The proxy of one Gateway, which changes as its plan, its routes and the endpoints of its Services do.

    Tell it what is new (`plan`, `attach`), let it `begin`, give it the endpoints that are new or missing, and ask for
    the `proxy`: what did not change is not made again, and is the very same object as before.
    """

    def __init__(self, plan: GatewayPlan) -> None:
        self._plan = plan
        self._key = gateway_proxy_key(*plan.key)
        self._routes: dict[int, AttachedRoutes] = {}
        self._ports: list[_Port] = []
        self._tables: dict[int, list[_Table]] = {}
        self._uses: Counter[Cluster] = Counter()
        self._clusters: Ordered[Cluster] = Ordered()
        self._shared: Counter[str] = Counter()
        self._endpoints: Ordered[EndpointSet] = Ordered()
        self._missing: set[str] = set()
        self._proxy = Proxy(self._key, workload(plan.obj, plan.parameters))
        self._is_new = True
        self._touched: dict[int, set[str]] = {}

    @property
    def loads(self) -> Mapping[int, AttachedRoutes]:
        """What is attached, by the listener's index in its Gateway."""
        return self._routes

    @property
    def missing_endpoints(self) -> Collection[str]:
        """The endpoint sets that clusters speak of and that nobody has told yet."""
        return self._missing

    def plan(self, plan: GatewayPlan) -> None:
        """Take a new plan of the Gateway."""
        self._plan, self._is_new = plan, True

    def attach(self, listener: int, identity: Hashable, route: AttachedRoute | None) -> None:
        """Have this route at a listener, or none under this identity."""
        routes = self._routes.setdefault(listener, AttachedRoutes())
        before = routes.get(identity)
        self._touched.setdefault(listener, set()).update(routes.put(identity, route))
        if not self._is_new:
            for cluster in self._clusters_of(listener, route):
                self._use(cluster, 1)
            for cluster in self._clusters_of(listener, before):
                self._use(cluster, -1)

    def endpoints(self, found: EndpointSet) -> bool:
        """Take the endpoints of a Service port; return whether the proxy speaks to it at all."""
        if found.name not in self._shared:
            return False
        self._endpoints.put(found.name, found)
        self._missing.discard(found.name)
        return True

    def begin(self) -> "GatewayProxy":
        """Make anew what a new plan or other routes concern; then endpoints may be missing."""
        if self._is_new:
            self._begin()
        else:
            self._touch()
        self._touched = {}
        return self

    def proxy(self, trust: Mapping[str, TrustBundle]) -> Proxy:
        """Return what the Envoys of the Gateway shall do; those of an invalid one, nothing."""
        wanted = {cluster.tls.trust for cluster in self._clusters.values if cluster.tls} if trust else set()
        made = msgspec.structs.replace(
            self._proxy,
            route_tables=self._route_tables(),
            clusters=() if self._plan.invalid else self._clusters.values,
            endpoints=() if self._plan.invalid else self._endpoints.values,
            trust_bundles=() if self._plan.invalid else self._trust(wanted, trust),
        )
        if made != self._proxy:
            self._proxy = made
        return self._proxy

    # A new plan

    def _begin(self) -> None:
        """Make everything that follows from the plan anew."""
        self._is_new = False
        plan = self._plan
        self._ports = [] if plan.invalid else self._planned_ports()
        self._count()
        self._tables = {port.number: _tables(self._key, port) for port in self._ports}
        self._proxy = Proxy(
            key=self._key,
            workload=workload(plan.obj, plan.parameters),
            listeners=tuple(_listener(self._key, port) for port in self._ports),
            certificates=() if plan.invalid else _certificates(plan),
            telemetry=plan.telemetry.telemetry,
        )

    def _planned_ports(self) -> list[_Port]:
        by_port: dict[int, list[tuple[int, ListenerPlan]]] = defaultdict(list)
        for index, plan in enumerate(self._plan.listeners):
            if plan.is_served:
                by_port[plan.port].append((index, plan))
        return [
            _Port(number, _protocol(plan for _, plan in found), tuple(self._paired(found)))
            for number, found in sorted(by_port.items())
        ]

    def _paired(self, listeners: Iterable[tuple[int, ListenerPlan]]) -> Iterator[tuple[ListenerPlan, ListenerRoutes]]:
        listeners = list(listeners)
        for index, plan in listeners:
            owner = f"ListenerSet {plan.origin}" if plan.origin else f"Gateway {self._plan.key}"
            name = f"listener {plan.name} of {owner}"
            port = None if plan.port == _IMPLIED_PORTS.get(plan.protocol) else plan.port
            rivals = more_specific(plan.hostname, (other.hostname for _, other in listeners))
            routes = self._routes.setdefault(index, AttachedRoutes())
            yield plan, ListenerRoutes(name, plan.hostname, routes, port, rivals, self._plan.reflects)

    def _count(self) -> None:
        """Count anew which clusters the routes use; endpoints that are still used stay known."""
        known = self._endpoints
        self._uses, self._clusters, self._shared, self._endpoints = Counter(), Ordered(), Counter(), Ordered()
        for listener, attached in self._routes.items():
            for route in attached.routes:
                for cluster in self._clusters_of(listener, route):
                    self._use(cluster, 1)
        for cluster in showing(self._plan.identity, self._plan.telemetry.clusters):
            self._use(cluster, 1)
        for name in self._shared:
            self._endpoints.put(name, known.get(name))
        self._missing = {name for name in self._shared if name not in self._endpoints}

    def _clusters_of(self, listener: int, route: AttachedRoute | None) -> Iterator[Cluster]:
        if route is None or listener >= len(self._plan.listeners):
            return
        entries = (*route.plan.entries, *(former.entry for former in route.reserve))
        found = {cluster for entry in entries for cluster in entry.clusters}
        found |= stream_clusters(self._plan.listeners, {listener: (route,)})
        yield from showing(self._plan.identity, found)

    def _use(self, cluster: Cluster, times: int) -> None:
        """Count one user of a cluster more or less; what nobody uses is forgotten."""
        before = self._uses[cluster]
        self._uses[cluster] += times
        if before == 0:
            self._clusters.put(cluster.name, cluster)
            self._shared[cluster.endpoints] += 1
            if cluster.endpoints not in self._endpoints:
                self._missing.add(cluster.endpoints)
        elif self._uses[cluster] == 0:
            del self._uses[cluster]
            if self._clusters.get(cluster.name) == cluster:
                self._clusters.put(cluster.name, None)
            self._shared[cluster.endpoints] -= 1
            if not self._shared[cluster.endpoints]:
                del self._shared[cluster.endpoints]
                self._endpoints.put(cluster.endpoints, None)
                self._missing.discard(cluster.endpoints)

    # Routes that come, change and go

    def _touch(self) -> None:
        """Make those parts anew that touched routes concern."""
        for port in self._ports:
            listeners = [(plan, routes, self._touched_at(routes)) for plan, routes in port.listeners]
            if any(touched and plan.protocol in _STREAMED for plan, _, touched in listeners):
                self._relisten(port)
            for table in self._tables[port.number]:
                for listener in table.listeners:
                    for domain in listener.touched(self._touched_at(listener)):
                        table.hosts.put(domain, _host_at(table, domain))

    def _touched_at(self, listener: ListenerRoutes) -> set[str]:
        return next((found for at, found in self._touched.items() if self._routes[at] is listener.routes), set())

    def _relisten(self, port: _Port) -> None:
        made = _listener(self._key, port)
        listeners = tuple(made if one.port == port.number else one for one in self._proxy.listeners)
        self._proxy = msgspec.structs.replace(self._proxy, listeners=listeners)

    def _route_tables(self) -> tuple[RouteTable, ...]:
        """Return the tables, those whose hosts are the same as they were."""
        known = {table.name: table for table in self._proxy.route_tables}
        made = []
        for table in (table for port in self._ports for table in self._tables[port.number]):
            before, hosts = known.get(table.name), table.hosts.values
            unchanged = before is not None and before.virtual_hosts is hosts
            made.append(before if before is not None and unchanged else RouteTable(table.name, hosts))
        return tuple(made)

    def _trust(self, wanted: Collection[str], trust: Mapping[str, TrustBundle]) -> tuple[TrustBundle, ...]:
        asked = {plan.clients.trust.name: plan.clients.trust for plan in self._plan.listeners if plan.clients}
        used = (trust[name] for name in sorted(wanted & trust.keys()))
        return (*used, *(asked[name] for name in sorted(asked)))


def _certificates(gateway: GatewayPlan) -> tuple[Certificate, ...]:
    found = {one.certificate.name: one.certificate for plan in gateway.listeners for one in plan.certificates}
    if gateway.identity and gateway.identity.certificate:
        found[gateway.identity.certificate.name] = gateway.identity.certificate
    return tuple(found[name] for name in sorted(found))


def _protocol(listeners: Iterable[ListenerPlan]) -> _Protocol:
    spoken = {plan.protocol for plan in listeners}
    return "TCP" if TCP in spoken else "HTTP" if HTTP in spoken else "HTTPS" if HTTPS in spoken else "TLS"


def _listener(key: str, port: _Port) -> Listener:
    if port.protocol != HTTP:
        chains = tuple(chain for plan, routes in port.listeners for chain in _chains(key, port, plan, routes))
        return Listener(f"{key}/{port.number}", port.number, container_port(port.number), port.protocol, chains)
    names = tuple(plan.label for plan, _ in port.listeners)
    chain = FilterChain("http", route_table=_table_name(key, port, ""), listeners=names)
    return Listener(f"{key}/{port.number}", port.number, container_port(port.number), "HTTP", (chain,))


def _chains(key: str, port: _Port, plan: ListenerPlan, routes: ListenerRoutes) -> list[FilterChain]:
    if plan.protocol in _STREAMED:
        neighbours = [other.hostname for other, _ in port.listeners if other is not plan]
        tls = _server_tls(plan, alpn=()) if plan.mode == TERMINATE else None
        return stream_chains(plan, tuple(routes.routes.routes), neighbours, tls)
    names = () if plan.hostname == ANY else (plan.hostname,)
    table = _table_name(key, port, plan.label)
    return [FilterChain(plan.label, names, _server_tls(plan), table, listeners=(plan.label,))]


def _server_tls(plan: ListenerPlan, alpn: tuple[str, ...] = HTTP_ALPN) -> ServerTls:
    return ServerTls(
        tuple(dict.fromkeys(one.certificate.name for one in plan.certificates)),
        minimum_version=plan.options.minimum_version,
        client_validation=ClientValidation(plan.clients.trust.name, plan.clients.optional) if plan.clients else None,
        alpn=alpn,
        cipher_suites=plan.options.cipher_suites,
    )


def _table_name(key: str, port: _Port, listener: str) -> str:
    return f"{key}/{port.number}/{listener}" if listener else f"{key}/{port.number}"


def _tables(key: str, port: _Port) -> list[_Table]:
    """Return the tables of a port, complete: one for plain HTTP, or one for each HTTPS listener."""
    unknown = {ANY: unknown_host(f"{plan.label} ({plan.hostname})" for plan, _ in port.listeners)}
    if port.protocol == HTTP:
        listeners = tuple(routes for _, routes in port.listeners)
        return [_filled(_Table(_table_name(key, port, ""), listeners, unknown, Ordered()))]
    return [
        _filled(_Table(_table_name(key, port, plan.label), (routes,), unknown | _others(port, plan, routes), Ordered()))
        for plan, routes in port.listeners
        if plan.protocol == HTTPS
    ]


def _others(port: _Port, used: ListenerPlan, listener: ListenerRoutes) -> dict[str, VirtualHost]:
    """Return the answers to requests for hosts of other listeners of the port, to which this one is no way."""
    return {
        plan.hostname: misdirected(plan.hostname, routes.name, listener.name)
        for plan, routes in port.listeners
        if plan is not used
    }


def _filled(table: _Table) -> _Table:
    """Fill a table with the hosts of its listeners, and with the answers for others."""
    domains = {domain for listener in table.listeners for domain in listener.domains}
    for domain in sorted(domains | table.answers.keys()):
        table.hosts.put(domain, _host_at(table, domain))
    return table


def _host_at(table: _Table, domain: str) -> VirtualHost | None:
    """Return what a table has for a domain, or None."""
    owner = next((listener for listener in table.listeners if listener.serves(domain)), None)
    return virtual_host(owner, domain) if owner is not None else table.answers.get(domain)


def workload(gateway: Object, parameters: Parameters | Problem) -> Workload:
    """Return under which name a Gateway's proxy runs, how, and what its objects carry (GEP-1762)."""
    metadata, spec = metadata_of(gateway), spec_of(gateway)
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    class_name = text(spec.get("gatewayClassName"))
    infrastructure = mapping(spec.get("infrastructure"))
    labels = text_map(infrastructure.get("labels")) | {
        GATEWAY_NAME_LABEL: shortened(name, _LONGEST_LABEL),
        GATEWAY_CLASS_LABEL: shortened(class_name, _LONGEST_LABEL),
    }
    return Workload(
        namespace=namespace,
        name=workload_name(name, class_name),
        labels=tuple(sorted(labels.items())),
        annotations=tuple(sorted(text_map(infrastructure.get("annotations")).items())),
        addresses=tuple(address for one in mappings(spec.get("addresses")) if (address := text(one.get("value")))),
        owner=Owner("gateway.networking.k8s.io/v1", "Gateway", namespace, name, text(metadata.get("uid"))),
        parameters=None if isinstance(parameters, Problem) else parameters,
    )


def workload_name(gateway: str, class_name: str) -> str:
    """Return the name of a Gateway's Deployment and Service: `GATEWAY-CLASS`, made fit for a Service's name."""
    wanted = f"{gateway}-{class_name}" if class_name else gateway
    fit = re.sub(r"[^a-z0-9-]", "-", wanted.lower())
    if not fit[:1].isalpha():
        fit = f"gateway-{fit}"
    return shortened(fit, _LONGEST_WORKLOAD_NAME, unchanged=fit == wanted)


def shortened(name: str, limit: int, *, unchanged: bool = True) -> str:
    """Return a name as it is if it fits, or else its beginning and a digest of the whole."""
    if unchanged and len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: limit - _DIGEST_LENGTH - 1].rstrip('-.')}-{digest}"
