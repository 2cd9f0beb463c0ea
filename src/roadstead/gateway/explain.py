"""Why a request goes where it goes: listener, chain, host, the lines that were tried, and the one that decided.

The answer comes from the same IR that Envoy is programmed with, by the same rules (`matching`). Next: the command line
prints it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from roadstead.gateway.ir import Action, FilterChain, Listener, Proxy, Route, Stream, VirtualHost
from roadstead.gateway.matching import Request, chosen_chain, chosen_host, mismatch

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that did not decide, and why: it does not match, or it matches and comes later."""

    route: Route
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line that decides, for this share of such requests."""

    route: Route
    share: float

    @property
    def action(self) -> Action:
        """What the line does."""
        return self.route.action


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to a request.

    `refusal`: why it does not even come to routing. `outcomes`: usually one; two where some backends are invalid, whose
    share is refused. `lost`: the candidates that did not decide, in the order in which they are tried. `stream`: where
    the connection goes as a whole; there is no look at requests then.
    """

    listener: Listener | None = None
    chain: FilterChain | None = None
    host: VirtualHost | None = None
    outcomes: tuple[Outcome, ...] = ()
    lost: tuple[Candidate, ...] = ()
    refusal: str = ""
    stream: Stream | None = None


def explain(proxy: Proxy, request: Request) -> Explanation:
    """Return what this proxy does with a request, and why."""
    listener = next((one for one in proxy.listeners if one.port == request.port), None)
    if listener is None:
        ports = ", ".join(str(one.port) for one in proxy.listeners) or "none"
        return Explanation(refusal=f"nothing listens on port {request.port}; ports: {ports}")
    chain = chosen_chain(listener.chains, request.server_name)
    if chain is None:
        names = ", ".join(name for one in listener.chains for name in one.server_names)
        asked = request.server_name or "no server name"
        return Explanation(listener, refusal=f"the TLS handshake fails: {asked} is none of {names}")
    if chain.stream is not None:
        refusal = "" if chain.stream.destinations else f"the connection is closed: {chain.stream.why}"
        return Explanation(listener, chain, refusal=refusal, stream=chain.stream)
    table = next((one for one in proxy.route_tables if one.name == chain.route_table), None)
    host = chosen_host(table.virtual_hosts, request.host) if table else None
    if host is None:
        return Explanation(listener, chain, refusal=f"no virtual host serves {request.host}")
    outcomes, lost = _tried(host.routes, request)
    return Explanation(listener, chain, host, outcomes, lost)


def _tried(routes: Sequence[Route], request: Request) -> tuple[tuple[Outcome, ...], tuple[Candidate, ...]]:
    outcomes: list[Outcome] = []
    lost: list[Candidate] = []
    left = 1.0
    for route in routes:
        why_not = mismatch(route.match, request)
        if why_not:
            # Of a gRPC request the lines for browsers say nothing that those beside them do not.
            lost += [] if route.web is not None and request.is_grpc else [Candidate(route, why_not)]
        elif left > 0:
            parts = route.match.parts_per_million
            share = left if parts is None else left * parts / _MILLION
            outcomes.append(Outcome(route, share))
            left -= share
        elif route.source is not None:
            first = outcomes[-1].route
            lost.append(Candidate(route, f"it matches, but {first.source or first.name} comes first"))
    return tuple(outcomes), tuple(lost)
