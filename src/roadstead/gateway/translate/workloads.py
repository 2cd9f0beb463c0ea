"""What has become of a proxy's Service: its addresses, the pods behind it, and ports that could not be had.

Read from the Service and its EndpointSlices like those of any backend.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from roadstead.api.objects import Object, ObjectKey, annotations_of
from roadstead.gateway.ir import Workload
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backends import endpoint_set, endpoints_name
from roadstead.gateway.translate.fields import integer, mapping, mappings, spec_of, text

HOST_PORTS_ANNOTATION = "roadstead.dev/host-ports"
_PAIR = re.compile(r"(\d{1,5})=(\d{1,5})")


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What clients find of a proxy.

    `ready`: pods that are ready. `addresses`: `(type, value)`, of type IPAddress or Hostname. `host_ports`: the
    Service's port to the port on this host, where they differ. `problem`: why a port cannot be had.
    """

    ready: int = 0
    addresses: tuple[tuple[str, str], ...] = ()
    host_ports: dict[int, int] = field(default_factory=dict)
    problem: str = ""


def workload_state(workload: Workload, resources: Resources) -> WorkloadState:
    """Return what has become of a proxy's Service."""
    service = resources.services.get(ObjectKey(workload.namespace, workload.name))
    if service is None:
        return WorkloadState()
    return WorkloadState(
        ready=_ready(workload, service, resources),
        addresses=tuple(_addresses(service)),
        host_ports=_host_ports(service),
        problem="; ".join(_problems(service)),
    )


def _ready(workload: Workload, service: Object, resources: Resources) -> int:
    ports = [integer(port.get("port")) for port in mappings(spec_of(service).get("ports"))[:1]]
    names = [endpoints_name(workload.namespace, workload.name, port) for port in ports]
    return sum(len(endpoint_set(name, resources).endpoints) for name in names)


def _ingress(service: Object) -> list[dict[str, object]]:
    balancer = mapping(mapping(service.get("status")).get("loadBalancer"))
    return [dict(entry) for entry in mappings(balancer.get("ingress"))]


def _addresses(service: Object) -> Iterator[tuple[str, str]]:
    for entry in _ingress(service):
        for name, kind in (("ip", "IPAddress"), ("hostname", "Hostname")):
            if value := text(entry.get(name)):
                yield kind, value


def _problems(service: Object) -> Iterator[str]:
    """Yield what the load balancer says it cannot do: per port (PortStatus.error), or as a condition."""
    for entry in _ingress(service):
        for port in mappings(entry.get("ports")):
            if error := text(port.get("error")):
                yield f"port {port.get('port')}: {error}"
    for condition in mappings(mapping(service.get("status")).get("conditions")):
        if condition.get("status") == "False":
            yield text(condition.get("message")) or text(condition.get("reason"))


def _host_ports(service: Object) -> dict[int, int]:
    stated = text(annotations_of(service).get(HOST_PORTS_ANNOTATION))
    return {int(port): int(host) for port, host in _PAIR.findall(stated)}
