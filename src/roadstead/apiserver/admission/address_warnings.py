"""Addresses and networks that are valid, but oddly written (apimachinery's pkg/util/validation/ip.go)."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import Any


def address_warnings(value: Any, path: str) -> Iterator[str]:
    """Tell of an IPv6 address that is not written as all others write it."""
    try:
        address = ip_address(value)
    except ValueError:
        return
    if address.version == 6 and str(address) != value:
        yield f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{address}")'


def network_warnings(value: Any, path: str) -> Iterator[str]:
    """Tell of a network with bits beyond its prefix, or that is not written as all others write it."""
    try:
        interface = ip_interface(value)
    except ValueError:
        return
    if interface.ip != interface.network.network_address:
        single = f"{interface.ip}/{interface.max_prefixlen}"
        better = f'(should be "{interface.network}" or "{single}"?)'
        yield f'{path}: CIDR value "{value}" is ambiguous in this context {better}'
    elif interface.version == 6 and str(interface.network) != value:
        yield f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{interface.network}")'
