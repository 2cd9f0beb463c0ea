"""The order of rules: all routes of a listener become virtual hosts whose lines are tried first to last.

The specification ranks every rule that could match a request: first by the route's host name, then by the match, then
by age (grpcroute_types.go, GRPCRouteRule.Matches). Envoy chooses one virtual host first and never looks into another.
So a virtual host carries the rules of every route whose host names cover its domain, not only of those that name it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from roadstead.gateway.ir import DirectResponse, Match, PathMatch, Redirect, Route, VirtualHost
from roadstead.gateway.translate.hostnames import ANY, covers, specificity
from roadstead.gateway.translate.memory import Memory
from roadstead.gateway.translate.parents import Claim
from roadstead.gateway.translate.routes import Entry, RoutePlan

EVERY_REQUEST = Match(PathMatch("prefix", "/"))
_NOT_FOUND, _MISDIRECTED = 404, 421


class AttachedRoute(NamedTuple):
    """A route and the host names under which a listener serves it."""

    plan: RoutePlan
    claims: tuple[Claim, ...]


class ListenerRoutes(NamedTuple):
    """A listener's name for people, its host name and what is attached to it.

    `port`: what redirects that say neither scheme nor port lead to; None where the scheme implies it.
    """

    name: str
    hostname: str
    routes: Sequence[AttachedRoute]
    port: int | None = None


def virtual_hosts(listener: ListenerRoutes, neighbours: Iterable[str], memory: Memory) -> list[VirtualHost]:
    """Return the virtual hosts of one listener.

    `neighbours`: host names of the other listeners on the port. What one of them is more specific about is theirs
    (listener isolation), whether or not they have a route for it.
    """
    claims = _by_hostname(listener.routes)
    rivals = [host for host in neighbours if specificity(host) > specificity(listener.hostname)]
    domains = [
        host for host in dict.fromkeys((listener.hostname, *claims)) if not any(covers(rival, host) for rival in rivals)
    ]
    return [_virtual_host(listener, domain, claims, memory) for domain in sorted(domains)]


def _virtual_host(listener: ListenerRoutes, domain: str, claims: "_Claims", memory: Memory) -> VirtualHost:
    claimed = _best(domain, claims)
    inputs = [part for one in claimed for part in one]

    def make() -> VirtualHost:
        lines = (_at_port(route, listener.port) for route in _lines(claimed))
        return VirtualHost(domain, (domain,), (*lines, _unmatched(listener.name, domain)), listener.name)

    return memory.recall(("host", listener.name, listener.port, domain), inputs, make)


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


class _Claimed(NamedTuple):
    written: str
    plan: RoutePlan


_Claims = Mapping[str, Sequence[_Claimed]]
"""By what is left of a route's host name at the listener."""


def _by_hostname(routes: Iterable[AttachedRoute]) -> _Claims:
    found: dict[str, list[_Claimed]] = defaultdict(list)
    for route in routes:
        for claim in route.claims:
            found[claim.effective].append(_Claimed(claim.written, route.plan))
    return found


def _best(domain: str, claims: _Claims) -> list[_Claimed]:
    """Return the routes that serve a domain, each under the most specific of its host names that covers it."""
    found = [claimed for hostname in _covering(domain) for claimed in claims.get(hostname, ())]
    if len(found) <= 1:
        return found
    best: dict[int, _Claimed] = {}
    for claimed in found:
        known = best.get(id(claimed.plan))
        if known is None or specificity(claimed.written) > specificity(known.written):
            best[id(claimed.plan)] = claimed
    return list(best.values())


def _lines(claimed: Iterable[_Claimed]) -> Iterator[Route]:
    ranked = [(_precedence(one, entry), entry) for one in claimed for entry in one.plan.entries]
    ranked.sort(key=lambda pair: pair[0])
    for _, entry in ranked:
        yield from entry.routes


def _covering(domain: str) -> Iterator[str]:
    """Yield every pattern that covers a domain, without asking each pattern that there is."""
    yield domain
    rest = domain.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    if domain != ANY:
        yield ANY


def _precedence(claimed: _Claimed, entry: Entry) -> tuple[object, ...]:
    exact, length = specificity(claimed.written)
    source = entry.routes[0].source
    position = (source.rule, source.match) if source else (0, 0)
    return (-exact, -length, entry.rank, claimed.plan.age, position)


def _unmatched(listener: str, domain: str) -> Route:
    host = "any host" if domain == ANY else domain
    message = f"no GRPCRoute or HTTPRoute of {listener} has a rule for {host} that matches this request"
    return Route("unmatched", EVERY_REQUEST, DirectResponse(_NOT_FOUND, message))
