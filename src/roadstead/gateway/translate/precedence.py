"""The order of rules: all routes of a listener become virtual hosts whose lines are tried first to last.

The specification ranks every rule that could match a request: first by the route's host name, then by the match, then
by age (grpcroute_types.go, GRPCRouteRule.Matches). Envoy chooses one virtual host first and never looks into another.
So a virtual host carries the rules of every route whose host names cover its domain, not only of those that name it.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from roadstead.gateway.ir import (
    DirectResponse,
    Former,
    Match,
    PathMatch,
    Redirect,
    Reflect,
    Route,
    RouteSource,
    VirtualHost,
)
from roadstead.gateway.reflection.wiring import PATHS, host_key
from roadstead.gateway.translate.hostnames import ANY, covering, covers, specificity
from roadstead.gateway.translate.parents import Claim
from roadstead.gateway.translate.reserve import FormerEntry
from roadstead.gateway.translate.routes import Entry, RoutePlan

EVERY_REQUEST = Match(PathMatch("prefix", "/"))
_NOT_FOUND, _MISDIRECTED = 404, 421


class AttachedRoute(NamedTuple):
    """A route and the host names under which a listener serves it; `reserve`: what stands in for refused rules."""

    plan: RoutePlan
    claims: tuple[Claim, ...]
    reserve: tuple[FormerEntry, ...] = ()


class _Claimed(NamedTuple):
    written: str
    plan: RoutePlan
    reserve: tuple[FormerEntry, ...]


class AttachedRoutes:
    """The routes that are attached to one listener, findable by host name, as they come, change and go."""

    def __init__(self) -> None:
        self._routes: dict[Hashable, AttachedRoute] = {}
        self._claimed: dict[str, dict[Hashable, list[_Claimed]]] = {}

    @property
    def routes(self) -> Collection[AttachedRoute]:
        """All of them."""
        return self._routes.values()

    @property
    def hostnames(self) -> Collection[str]:
        """What is left at the listener of the routes' host names."""
        return self._claimed.keys()

    def get(self, identity: Hashable) -> AttachedRoute | None:
        """Return the route of this identity, or None."""
        return self._routes.get(identity)

    def put(self, identity: Hashable, route: AttachedRoute | None) -> set[str]:
        """Have this route under its identity, or none; return the host names under which something changes."""
        before = self._routes.pop(identity, None)
        touched = {claim.effective for claim in before.claims} if before else set()
        for hostname in touched:
            self._claimed[hostname].pop(identity)
            if not self._claimed[hostname]:
                del self._claimed[hostname]
        if route is not None:
            self._routes[identity] = route
            for claim in route.claims:
                of_route = self._claimed.setdefault(claim.effective, {}).setdefault(identity, [])
                of_route.append(_Claimed(claim.written, route.plan, route.reserve))
                touched.add(claim.effective)
        return touched

    def claimed(self, hostname: str) -> Iterator[_Claimed]:
        """Yield the routes that are served under exactly this host name."""
        for found in self._claimed.get(hostname, {}).values():
            yield from found


class ListenerRoutes(NamedTuple):
    """A listener's name for people, its host name and what is attached to it.

    `port`: what redirects that say neither scheme nor port lead to; None where the scheme implies it. `rivals`: host
    names of other listeners on the port that are more specific; what they cover is theirs (listener isolation),
    whether or not they have a route for it. `reflects`: its hosts answer reflection for all their backends.
    """

    name: str
    hostname: str
    routes: AttachedRoutes
    port: int | None = None
    rivals: tuple[str, ...] = ()
    reflects: bool = False

    @property
    def domains(self) -> Iterator[str]:
        """The domains for which the listener has a virtual host."""
        return (domain for domain in dict.fromkeys((self.hostname, *self.routes.hostnames)) if self.serves(domain))

    def serves(self, domain: str) -> bool:
        """Say whether the listener has a virtual host for exactly this domain."""
        if domain != self.hostname and domain not in self.routes.hostnames:
            return False
        return not any(covers(rival, domain) for rival in self.rivals)

    def touched(self, hostnames: Iterable[str]) -> set[str]:
        """Return the domains that may be served differently when routes with these host names have changed.

        An exact host name concerns itself alone, a wildcard all that it covers.
        """
        found = set(hostnames)
        wide = [hostname for hostname in found if hostname.startswith(ANY)]
        if wide:
            found |= {domain for domain in self.domains if any(covers(one, domain) for one in wide)}
        return found


