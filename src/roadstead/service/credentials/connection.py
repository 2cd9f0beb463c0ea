"""Did the credentials come by a way on which nobody could read them? Pure, on what grpc says of a connection.

Inside a cluster pods talk in plain text, as a rule, over addresses that are not routed on the Internet; from anywhere
else credentials must come encrypted.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote

# Carriers' private range, which clusters use too; `is_private` leaves it out.
_SHARED = ipaddress.ip_network("100.64.0.0/10")


@lru_cache(maxsize=4096)
def is_inside(peer: str) -> bool:
    """Tell whether grpc's name of a peer is a local socket, a loopback address or a private one."""
    family = peer.partition(":")[0]
    if family == "unix":
        return True
    return family in ("ipv4", "ipv6") and _is_private(address_of(peer))


def address_of(peer: str) -> str:
    """Return the address in grpc's name of a peer, without its port; "" for a local socket."""
    family, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else ""


def _is_private(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    plain = mapped or found
    return plain.is_private or (isinstance(plain, ipaddress.IPv4Address) and plain in _SHARED)


def is_encrypted(auth_context: Mapping[str, Iterable[bytes]]) -> bool:
    """Tell from a context's `auth_context()` whether the connection is TLS."""
    return b"ssl" in tuple(auth_context.get("transport_security_type", ()))
