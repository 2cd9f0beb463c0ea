"""What the relay listens for: LoadBalancer Services, host ports of pods, and ClusterIPs where there is no node network.

Each LoadBalancer Service gets an address of its own on the host's loopback, so every Gateway can have port 443. Pure:
`wanted_listeners` says what should be open, `changes` what to do about it, `service_status` what to write of it.
`loadbalancer_controller` does it.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, annotations_of, key_of
from roadstead.node.network.services import ServiceTable, cluster_address, is_ipv4

HOST_PORTS = "roadstead.dev/host-ports"
"""The annotation that tells where the host's port differs from the Service's: `443=8443,80=8080`."""
PORTS_BOUND = "roadstead.dev/PortsBound"
"""The Service's condition that says whether each of its ports could be had."""
LOAD_BALANCER_CLASS = "roadstead.dev/relay"
DEFAULT_RANGE = "127.1.0.0/16"
_LOOPBACK = "127.0.0.1"


class Place(NamedTuple):
    """Where the relay listens on the host."""

    address: str
    port: int


class Listener(NamedTuple):
    """What the relay does there. `owner` is the object to whom a failure is told; `fallback`: may the port move?"""

    targets: tuple[tuple[str, int], ...]
    owner: tuple[str, ObjectKey]
    fallback: bool = True


class Outcome(NamedTuple):
    """What came of a listener: the port that was bound, or why none was."""

    port: int = 0
    problem: str = ""


class Changes(NamedTuple):
    """What to ask of the relay."""

    close: tuple[Place, ...]
    open: tuple[Place, ...]


def allocate(services: Iterable[ReadOnlyObject], cluster: str, addresses: str = DEFAULT_RANGE) -> dict[ObjectKey, str]:
    """Return the host address of each LoadBalancer Service.

    A Service gets the one that `spec.loadBalancerIP` asks for if it is free, or keeps the one that its status has, or
    gets one that follows from its name and the cluster's, so that it stays the same from run to run.
    """
    network = ipaddress.IPv4Network(addresses)
    balanced = sorted((service for service in services if is_load_balanced(service)), key=key_of)
    chosen: dict[ObjectKey, str] = {}
    taken: set[str] = set()
    for choose in (partial(_settled, network), _requested, _current):
        for service in balanced:
            address = choose(service)
            if key_of(service) not in chosen and _is_free(address, network, taken):
                chosen[key_of(service)] = address
                taken.add(address)
    for service in balanced:
        key = key_of(service)
        if key not in chosen:
            chosen[key] = next(each for each in _candidates(f"{cluster}/{key}", network) if each not in taken)
            taken.add(chosen[key])
    return chosen


def is_load_balanced(service: ReadOnlyObject) -> bool:
    """Say whether the relay serves this Service: type LoadBalancer, of no other implementation's class."""
    spec = service.get("spec") or {}
    ours = spec.get("loadBalancerClass") in (None, LOAD_BALANCER_CLASS)
    return spec.get("type") == "LoadBalancer" and ours and cluster_address(service) is not None


def _settled(network: ipaddress.IPv4Network, service: ReadOnlyObject) -> str:
    """Return the address of a Service that asks for no other one."""
    current, requested = _current(service), _requested(service)
    return current if requested == current or not _is_free(requested, network, set()) else ""


def _current(service: ReadOnlyObject) -> str:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return ingress[0].get("ip") or ""


def _requested(service: ReadOnlyObject) -> str:
    return service["spec"].get("loadBalancerIP") or ""


def _is_free(address: str, network: ipaddress.IPv4Network, taken: set[str]) -> bool:
    return is_ipv4(address) and ipaddress.IPv4Address(address) in network and address not in taken


def _candidates(name: str, network: ipaddress.IPv4Network) -> Iterator[str]:
    size = network.num_addresses - 2
    start = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return (str(network[1 + (start + step) % size]) for step in range(size))


def wanted_listeners(
    services: Iterable[ReadOnlyObject],
    addresses: Mapping[ObjectKey, str],
    pods: Iterable[ReadOnlyObject] = (),
    without_network: ServiceTable | None = None,
    node_ports: Mapping[int, Place] = MappingProxyType({}),
) -> dict[Place, Listener]:
    """Return everything that should be open.

    `node_ports` are those that the cluster's configuration opens on the host (kind's `extraPortMappings`).
    `without_network` is the Service table where there is no node network: then the relay dials endpoints itself, and
    stands in for the ClusterIPs.
    """
    wanted: dict[Place, Listener] = {}
    for service in services:
        address = addresses.get(key_of(service))
        if address is not None:
            wanted.update(_balanced(service, address, without_network))
        wanted.update(_mapped(service, node_ports, without_network))
    for pod in pods:
        wanted.update(_host_ports(pod))
    if without_network is not None:
        wanted.update(_cluster_addresses(without_network))
    return wanted


def _balanced(
    service: ReadOnlyObject, address: str, without_network: ServiceTable | None
) -> Iterator[tuple[Place, Listener]]:
    for number in _tcp_ports(service):
        listener = Listener(_targets(service, number, without_network), ("Service", key_of(service)))
        yield Place(address, number), listener


