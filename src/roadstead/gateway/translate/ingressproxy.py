"""The proxy of all Ingresses: hosts and locations become virtual hosts on ports 80 and 443.

Both ports have a table of their own, because the plain one redirects where the other one serves. All HTTPS chains share
one table: nginx, too, chooses a certificate by SNI and a server by the Host header, independently.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from roadstead.api.objects import ObjectKey
from roadstead.gateway.ir import (
    Certificate,
    Cluster,
    Destination,
    DirectResponse,
    FilterChain,
    Forward,
    Listener,
    Match,
    Proxy,
    Redirect,
    Route,
    RouteSource,
    RouteTable,
    ServerTls,
    Timeouts,
    ValueMatch,
    VirtualHost,
    Workload,
    container_port,
)
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backends import endpoint_set
from roadstead.gateway.translate.expressions import expression_problem
from roadstead.gateway.translate.headers import is_header_name, is_header_value
from roadstead.gateway.translate.hostnames import ANY
from roadstead.gateway.translate.nginx import Annotations, Canary
from roadstead.gateway.translate.precedence import EVERY_REQUEST

_HTTP, _HTTPS = 80, 443
_PERMANENT_REDIRECT, _NOT_FOUND, _UNAVAILABLE = 308, 404, 503
_CHALLENGE = "/.well-known/acme-challenge"
_PATH_RANKS = {"exact": 0, "prefix": 1, "regex": 1}


@dataclass(frozen=True, slots=True)
class Location:
    """A path of a host and the Service behind it; without a cluster, `missing` says why."""

    ingress: ObjectKey
    place: str
    path: str
    match: Match
    cluster: Cluster | None
    missing: str
    annotations: Annotations
    canary: tuple[Cluster, Canary] | None = None

    def with_canary(self, cluster: Cluster, canary: Canary) -> "Location":
        """Return this location with a canary beside it."""
        return replace(self, canary=(cluster, canary))

    @property
    def clusters(self) -> list[Cluster]:
        """Return all clusters that it may send to."""
        found = [self.cluster] if self.cluster else []
        return [*found, self.canary[0]] if self.canary else found


@dataclass(frozen=True, slots=True)
class IngressHost:
    """A host and its locations. `has_tls`: some Ingress has a `tls` section for it; `certificate` None: the default."""

    name: str
    locations: tuple[Location, ...]
    has_tls: bool
    certificate: Certificate | None


def ingress_proxy(
    key: str, workload: Workload, hosts: Sequence[IngressHost], resources: Resources, *, https_port: int | None
) -> Proxy:
    """Return what the Ingress proxy does. `https_port`: where clients on this host reach port 443, if elsewhere."""
    found = {cluster.name: cluster for host in hosts for one in host.locations for cluster in one.clusters}
    clusters = tuple(found[name] for name in sorted(found))
    default = resources.default_certificate
    served = {host.certificate.name: host.certificate for host in hosts if host.certificate}
    certificates = served | ({default.name: default} if default else {})
    return Proxy(
        key=key,
        workload=workload,
        listeners=_listeners(key, hosts, default),
        route_tables=(
            _table(f"{key}/{_HTTP}", hosts, https_port, plain=True),
            _table(f"{key}/{_HTTPS}", hosts, https_port, plain=False),
        ),
        clusters=clusters,
        endpoints=tuple(endpoint_set(name, resources) for name in sorted({one.endpoints for one in clusters})),
        certificates=tuple(certificates[name] for name in sorted(certificates)),
    )


def _listeners(key: str, hosts: Iterable[IngressHost], default: Certificate | None) -> tuple[Listener, ...]:
    plain = FilterChain("http", route_table=f"{key}/{_HTTP}")
    chains = [
        FilterChain(host.name, (host.name,), ServerTls((host.certificate.name,)), f"{key}/{_HTTPS}")
        for host in hosts
        if host.certificate and host.name != ANY
    ]
    if default:
        chains.append(FilterChain("default", (), ServerTls((default.name,)), f"{key}/{_HTTPS}"))
    listeners = [Listener(f"{key}/{_HTTP}", _HTTP, container_port(_HTTP), "HTTP", (plain,))]
    if chains:
        listeners.append(Listener(f"{key}/{_HTTPS}", _HTTPS, container_port(_HTTPS), "HTTPS", tuple(chains)))
    return tuple(listeners)


def _table(name: str, hosts: Iterable[IngressHost], https_port: int | None, *, plain: bool) -> RouteTable:
    made = [_virtual_host(host, https_port, plain=plain) for host in hosts]
    if not any(host.name == ANY for host in made):
        answer = DirectResponse(_NOT_FOUND, "no Ingress has a rule for this host")
        made.append(VirtualHost(ANY, (ANY,), (Route("unknown-host", EVERY_REQUEST, answer),)))
    return RouteTable(name, tuple(sorted(made, key=lambda host: host.name)))


def _virtual_host(host: IngressHost, https_port: int | None, *, plain: bool) -> VirtualHost:
    answer = DirectResponse(_NOT_FOUND, f"no Ingress has a path for this request to {host.name}")
    routes: list[Route] = []
    for location in sorted(host.locations, key=lambda one: (_PATH_RANKS[one.match.path.kind], -len(one.path))):
        if plain and _redirects(host, location):
            redirect = Redirect(_PERMANENT_REDIRECT, "https", port=https_port)
            routes.append(Route(_name(location), location.match, redirect, _source(location)))
        else:
            routes += _serving(location)
    return VirtualHost(host.name, (host.name,), (*routes, Route("unmatched", EVERY_REQUEST, answer)))


def _redirects(host: IngressHost, location: Location) -> bool:
    if location.path.startswith(_CHALLENGE):
        return False
    return location.annotations.force_ssl_redirect or (location.annotations.ssl_redirect and host.has_tls)


def _name(location: Location) -> str:
    return f"ingress/{location.ingress}/{location.place}"


def _source(location: Location) -> RouteSource:
    return RouteSource("Ingress", location.ingress.namespace, location.ingress.name, rule_name=location.place)


def _serving(location: Location) -> Iterator[Route]:
    name, source = _name(location), _source(location)
    if location.cluster is None:
        yield Route(name, location.match, DirectResponse(_UNAVAILABLE, f"{source}: {location.missing}"), source)
        return
    if location.canary is None:
        yield Route(name, location.match, _forward(location, [Destination(location.cluster.name)]), source)
        return
    other, canary = location.canary
    always, never = _decided(canary)
    for number, condition in enumerate(always):
        action = _forward(location, [Destination(other.name)])
        yield Route(f"{name}/canary/{number}", _and(location.match, condition), action, source)
    for number, condition in enumerate(never):
        action = _forward(location, [Destination(location.cluster.name)])
        yield Route(f"{name}/main/{number}", _and(location.match, condition), action, source)
    yield Route(name, location.match, _forward(location, _weighted(location.cluster, other, canary)), source)


def _weighted(main: Cluster, other: Cluster, canary: Canary) -> list[Destination]:
    share = min(canary.weight, canary.total)
    weighted = [Destination(main.name, canary.total - share), Destination(other.name, share)]
    return [one for one in weighted if one.weight]


def _decided(canary: Canary) -> tuple[list[ValueMatch], list[ValueMatch]]:
    """Return the conditions under which a request surely goes to the canary, and surely not: header before cookie."""
    always: list[ValueMatch] = []
    never: list[ValueMatch] = []
    if canary.header and is_header_name(canary.header):
        if canary.header_value and is_header_value(canary.header_value):
            always.append(ValueMatch(canary.header, "exact", canary.header_value))
        elif canary.header_pattern and expression_problem(canary.header_pattern) is None:
            always.append(ValueMatch(canary.header, "regex", f".*(?:{canary.header_pattern}).*"))
        else:
            always.append(ValueMatch(canary.header, "exact", "always"))
            never.append(ValueMatch(canary.header, "exact", "never"))
    elif canary.cookie and is_header_name(canary.cookie):
        cookie = rf"(?:.*;\s*)?{re.escape(canary.cookie)}="
        always.append(ValueMatch("cookie", "regex", rf"{cookie}always(?:;.*)?"))
        never.append(ValueMatch("cookie", "regex", rf"{cookie}never(?:;.*)?"))
    return always, never


def _and(match: Match, condition: ValueMatch) -> Match:
    return msgspec.structs.replace(match, headers=(*match.headers, condition))


def _forward(location: Location, destinations: Sequence[Destination]) -> Forward:
    return Forward(
        destinations=tuple(destinations),
        host_rewrite=location.annotations.upstream_host,
        timeouts=Timeouts(idle=location.annotations.idle_timeout),
    )
