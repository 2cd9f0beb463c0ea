"""The proxy of a Gateway: listeners become ports and filter chains, attached routes become route tables.

Listeners that share a port share Envoy's listener. Plain HTTP has one route table per port. HTTPS has one filter chain
and one table per listener, told apart by SNI; a request whose host belongs to another listener is misdirected (421).
Listeners for TLS have the filter chains of their TLSRoutes (`streams`), beside those for HTTPS.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from roadstead.api.objects import Object, metadata_of
from roadstead.gateway.ir import (
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
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.translate.backends import endpoint_set, endpoints_service
from roadstead.gateway.translate.clientcertificates import showing
from roadstead.gateway.translate.fields import mapping, mappings, spec_of, text, text_map
from roadstead.gateway.translate.hostnames import ANY
from roadstead.gateway.translate.listeners import HTTP, HTTPS, PASSTHROUGH, TLS, ListenerPlan
from roadstead.gateway.translate.memory import Memory
from roadstead.gateway.translate.parents import GatewayPlan
from roadstead.gateway.translate.precedence import (
    AttachedRoute,
    ListenerRoutes,
    misdirected,
    unknown_host,
    virtual_hosts,
)
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.streams import stream_chains, stream_clusters

GATEWAY_NAME_LABEL = f"{GATEWAY_GROUP}/gateway-name"
GATEWAY_CLASS_LABEL = f"{GATEWAY_GROUP}/gateway-class-name"
_LONGEST_LABEL = 63
_LONGEST_WORKLOAD_NAME = 52  # leaves room for what Deployments append to the names of their pods
_DIGEST_LENGTH = 8
_IMPLIED_PORTS = {HTTP: 80, HTTPS: 443}

AttachedRoutes = Mapping[int, Sequence[AttachedRoute]]
"""By the listener's index in its Gateway."""


class _Port(NamedTuple):
    """A port and the listeners served on it, with their routes; HTTPS stands for both kinds of TLS together."""

    number: int
    protocol: Literal["HTTP", "HTTPS", "TLS"]
    listeners: tuple[tuple[ListenerPlan, ListenerRoutes], ...]


def gateway_proxy(gateway: GatewayPlan, attached: AttachedRoutes, resources: Resources, memory: Memory) -> Proxy:
    """Return what the Envoys of a Gateway shall do; those of an invalid one, nothing."""
    key = gateway_proxy_key(*gateway.key)
    if gateway.invalid:
        return Proxy(key, workload(gateway.obj, gateway.parameters))
    ports = _ports(gateway, attached)
    certificates = {one.certificate.name: one.certificate for plan in gateway.listeners for one in plan.certificates}
    if gateway.identity and gateway.identity.certificate:
        certificates[gateway.identity.certificate.name] = gateway.identity.certificate
    used = {*used_clusters(route for routes in attached.values() for route in routes)}
    used |= stream_clusters(gateway.listeners, attached)
    clusters = tuple(showing(gateway.identity, sorted(used, key=lambda one: one.name)))
    asked = {plan.clients.trust.name: plan.clients.trust for plan in gateway.listeners if plan.clients}
    return Proxy(
        key=key,
        workload=workload(gateway.obj, gateway.parameters),
        listeners=tuple(_listener(key, port) for port in ports),
        route_tables=tuple(table for port in ports for table in _tables(key, port, memory)),
        clusters=clusters,
        endpoints=used_endpoints(clusters, resources, memory),
        certificates=tuple(certificates[name] for name in sorted(certificates)),
        trust_bundles=(*used_trust(clusters, resources), *(asked[name] for name in sorted(asked))),
    )


def used_clusters(routes: Iterable[AttachedRoute]) -> tuple[Cluster, ...]:
    """Return the clusters that these routes speak of, each once, sorted."""
    found = {cluster.name: cluster for route in routes for entry in route.plan.entries for cluster in entry.clusters}
    return tuple(found[name] for name in sorted(found))


def used_endpoints(clusters: Iterable[Cluster], resources: Resources, memory: Memory) -> tuple[EndpointSet, ...]:
    """Return the endpoints of these clusters, each set once, sorted."""
    names = sorted({cluster.endpoints for cluster in clusters})
    return tuple(_endpoints(name, resources, memory) for name in names)


def used_trust(clusters: Iterable[Cluster], resources: Resources) -> tuple[TrustBundle, ...]:
    """Return the authorities by which clusters judge their backends, sorted."""
    wanted = {cluster.tls.trust for cluster in clusters if cluster.tls and cluster.tls.trust}
    found = {plan.trust.name: plan.trust for plan in resources.backend_tls.values() if plan.trust}
    return tuple(found[name] for name in sorted(wanted & found.keys()))


