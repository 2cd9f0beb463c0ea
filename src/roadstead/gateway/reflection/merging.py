"""Whose reflection counts: that of the backend to which the rules of a host lead a call. Pure.

A caller's metadata counts as it would in a call: who sends `env: canary` sees what canaries serve.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from roadstead.gateway.ir import Forward, Match, PathMatch, Route, VirtualHost
from roadstead.gateway.matching import Request, mismatch

_ANYWHERE = PathMatch("prefix", "/")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a caller with this metadata can reach at a virtual host."""

    host: VirtualHost
    metadata: Mapping[str, str]

    @property
    def backends(self) -> tuple[str, ...]:
        """The clusters that calls can reach, in the order of the rules."""
        return tuple(dict.fromkeys(cluster for _, cluster in self._ways()))

    def offers(self, service: str, cluster: str) -> bool:
        """Say whether calls of some method of a service can reach this cluster."""
        return any(found == cluster and may_match(route.match.path, service) for route, found in self._ways())

    def order(self, symbol: str, services: Mapping[str, Collection[str]], last: str = "") -> list[str]:
        """Return the clusters to be asked about a symbol, the one that counts first.

        `services`: what each cluster says it has. `last`: the cluster that has answered before; for what is no service
        and no method it comes first, since files of one name may differ from backend to backend.
        """
        method = self._of_method(symbol, services)
        named = [cluster for cluster in self.backends if symbol in services.get(cluster, ())]
        first = [method] if method else [one for one in named if self.offers(symbol, one)] or named
        return list(dict.fromkeys([*first, *([last] if last in self.backends else []), *self.backends]))

    def _of_method(self, symbol: str, services: Mapping[str, Collection[str]]) -> str | None:
        service, _, method = symbol.rpartition(".")
        if not any(service in found for found in services.values()):
            return None
        request = self._request(f"{service}/{method}")
        return next((cluster for route, cluster in self._ways() if mismatch(route.match, request) is None), None)

    def _ways(self) -> Iterator[tuple[Route, str]]:
        """Yield the lines that take calls with this metadata to a backend; of several backends the likeliest."""
        request = self._request("any/thing")
        for route in self.host.routes:
            anywhere: Match = msgspec.structs.replace(route.match, path=_ANYWHERE)
            if route.match.grpc and isinstance(route.action, Forward) and mismatch(anywhere, request) is None:
                yield route, max(route.action.destinations, key=lambda one: one.weight).cluster

    def _request(self, method: str) -> Request:
        return Request.grpc(0, self.host.name, method, self.metadata)


def may_match(path: PathMatch, service: str) -> bool:
    """Say whether a path condition may let methods of a service through; of an expression nobody can tell."""
    start = f"/{service}/"
    if path.kind == "exact":
        return path.value.startswith(start)
    return path.kind == "regex" or start.startswith(path.value)


def merged_services(outlook: Outlook, services: Mapping[str, Collection[str]], own: Iterable[str]) -> list[str]:
    """Return the names of all services that calls can reach, and our own."""
    reachable = {name for cluster, names in services.items() for name in names if outlook.offers(name, cluster)}
    return sorted(reachable.union(own))
