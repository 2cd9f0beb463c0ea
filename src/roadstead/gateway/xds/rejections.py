"""Which manifest a rejection is about: Envoy names the resource that it refuses, a user wants to know the route.

Envoy's words are the only clue: either they say where in the resource the fault is, or they quote what is wrong.
"""

import re
from collections.abc import Iterator

from roadstead.gateway import ir
from roadstead.gateway.xds.resources import Ref, ResourceType
from roadstead.gateway.xds.tables import piece_named

_CONSTRAINT = "Proto constraint validation failed"
_PLACE = re.compile(r"VirtualHosts\[(\d+)\].*?Routes\[(\d+)\]", re.DOTALL)
_LONGEST = 1000


def concise(message: str) -> str:
    """Return Envoy's words without the resource that it prints before them: that may hold a private key."""
    _, found, reason = message.rpartition(_CONSTRAINT)
    return (found + reason)[:_LONGEST]


def rejection(proxy: ir.Proxy | None, ref: Ref, message: str) -> ir.Rejection:
    """Return what is refused and why, with the rule that is at fault if that can be told."""
    table = _table(proxy, ref)
    source = at_fault(table, message) if table is not None else None
    return ir.Rejection(f"{ref} ({source})" if source is not None else str(ref), message)


def _table(proxy: ir.Proxy | None, ref: Ref) -> ir.RouteTable | None:
    if proxy is None or ref.type is not ResourceType.ROUTES:
        return None
    return piece_named(proxy.route_tables, ref.name)


def at_fault(table: ir.RouteTable, message: str) -> ir.RouteSource | None:
    """Return the rule of a table that Envoy's words are about, or None if they do not tell.

    Of several expressions that they contain it is the longest: `a` occurs in most sentences.
    """
    place = _PLACE.search(message)
    if place is not None:
        return _source_at(table, int(place[1]), int(place[2]))
    quoted = (
        (len(pattern), route.source)
        for host in table.virtual_hosts
        for route in host.routes
        for pattern in _patterns(route.match)
        if pattern in message
    )
    return max(quoted, key=lambda found: found[0], default=(0, None))[1]


def _source_at(table: ir.RouteTable, host: int, route: int) -> ir.RouteSource | None:
    try:
        return table.virtual_hosts[host].routes[route].source
    except IndexError:
        return None


def _patterns(match: ir.Match) -> Iterator[str]:
    """Yield the regular expressions of a match: what Envoy quotes when it cannot compile one."""
    conditions: tuple[ir.PathMatch | ir.ValueMatch, ...] = (match.path, *match.headers, *match.query)
    return (each.value for each in conditions if each.kind == "regex" and each.value)
