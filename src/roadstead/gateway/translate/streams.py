"""Listeners for TLS and TCP: the routes of a listener become filter chains, by the name that clients ask for.

A name belongs to the listener that is most specific about it, and there to the route whose host name is; of equals to
the older. A name without a route is refused by the listener that it belongs to, not left to a wider one. TCP knows no
names: all connections go to the oldest route.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from roadstead.gateway.ir import Cluster, FilterChain, ServerTls, Stream
from roadstead.gateway.translate.hostnames import ANY, covers, specificity
from roadstead.gateway.translate.listeners import TCP, TERMINATE, ListenerPlan
from roadstead.gateway.translate.precedence import AttachedRoute
from roadstead.gateway.translate.streamroutes import Streaming, StreamRoutePlan


def stream_chains(
    listener: ListenerPlan, routes: Sequence[AttachedRoute], neighbours: Iterable[str], tls: ServerTls | None
) -> list[FilterChain]:
    """Return the chains of a listener for TLS or TCP, at least one.

    `neighbours`: host names of the other listeners on the port. `tls`: how TLS ends, None where it passes through.
    """
    rivals = [host for host in neighbours if specificity(host) > specificity(listener.hostname)]
    served: dict[str, tuple[StreamRoutePlan, list[str]]] = {}
    chosen = _chosen(routes)
    for name in sorted(chosen):
        if not any(covers(rival, name) for rival in rivals):
            served.setdefault(str(chosen[name].key), (chosen[name], []))[1].append(name)
    chains = [chain for plan, names in served.values() for chain in _route_chains(listener, plan, names, tls)]
    return chains if listener.hostname in chosen else [*chains, _refusing(listener)]


def stream_clusters(listeners: Sequence[ListenerPlan], attached: Mapping[int, Sequence[AttachedRoute]]) -> set[Cluster]:
    """Return the clusters to which the TLSRoutes of these listeners lead."""
    return {
        cluster
        for index, routes in attached.items()
        for route in routes
        if isinstance(route.plan, StreamRoutePlan)
        for cluster in _streaming(listeners[index], route.plan).clusters
    }


def _streaming(listener: ListenerPlan, plan: StreamRoutePlan) -> Streaming:
    return plan.ended if listener.mode == TERMINATE else plan.passed


def _chosen(routes: Iterable[AttachedRoute]) -> Mapping[str, StreamRoutePlan]:
    """Return, for each name that is served at the listener, the route that it goes to."""
    rivals: dict[str, list[tuple[tuple[int, int], StreamRoutePlan]]] = defaultdict(list)
    for route in routes:
        if isinstance(route.plan, StreamRoutePlan):
            for claim in route.claims:
                rivals[claim.effective].append((specificity(claim.written), route.plan))

    def precedence(one: tuple[tuple[int, int], StreamRoutePlan]) -> tuple[object, ...]:
        (exact, length), plan = one
        return (-exact, -length, plan.age)

    return {name: min(found, key=precedence)[1] for name, found in rivals.items()}


def _route_chains(
    listener: ListenerPlan, plan: StreamRoutePlan, names: list[str], tls: ServerTls | None
) -> Iterable[FilterChain]:
    """Yield the chain of a route's names, and one of its own for any name: Envoy knows that by having none."""
    stream, about = _streaming(listener, plan).stream, f"{listener.label}/{plan.kind.lower()}/{plan.key}"
    exact = tuple(name for name in names if name != ANY)
    if exact:
        yield FilterChain(about, exact, tls, stream=stream, listeners=(listener.label,))
    if ANY in names:
        yield FilterChain(f"{about}/any", (), tls, stream=stream, listeners=(listener.label,))


def _refusing(listener: ListenerPlan) -> FilterChain:
    host = "any host" if listener.hostname == ANY else listener.hostname
    found = "has no TCPRoute" if listener.protocol == TCP else f"has no TLSRoute for {host}"
    stream = Stream(why=f"listener {listener.label} {found}")
    names = () if listener.hostname == ANY else (listener.hostname,)
    return FilterChain(f"{listener.label}/refused", names, stream=stream, listeners=(listener.label,))
