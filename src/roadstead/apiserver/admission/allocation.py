"""Addresses and ports of Services: each has one owner, and it is whoever the stored Services say.

A Service gets its cluster IP and node ports when it is created or changes its type (kubernetes
pkg/registry/core/service/storage/alloc.go). What was given out is known from the store's events; what is about to be
stored is reserved until its event arrives. Nothing here waits or does input and output.
"""

import ipaddress
from collections.abc import Iterator

from roadstead.api.errors import InternalError, invalid
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver.store import Event, Location

_NODE_PORTS = range(30000, 32768)
_WITH_NODE_PORTS = frozenset({"NodePort", "LoadBalancer"})
_DYNAMIC_FROM = 256
"""Lower addresses are left for Services that ask for theirs (10.96.0.1, 10.96.0.10), as in Kubernetes."""

Claim = tuple[str, str]
"""What can have one owner: `("ip", ADDRESS)` or `("port", "PROTOCOL/PORT")`."""


class ServiceAllocator:
    """Gives out addresses of one range and ports of another."""

    def __init__(self, service_cidr: str, node_ports: range = _NODE_PORTS) -> None:
        self._network = ipaddress.IPv4Network(service_cidr)
        self._ports = node_ports
        self._owners: dict[Claim, Location] = {}
        self._next_address = min(_DYNAMIC_FROM, self._network.num_addresses // 2)
        self._next_port = 0

    def observe(self, event: Event) -> None:
        """Take in a write of a Service: from now on what it holds is its own, and what it let go is free."""
        if event.record.location.collection != "services":
            return
        if event.previous is not None:
            self.release(event.record.location, event.previous.decode())
        if event.type != "DELETED":
            self.claim(event.record.location, event.record.decode())

    def claim(self, owner: Location, service: ReadOnlyObject) -> None:
        """Note everything that a Service holds."""
        for claim in _claims(service):
            self._owners[claim] = owner

    def release(self, owner: Location, service: ReadOnlyObject) -> None:
        """Give back what a Service held, unless somebody else has it by now."""
        for claim in _claims(service):
            if self._owners.get(claim) == owner:
                del self._owners[claim]

    def allocate(self, owner: Location, service: Object, live: ReadOnlyObject | None) -> None:
        """Fill in the cluster IP and the node ports of a Service, in place, and reserve them.

        What `live` holds is kept where the new version does not say. Raises Invalid for an address or port that is
        taken, out of range, or may not change.
        """
        spec = service.setdefault("spec", {})
        before = (live or {}).get("spec") or {}
        self._allocate_address(owner, service, spec, before)
        self._allocate_ports(owner, service, spec, before)
        self.claim(owner, service)

    def _allocate_address(self, owner: Location, service: Object, spec: Object, before: ReadOnlyObject) -> None:
        if spec.get("type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            return
        held = before.get("clusterIP") if before.get("type") != "ExternalName" else None
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "") or held
        if held and wanted != held:
            raise _wrong(
                service, "FieldValueInvalid", "spec.clusterIP", f'Invalid value: "{wanted}": field is immutable'
            )
        if wanted and wanted != "None" and wanted != held:
            self._check_address(owner, service, wanted)
        spec["clusterIP"] = wanted or self._free_address()
        spec["clusterIPs"] = [spec["clusterIP"]]
        # Of what has no address and no pods, the cluster cannot say which families it has: perhaps both.
        unknown = spec["clusterIP"] == "None" and not spec.get("selector")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if unknown else ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack" if unknown else "SingleStack")

    def _check_address(self, owner: Location, service: Object, wanted: str) -> None:
        field = "spec.clusterIPs"
        try:
            inside = ipaddress.IPv4Address(wanted) in self._network
        except ValueError:
            raise _wrong(
                service, "FieldValueInvalid", field, f'Invalid value: ["{wanted}"]: must be a valid IP address'
            ) from None
        if not inside:
            message = f'Invalid value: ["{wanted}"]: the provided IP is not in the valid range {self._network}'
            raise _wrong(service, "FieldValueInvalid", field, message)
        if self._owners.get(("ip", wanted), owner) != owner:
            message = f'Invalid value: ["{wanted}"]: failed to allocate IP {wanted}: provided IP is already allocated'
            raise _wrong(service, "FieldValueInvalid", field, message)

    def _free_address(self) -> str:
        for offset in _round(self._next_address, self._network.num_addresses - 1, first=1):
            address = str(self._network[offset])
            if ("ip", address) not in self._owners:
                self._next_address = offset + 1
                return address
        raise InternalError(f"failed to allocate a serviceIP: range {self._network} is full")

    def _allocate_ports(self, owner: Location, service: Object, spec: Object, before: ReadOnlyObject) -> None:
        ports = [port for port in spec.get("ports") or () if isinstance(port, dict)]
        if spec.get("type") not in _WITH_NODE_PORTS or (
            spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False
        ):
            return
        held = {
            (port.get("protocol", "TCP"), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()
        }
        taken: set[Claim] = set()
        for index, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            wanted = port.get("nodePort") or held.get((protocol, port.get("port")))
            if wanted:
                self._check_port(owner, service, index, protocol, wanted)
            port["nodePort"] = wanted or self._free_port(protocol, taken)
            taken.add(("port", f"{protocol}/{port['nodePort']}"))

    def _check_port(self, owner: Location, service: Object, index: int, protocol: str, wanted: int) -> None:
        field = f"spec.ports[{index}].nodePort"
        if wanted not in self._ports:
            message = (
                f"Invalid value: {wanted}: provided port is not in the valid range. "
                f"The range of valid ports is {self._ports.start}-{self._ports.stop - 1}"
            )
            raise _wrong(service, "FieldValueInvalid", field, message)
        if self._owners.get(("port", f"{protocol}/{wanted}"), owner) != owner:
            message = f"Invalid value: {wanted}: provided port is already allocated"
            raise _wrong(service, "FieldValueInvalid", field, message)

    def _free_port(self, protocol: str, taken: set[Claim]) -> int:
        for offset in _round(self._next_port, len(self._ports), first=0):
            claim = ("port", f"{protocol}/{self._ports[offset]}")
            if claim not in self._owners and claim not in taken:
                self._next_port = offset + 1
                return self._ports[offset]
        raise InternalError("failed to allocate a nodePort: range is full")


def _round(start: int, stop: int, *, first: int) -> Iterator[int]:
    yield from range(max(start, first), stop)
    yield from range(first, min(max(start, first), stop))


def _claims(service: ReadOnlyObject) -> Iterator[Claim]:
    spec = service.get("spec") or {}
    for address in {spec.get("clusterIP"), *(spec.get("clusterIPs") or ())} - {None, "", "None"}:
        yield ("ip", str(address))
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield ("port", f"{port.get('protocol', 'TCP')}/{port['nodePort']}")


def _wrong(service: ReadOnlyObject, reason: str, field: str, message: str) -> Exception:
    return invalid("Service", "", service["metadata"].get("name", ""), [(reason, field, message)])
