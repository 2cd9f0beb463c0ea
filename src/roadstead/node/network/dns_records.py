"""What names the cluster's DNS knows: Services and their endpoints as `Records`. Pure; next: `dns` answers from them.

Names follow the specification of kubernetes/dns (docs/specification.md, version 1.1.0), those of single endpoints of
headless Services as CoreDNS gives them: the endpoint's host name, or its address with dashes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from roadstead.api.objects import ObjectKey, ReadOnlyObject, key_of, labels_of
from roadstead.node.network.services import SERVICE_NAME, cluster_address, is_ipv4


class Location(NamedTuple):
    """One SRV answer: where a named port is."""

    port: int
    target: str


@dataclass(frozen=True)
class Records:
    """All names below `domain`, in lower case and without a final dot.

    `known` has every name that exists, also those in between (`svc.cluster.local`): such a name without a record of the
    wanted type is "no data", any other is "no such name".
    """

    domain: str = "cluster.local"
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    locations: Mapping[str, tuple[Location, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    pointers: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()


class _Endpoint(NamedTuple):
    name: str
    address: str
    ports: tuple[tuple[str, str, int], ...]


class _Collected:
    def __init__(self) -> None:
        self.addresses: dict[str, set[str]] = defaultdict(set)
        self.locations: dict[str, set[Location]] = defaultdict(set)
        self.aliases: dict[str, str] = {}
        self.pointers: dict[str, str] = {}


def records_from(
    services: Iterable[ReadOnlyObject], endpoint_slices: Iterable[ReadOnlyObject], domain: str = "cluster.local"
) -> Records:
    """Return the records of all Services: ClusterIP, headless (their ready endpoints) and ExternalName."""
    slices: dict[ObjectKey, list[ReadOnlyObject]] = defaultdict(list)
    for endpoint_slice in endpoint_slices:
        owner = labels_of(endpoint_slice).get(SERVICE_NAME, "")
        slices[ObjectKey(key_of(endpoint_slice).namespace, owner)].append(endpoint_slice)
    collected = _Collected()
    for service in services:
        key = key_of(service)
        name = f"{key.name}.{key.namespace}.svc.{domain}"
        _collect(collected, name, service, slices[key])
    return Records(
        domain,
        {name: tuple(sorted(found)) for name, found in collected.addresses.items()},
        {name: tuple(sorted(found)) for name, found in collected.locations.items()},
        collected.aliases,
        collected.pointers,
        _with_parents((*collected.addresses, *collected.locations, *collected.aliases), domain),
    )


def _collect(collected: _Collected, name: str, service: ReadOnlyObject, slices: Iterable[ReadOnlyObject]) -> None:
    spec = service.get("spec") or {}
    address = cluster_address(service)
    if spec.get("type") == "ExternalName":
        if spec.get("externalName"):
            collected.aliases[name] = spec["externalName"].rstrip(".")
    elif address is not None:
        collected.addresses[name].add(address)
        collected.pointers[_reverse(address)] = name
        for port in spec.get("ports") or ():
            _locate(collected, name, port.get("name") or "", port.get("protocol") or "TCP", port["port"], name)
    elif spec.get("clusterIP") == "None":
        for endpoint in _endpoints(slices, name):
            collected.addresses[name].add(endpoint.address)
            collected.addresses[endpoint.name].add(endpoint.address)
            collected.pointers[_reverse(endpoint.address)] = endpoint.name
            for port_name, protocol, number in endpoint.ports:
                _locate(collected, name, port_name, protocol, number, endpoint.name)


def _locate(collected: _Collected, service: str, port: str, protocol: str, number: int, target: str) -> None:
    if port:
        collected.locations[f"_{port}._{protocol.lower()}.{service}"].add(Location(number, target))


def _endpoints(slices: Iterable[ReadOnlyObject], service: str) -> Iterator[_Endpoint]:
    for endpoint_slice in slices:
        ports = tuple(_slice_ports(endpoint_slice.get("ports") or ()))
        for endpoint in endpoint_slice.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            for address in filter(is_ipv4, endpoint.get("addresses") or ()):
                label = endpoint.get("hostname") or address.replace(".", "-")
                yield _Endpoint(f"{label}.{service}", address, ports)


def _slice_ports(ports: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, int]]:
    for port in ports:
        if port.get("port"):
            yield port.get("name") or "", port.get("protocol") or "TCP", port["port"]


def _reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _with_parents(names: Iterable[str], domain: str) -> frozenset[str]:
    known = {domain}
    for name in names:
        while name not in known:
            known.add(name)
            name = name.partition(".")[2]
    return frozenset(known)
