"""Where the outside reaches what runs: the hosts that Gateways and Ingresses serve, and the address and port of each.

Pure: objects in, `Entry`s out. On a machine whose user may not bind port 443 the entry's port is another one; the
Service's annotation says which. `up` prints the entries, `call` finds the one for a host.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from roadstead.api.objects import Object, ObjectKey, annotations_of, key_of

HOST_PORTS_ANNOTATION = "roadstead.dev/host-ports"


class Entry(NamedTuple):
    """One way in: connect to `address:port`, ask for `host`; with TLS, `secret` holds the certificate shown there."""

    host: str
    address: str
    port: int
    secret: ObjectKey | None
    source: str

    @property
    def tls(self) -> bool:
        """Say whether TLS ends there."""
        return self.secret is not None

    @property
    def url(self) -> str:
        """The entry as a URL: `https://foo.example.com:443`."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


def entries(objects: Mapping[str, Iterable[Object]]) -> list[Entry]:
    """Return every way in. `objects` maps Gateway, GRPCRoute, HTTPRoute, Ingress and Service to all their objects."""
    host_ports = _host_ports(objects.get("Service", ()))
    routes = [route for kind in ("GRPCRoute", "HTTPRoute") for route in objects.get(kind, ())]
    found = [entry for gateway in objects.get("Gateway", ()) for entry in _gateway(gateway, routes, host_ports)]
    found += [entry for ingress in objects.get("Ingress", ()) for entry in _ingress(ingress, host_ports)]
    return sorted(set(found), key=lambda entry: (entry.host, entry.address, entry.port, str(entry.secret)))


def entry_for(found: Iterable[Entry], host: str, *, tls: bool) -> Entry | None:
    """Return the entry that serves a host: its own first, then a wildcard's, then one for any host."""
    fitting = [entry for entry in found if entry.tls is tls and _serves(entry.host, host)]
    return max(fitting, key=lambda entry: (entry.host == host, len(entry.host)), default=None)


def _serves(pattern: str, host: str) -> bool:
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and host != pattern[1:].lstrip(".")
    return pattern == host


def _host_ports(services: Iterable[Object]) -> dict[tuple[str, int], int]:
    """Map (address, Service port) to the port on the host, where that differs."""
    ports: dict[tuple[str, int], int] = {}
    for service in services:
        balancer = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        pairs = [pair.split("=") for pair in annotations_of(service).get(HOST_PORTS_ANNOTATION, "").split(",") if pair]
        for point in balancer:
            ports.update({(point.get("ip", ""), int(port)): int(host_port) for port, host_port in pairs})
    return ports


def _gateway(gateway: Object, routes: Iterable[Object], ports: Mapping[tuple[str, int], int]) -> Iterator[Entry]:
    key = key_of(gateway)
    attached = {host for route in routes if _attached(route, key) for host in route["spec"].get("hostnames") or ()}
    for address in (gateway.get("status") or {}).get("addresses") or ():
        for listener in gateway["spec"].get("listeners") or ():
            bound = ports.get((address["value"], listener["port"]), listener["port"])
            secret = _listener_secret(listener, key.namespace)
            if listener["protocol"] in ("TLS", "TCP") or (listener["protocol"] == "HTTPS" and secret is None):
                continue  # TLSRoutes and TCPRoutes lead to what may not be HTTP
            for host in _hosts(listener.get("hostname"), attached):
                yield Entry(host, address["value"], bound, secret, f"Gateway {key}")


def _hosts(hostname: str | None, attached: Iterable[str]) -> list[str]:
    if hostname is None:
        return sorted(attached) or ["*"]
    if not hostname.startswith("*"):
        return [hostname]
    return sorted(host for host in attached if _serves(hostname, host)) or [hostname]


def _attached(route: Object, gateway: ObjectKey) -> bool:
    return any(
        parent.get("kind", "Gateway") == "Gateway"
        and ObjectKey(parent.get("namespace") or key_of(route).namespace, parent["name"]) == gateway
        for parent in route["spec"].get("parentRefs") or ()
    )


def _listener_secret(listener: Mapping[str, Any], namespace: str) -> ObjectKey | None:
    references = (listener.get("tls") or {}).get("certificateRefs") or ()
    return ObjectKey(references[0].get("namespace") or namespace, references[0]["name"]) if references else None


def _ingress(ingress: Object, ports: Mapping[tuple[str, int], int]) -> Iterator[Entry]:
    key, spec = key_of(ingress), ingress.get("spec") or {}
    secrets = {host: tls.get("secretName") for tls in spec.get("tls") or () for host in tls.get("hosts") or ()}
    for point in ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        address = point.get("ip", "")
        for rule in spec.get("rules") or ():
            host = rule.get("host") or "*"
            yield Entry(host, address, ports.get((address, 80), 80), None, f"Ingress {key}")
            if name := secrets.get(host):
                secret = ObjectKey(key.namespace, name)
                yield Entry(host, address, ports.get((address, 443), 443), secret, f"Ingress {key}")