def more_specific(hostname: str, neighbours: Iterable[str]) -> tuple[str, ...]:
    """Return those of a listener's neighbours on a port that are more specific than it is."""
    return tuple(other for other in neighbours if specificity(other) > specificity(hostname))


def virtual_host(listener: ListenerRoutes, domain: str) -> VirtualHost:
    """Return the virtual host of one domain that a listener serves."""
    claimed = _best(domain, listener.routes)
    routes = list(_reflection(listener, domain, claimed))
    reserve: list[Former] = []
    for former, entry in _ranked(claimed):
        lines = [_at_port(route, listener.port) for route in entry.routes]
        if former is None:
            routes += lines
        else:
            reserve += [Former(len(routes), former.version, former.taken, line) for line in lines]
    routes.append(_unmatched(listener.name, domain))
    return VirtualHost(domain, (domain,), tuple(routes), listener.name, tuple(reserve))


def _reflection(listener: ListenerRoutes, domain: str, claimed: Iterable[_Claimed]) -> Iterator[Route]:
    """Yield the line that lets reflection answer for all backends of a host, where the Gateway or a route says so."""
    plans = [one.plan for one in claimed if one.plan.kind == "GRPCRoute"]
    asking = next((plan for plan in plans if plan.reflects), None)
    if asking is not None or (plans and listener.reflects):
        source = RouteSource(asking.kind, *asking.key) if asking is not None else None
        match = Match(PathMatch("regex", PATHS), grpc=True)
        yield Route("reflection", match, Reflect(host_key(domain, listener.name)), source)


def _at_port(route: Route, port: int | None) -> Route:
    """Let a redirect that says neither scheme nor port stay on the listener's port (HTTPRequestRedirectFilter.Port)."""
    redirect = route.action
    if port is None or not isinstance(redirect, Redirect) or redirect.scheme or redirect.port is not None:
        return route
    return msgspec.structs.replace(route, action=msgspec.structs.replace(redirect, port=port))


def unknown_host(listeners: Iterable[str]) -> VirtualHost:
    """Return the virtual host for requests to a host that no listener of the port serves."""
    message = f"no listener serves this host; there are {', '.join(listeners)}"
    return VirtualHost(ANY, (ANY,), (Route("unknown-host", EVERY_REQUEST, DirectResponse(_NOT_FOUND, message)),))


def misdirected(domain: str, owner: str, used: str) -> VirtualHost:
    """Return the virtual host that sends a request for another listener's host away (RFC 9110, 421)."""
    message = f"this connection was opened for {used}, the host belongs to {owner}; open another connection"
    return VirtualHost(domain, (domain,), (Route("misdirected", EVERY_REQUEST, DirectResponse(_MISDIRECTED, message)),))


def _best(domain: str, routes: AttachedRoutes) -> list[_Claimed]:
    """Return the routes that serve a domain, each under the most specific of its host names that covers it."""
    found = [claimed for hostname in covering(domain) for claimed in routes.claimed(hostname)]
    if len(found) <= 1:
        return found
    best: dict[int, _Claimed] = {}
    for claimed in found:
        known = best.get(id(claimed.plan))
        if known is None or specificity(claimed.written) > specificity(known.written):
            best[id(claimed.plan)] = claimed
    return list(best.values())


def _ranked(claimed: Iterable[_Claimed]) -> Iterator[tuple[FormerEntry | None, Entry]]:
    """Yield all entries in the order in which they are tried; with those in reserve, what they are."""
    ranked: list[tuple[tuple[object, ...], FormerEntry | None, Entry]] = []
    for one in claimed:
        ranked += [(_precedence(one, entry), None, entry) for entry in one.plan.entries]
        ranked += [(_precedence(one, former.entry), former, former.entry) for former in one.reserve]
    ranked.sort(key=lambda found: found[0])
    for _, former, entry in ranked:
        yield former, entry


def _precedence(claimed: _Claimed, entry: Entry) -> tuple[object, ...]:
    exact, length = specificity(claimed.written)
    source = entry.routes[0].source
    position = (source.rule, source.match) if source else (0, 0)
    return (-exact, -length, entry.rank, claimed.plan.age, position)


def _unmatched(listener: str, domain: str) -> Route:
    host = "any host" if domain == ANY else domain
    message = f"no GRPCRoute or HTTPRoute of {listener} has a rule for {host} that matches this request"
    return Route("unmatched", EVERY_REQUEST, DirectResponse(_NOT_FOUND, message))
