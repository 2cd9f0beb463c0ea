"""Services become a `ServiceTable`: which virtual address and port leads to which endpoints. Pure.

Endpoints come from EndpointSlices, as in kube-proxy, so whoever writes slices decides what serves. Next:
`service_rules`, the table as packet filter changes, or `relay` where there is no packet filter.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeGuard

import msgspec

from roadstead.api.objects import ObjectKey, ReadOnlyObject, key_of, labels_of

_STAND_INS = ipaddress.IPv4Network("127.97.0.0/16")
SERVICE_NAME = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service (discovery/v1 well_known_labels.go)."""


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """One place that answers for a Service."""

    address: str
    port: int


class ServicePort(msgspec.Struct, frozen=True, order=True):
    """One port of a Service's virtual address; without endpoints, connections are refused.

    `name` is for people: `default/web:http`.
    """

    address: str
    protocol: str
    port: int
    name: str
    endpoints: tuple[Endpoint, ...] = ()


class ServiceTable(msgspec.Struct, frozen=True):
    """All ports of all virtual addresses, sorted."""

    ports: tuple[ServicePort, ...] = ()


def services_from(
    services: Iterable[ReadOnlyObject], endpoint_slices: Iterable[ReadOnlyObject], *, stand_ins: bool = False
) -> ServiceTable:
    """Return the table of all Services with a ClusterIP; with `stand_ins`, of headless ones too.

    Ready endpoints serve; if none is ready, those that still serve while they terminate do (KEP-1669).
    """
    slices: dict[ObjectKey, list[ReadOnlyObject]] = defaultdict(list)
    for endpoint_slice in endpoint_slices:
        name = labels_of(endpoint_slice).get(SERVICE_NAME)
        if name and endpoint_slice.get("addressType", "IPv4") == "IPv4":
            slices[ObjectKey(key_of(endpoint_slice).namespace, name)].append(endpoint_slice)
    ports = {
        (port.address, port.protocol, port.port): port
        for service in services
        for port in (*_ports_of(service, slices[key_of(service)]), *_stand_in_ports(service, slices, stand_ins))
    }
    return ServiceTable(tuple(sorted(ports.values())))


def cluster_address(service: ReadOnlyObject) -> str | None:
    """Return the Service's IPv4 ClusterIP; None for headless and external ones."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return None
    candidates = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return next((address for address in candidates if is_ipv4(address)), None)


def stand_in_address(service: ReadOnlyObject) -> str | None:
    """Return the loopback address that stands for a headless Service's pods where there is no DNS; None for others.

    It follows from the Service alone, so whoever serves it and whoever names it need not agree.
    """
    spec, uid = service.get("spec") or {}, (service.get("metadata") or {}).get("uid")
    if spec.get("clusterIP") != "None" or spec.get("type") == "ExternalName" or not uid:
        return None
    number = int.from_bytes(blake2b(str(uid).encode(), digest_size=8).digest(), "big")
    return str(_STAND_INS[1 + number % (_STAND_INS.num_addresses - 2)])


def is_ipv4(address: Any) -> TypeGuard[str]:
    """Say whether this is the text of an IPv4 address."""
    try:
        ipaddress.IPv4Address(address)
    except (ipaddress.AddressValueError, TypeError):
        return False
    return isinstance(address, str)


def _ports_of(service: ReadOnlyObject, slices: list[ReadOnlyObject]) -> Iterator[ServicePort]:
    address = cluster_address(service)
    if address is None:
        return
    for port in service["spec"].get("ports") or ():
        name = port.get("name") or ""
        protocol, number = port.get("protocol") or "TCP", port.get("port")
        if _is_port(number):
            label = f"{key_of(service)}:{name or number}"
            yield ServicePort(address, protocol, number, label, endpoints_of(slices, name, protocol))


def _stand_in_ports(
    service: ReadOnlyObject, slices: Mapping[ObjectKey, list[ReadOnlyObject]], wanted: bool
) -> Iterator[ServicePort]:
    """Yield the ports of a headless Service's pods: who finds pods by DNS knows theirs, and not the Service's."""
    address = stand_in_address(service) if wanted else None
    if address is None:
        return
    for port in service["spec"].get("ports") or ():
        name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
        endpoints = endpoints_of(slices[key_of(service)], name, protocol)
        for number in {endpoint.port for endpoint in endpoints}:
            label = f"{key_of(service)}:{name or number}"
            served = tuple(endpoint for endpoint in endpoints if endpoint.port == number)
            yield ServicePort(address, protocol, number, label, served)


def endpoints_of(slices: Iterable[ReadOnlyObject], port_name: str, protocol: str) -> tuple[Endpoint, ...]:
    """Return who answers for this port of a Service, sorted: the ready, else those that serve while terminating."""
    ready: set[Endpoint] = set()
    terminating: set[Endpoint] = set()
    for endpoint_slice in slices:
        number = _slice_port(endpoint_slice, port_name, protocol)
        if not _is_port(number):
            continue
        for endpoint in endpoint_slice.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            found = {Endpoint(address, number) for address in endpoint.get("addresses") or () if is_ipv4(address)}
            if conditions.get("ready") is not False:
                ready |= found
            elif conditions.get("serving") and conditions.get("terminating"):
                terminating |= found
    return tuple(sorted(ready or terminating))


def _is_port(number: Any) -> TypeGuard[int]:
    return isinstance(number, int) and 0 < number < 1 << 16


def _slice_port(endpoint_slice: ReadOnlyObject, name: str, protocol: str) -> Any:
    def fits(port: Mapping[str, Any]) -> bool:
        return (port.get("name") or "") == name and (port.get("protocol") or "TCP") == protocol

    return next((port.get("port") for port in endpoint_slice.get("ports") or () if fits(port)), None)
