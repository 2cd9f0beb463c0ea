"""Do a GRPCRoute and an HTTPRoute share a host name? Here both are served; elsewhere one of them may be refused."""

from collections.abc import Iterable, Iterator

from roadstead.api.objects import ObjectKey
from roadstead.cluster.checks.finding import Checked, Finding
from roadstead.gateway.ir import Proxies, RouteSource, VirtualHost


def check_overlap(objects: Iterable[Checked], proxies: Proxies) -> Iterator[Finding]:
    """Yield a warning for each HTTPRoute that shares a host name with a GRPCRoute at a listener."""
    subjects = {(one.kind, one.key): one for one in objects}
    hosts = (host for proxy in proxies.values() for table in proxy.route_tables for host in table.virtual_hosts)
    for host in hosts:
        grpc, http = _sources(host, "GRPCRoute"), _sources(host, "HTTPRoute")
        for source in http if grpc else ():
            found = subjects.get((source.kind, ObjectKey(source.namespace, source.name)))
            if found is not None:
                others = ", ".join(dict.fromkeys(f"{one.namespace}/{one.name}" for one in grpc))
                name = "all hosts" if host.name == "*" else host.name
                message = f"{name} is also GRPCRoute {others}'s: other implementations may accept only one of the two"
                yield found.finding("spec.hostnames", message, "warning")


def _sources(host: VirtualHost, kind: str) -> list[RouteSource]:
    return [route.source for route in host.routes if route.source is not None and route.source.kind == kind]
