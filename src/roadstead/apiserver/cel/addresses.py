"""IP addresses and networks in CEL: `cidr('10.0.0.0/8').containsIP(self.address)`.

After apiserver's pkg/cel/library/ip.go and cidr.go: a network remembers the address that it was written with, and
IPv4 addresses in the clothes of IPv6 are none.
"""

import re
from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from typing import Any

from roadstead.apiserver.cel.functions import CelError, NoOverload, expect, holds

Address = IPv4Address | IPv6Address
Network = IPv4Interface | IPv6Interface
_NETWORK = re.compile(r"(.+)/(0|[1-9]\d{0,2})", re.ASCII | re.DOTALL)
_IPV4_BROADCAST = IPv4Address("255.255.255.255")
_LINK_LOCAL_MULTICAST_IPV4 = IPv4Interface("224.0.0.0/24").network


def is_address(value: Any) -> bool:
    """Say whether a value is an IP address, not a network."""
    return type(value) in (IPv4Address, IPv6Address)  # networks are a subclass


def is_network(value: Any) -> bool:
    """Say whether a value is a network."""
    return isinstance(value, Network)


def _address(value: Any) -> Address:
    if not is_address(value):
        raise NoOverload
    found: Address = value
    return found


def _network(value: Any) -> Network:
    if not is_network(value):
        raise NoOverload
    found: Network = value
    return found


def _parse_address(text: Any) -> Address:
    try:
        address = ip_address(expect(str, text))
    except ValueError as error:
        raise CelError(f"IP Address {text!r} parse error during conversion from string") from error
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None):
        raise CelError(f"IP address {text!r} with a zone, or IPv4-mapped, is not allowed")
    return address


def _parse_network(text: Any) -> Network:
    parts = _NETWORK.fullmatch(expect(str, text))
    if parts is None:
        raise CelError(f"network address parse error during conversion from string: {text!r}")
    _parse_address(parts[1])
    try:
        return ip_interface(text)
    except ValueError as error:
        raise CelError(f"network address parse error during conversion from string: {error}") from error


def _contains_address(network: Any, address: Any) -> bool:
    inside = _parse_address(address) if isinstance(address, str) else _address(address)
    return inside in _network(network).network


def _contains_network(network: Any, other: Any) -> bool:
    outer = _network(network).network
    inner = (_parse_network(other) if isinstance(other, str) else _network(other)).network
    return outer.version == inner.version and outer.prefixlen <= inner.prefixlen and inner.network_address in outer


def _masked(network: Any) -> Network:
    found = _network(network).network
    return ip_interface(f"{found.network_address}/{found.prefixlen}")


def _is_link_local_multicast(value: Any) -> bool:
    address = _address(value)
    if isinstance(address, IPv4Address):
        return address in _LINK_LOCAL_MULTICAST_IPV4
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def _is_global_unicast(value: Any) -> bool:
    address = _address(value)
    special = (address.is_unspecified, address.is_loopback, address.is_multicast, address.is_link_local)
    return not any(special) and address != _IPV4_BROADCAST


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cidr": _parse_network,
    "ip": _parse_address,
    "ip.isCanonical": lambda text: str(_parse_address(text)) == text,
    "isCIDR": holds(_parse_network),
    "isIP": holds(_parse_address),
}
METHODS: dict[str, Callable[..., Any]] = {
    "containsCIDR": _contains_network,
    "containsIP": _contains_address,
    "family": lambda address: _address(address).version,
    "ip": lambda network: _network(network).ip,
    "isGlobalUnicast": _is_global_unicast,
    "isLinkLocalMulticast": _is_link_local_multicast,
    "isLinkLocalUnicast": lambda address: _address(address).is_link_local,
    "isLoopback": lambda address: _address(address).is_loopback,
    "isUnspecified": lambda address: _address(address).is_unspecified,
    "masked": _masked,
    "prefixLength": lambda network: _network(network).network.prefixlen,
}