def _endpoints(name: str, resources: Resources, memory: Memory) -> EndpointSet:
    service = endpoints_service(name)
    inputs = (resources.services.get(service), *resources.endpoint_slices.get(service, ()))
    return memory.recall(("endpoints", name), inputs, lambda: endpoint_set(name, resources))


def _ports(gateway: GatewayPlan, attached: AttachedRoutes) -> list[_Port]:
    by_port: dict[int, list[tuple[ListenerPlan, ListenerRoutes]]] = defaultdict(list)
    for index, plan in enumerate(gateway.listeners):
        if plan.is_served:
            owner = f"ListenerSet {plan.origin}" if plan.origin else f"Gateway {gateway.key}"
            name = f"listener {plan.name} of {owner}"
            port = None if plan.port == _IMPLIED_PORTS.get(plan.protocol) else plan.port
            by_port[plan.port].append((plan, ListenerRoutes(name, plan.hostname, attached.get(index, ()), port)))
    return [_Port(number, _protocol(pairs), tuple(pairs)) for number, pairs in sorted(by_port.items())]


def _protocol(listeners: Iterable[tuple[ListenerPlan, ListenerRoutes]]) -> Literal["HTTP", "HTTPS", "TLS"]:
    spoken = {plan.protocol for plan, _ in listeners}
    return "HTTP" if HTTP in spoken else "HTTPS" if HTTPS in spoken else "TLS"


def _listener(key: str, port: _Port) -> Listener:
    if port.protocol != HTTP:
        chains = tuple(chain for plan, routes in port.listeners for chain in _tls_chains(key, port, plan, routes))
        return Listener(f"{key}/{port.number}", port.number, container_port(port.number), port.protocol, chains)
    names = tuple(plan.label for plan, _ in port.listeners)
    chain = FilterChain("http", route_table=_table_name(key, port, ""), listeners=names)
    return Listener(f"{key}/{port.number}", port.number, container_port(port.number), "HTTP", (chain,))


def _tls_chains(key: str, port: _Port, plan: ListenerPlan, routes: ListenerRoutes) -> list[FilterChain]:
    if plan.protocol == TLS:
        neighbours = [other.hostname for other, _ in port.listeners if other is not plan]
        tls = None if plan.mode == PASSTHROUGH else _server_tls(plan, alpn=())
        return stream_chains(plan, routes.routes, neighbours, tls)
    names = () if plan.hostname == ANY else (plan.hostname,)
    table = _table_name(key, port, plan.label)
    return [FilterChain(plan.label, names, _server_tls(plan), table, listeners=(plan.label,))]


def _server_tls(plan: ListenerPlan, alpn: tuple[str, ...] = ("h2", "http/1.1")) -> ServerTls:
    return ServerTls(
        tuple(dict.fromkeys(one.certificate.name for one in plan.certificates)),
        minimum_version=plan.options.minimum_version,
        client_validation=ClientValidation(plan.clients.trust.name, plan.clients.optional) if plan.clients else None,
        alpn=alpn,
        cipher_suites=plan.options.cipher_suites,
    )


def _table_name(key: str, port: _Port, listener: str) -> str:
    return f"{key}/{port.number}/{listener}" if listener else f"{key}/{port.number}"


def _tables(key: str, port: _Port, memory: Memory) -> list[RouteTable]:
    if port.protocol != HTTP:
        served = [(plan, routes) for plan, routes in port.listeners if plan.protocol == HTTPS]
        return [_tls_table(key, port, plan, routes, memory) for plan, routes in served]
    hostnames = [plan.hostname for plan, _ in port.listeners]
    hosts = [host for _, routes in port.listeners for host in virtual_hosts(routes, hostnames, memory)]
    return [RouteTable(_table_name(key, port, ""), _completed(hosts, port))]


def _tls_table(key: str, port: _Port, plan: ListenerPlan, routes: ListenerRoutes, memory: Memory) -> RouteTable:
    others = [(other, named.name) for other, named in port.listeners if other is not plan]
    hosts = virtual_hosts(routes, [other.hostname for other, _ in others], memory)
    known = {host.name for host in hosts}
    hosts += [misdirected(other.hostname, name, routes.name) for other, name in others if other.hostname not in known]
    return RouteTable(_table_name(key, port, plan.label), _completed(hosts, port))


def _completed(hosts: list[VirtualHost], port: _Port) -> tuple[VirtualHost, ...]:
    """Sort the virtual hosts and add the one for any other host, if it is not there."""
    if not any(host.name == ANY for host in hosts):
        hosts = [*hosts, unknown_host(f"{plan.label} ({plan.hostname})" for plan, _ in port.listeners)]
    return tuple(sorted(hosts, key=lambda host: host.name))


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