def _mapped(
    service: ReadOnlyObject, node_ports: Mapping[int, Place], without_network: ServiceTable | None
) -> Iterator[tuple[Place, Listener]]:
    for port in (service.get("spec") or {}).get("ports") or ():
        place = node_ports.get(port.get("nodePort") or 0)
        if place is not None and (port.get("protocol") or "TCP") == "TCP":
            # Whoever wrote the mapping calls that very port: another one would not be found.
            targets = _targets(service, port["port"], without_network)
            yield place, Listener(targets, ("Service", key_of(service)), fallback=False)


def _targets(service: ReadOnlyObject, number: int, without_network: ServiceTable | None) -> tuple[tuple[str, int], ...]:
    """Return what the relay dials for a port of a Service: its ClusterIP, or its endpoints where there is none."""
    virtual = cluster_address(service)
    if virtual is None:
        return ()
    if without_network is None:
        return ((virtual, number),)
    return tuple(
        (each.address, each.port)
        for port in without_network.ports
        if (port.address, port.port, port.protocol) == (virtual, number, "TCP")
        for each in port.endpoints
    )


def _tcp_ports(service: ReadOnlyObject) -> list[int]:
    ports = service["spec"].get("ports") or ()
    return [port["port"] for port in ports if (port.get("protocol") or "TCP") == "TCP"]


def _host_ports(pod: ReadOnlyObject) -> Iterator[tuple[Place, Listener]]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    address = status.get("podIP")
    if not address or spec.get("hostNetwork") or status.get("phase") != "Running":
        return
    for container in spec.get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort") and (port.get("protocol") or "TCP") == "TCP":
                host = port.get("hostIP") or _LOOPBACK
                # Beyond loopback only when somebody asked for it: "all addresses" is loopback too.
                place = Place(_LOOPBACK if host == "0.0.0.0" else host, port["hostPort"])
                yield place, Listener(((address, port["containerPort"]),), ("Pod", key_of(pod)))


def _cluster_addresses(table: ServiceTable) -> Iterator[tuple[Place, Listener]]:
    for port in table.ports:
        if port.protocol == "TCP":
            namespace, _, name = port.name.partition(":")[0].partition("/")
            targets = tuple((endpoint.address, endpoint.port) for endpoint in port.endpoints)
            # In-cluster clients know the port from the Service: another one would not be found.
            owner = "Service", ObjectKey(namespace, name)
            yield Place(port.address, port.port), Listener(targets, owner, fallback=False)


def changes(
    opened: Mapping[Place, Listener], outcomes: Mapping[Place, Outcome], wanted: Mapping[Place, Listener]
) -> Changes:
    """Return what leads from what is open to what should be; what failed before is tried again."""
    close = tuple(place for place in opened if place not in wanted)
    again = [
        place
        for place, listener in wanted.items()
        if opened.get(place) != listener or outcomes.get(place, Outcome()).problem
    ]
    return Changes(close, tuple(again))


def service_status(
    service: ReadOnlyObject, address: str | None, outcomes: Mapping[Place, Outcome], now: str
) -> Object | None:
    """Return the status to merge into a Service, or None if it says so already.

    `address` is None for a Service that is not balanced (any more).
    """
    current: Mapping[str, Any] = service.get("status") or {}
    if address is None:
        return (
            None if not (current.get("loadBalancer") or {}) else {"loadBalancer": None, "conditions": _others(current)}
        )
    numbers = _tcp_ports(service)
    found = [outcomes[place] for number in numbers if (place := Place(address, number)) in outcomes]
    problems = [outcome.problem for outcome in found if outcome.problem] + _unserved(service)
    bound = any(outcome.port for outcome in found)
    says = (
        condition(PORTS_BOUND, False, "PortUnavailable", "; ".join(problems))
        if problems
        else condition(PORTS_BOUND, True, "Bound", "every port is reachable on the host")
    )
    wanted = {
        "loadBalancer": {"ingress": [{"ip": address, "ipMode": "Proxy"}]} if bound else {},
        "conditions": merge_conditions(current.get("conditions") or (), [says], now),
    }
    unchanged = all((current.get(field) or type(value)()) == value for field, value in wanted.items())
    return None if unchanged else wanted


def _others(status: Mapping[str, Any]) -> list[Object]:
    return [entry for entry in status.get("conditions") or () if entry.get("type") != PORTS_BOUND]


def _unserved(service: ReadOnlyObject) -> list[str]:
    return [
        f"port {port['port']}: protocol {port['protocol']} does not reach the host; only TCP does"
        for port in service["spec"].get("ports") or ()
        if (port.get("protocol") or "TCP") != "TCP"
    ]


def host_ports_annotation(
    service: ReadOnlyObject, address: str | None, outcomes: Mapping[Place, Outcome]
) -> Object | None:
    """Return the annotations to merge into a Service so that they say which ports moved, or None if they say so."""
    moved = [
        f"{number}={bound}"
        for number in (_tcp_ports(service) if address is not None else ())
        if (bound := outcomes.get(Place(address or "", number), Outcome()).port) not in (0, number)
    ]
    wanted = ",".join(moved) or None
    if annotations_of(service).get(HOST_PORTS) == wanted:
        return None
    return {HOST_PORTS: wanted}
