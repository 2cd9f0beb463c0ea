"""From where does an attempt come? The address that failures are counted for, which is seldom the connection's own.

Behind a gateway all connections are the gateway's. What it writes into `x-forwarded-for` counts if it is trusted by
name or network; from anybody else the header is what the client wants us to believe, and ignored.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from roadstead.service.credentials.connection import address_of
from roadstead.service.credentials.forwarded import Names, TrustedGateways
from roadstead.service.identity import bearer

HEADER = "x-forwarded-for"
# What one household or machine gets of IPv6: somebody who guesses has all of it.
_PREFIX = 64


def client_of(peer: str, shown: Names, metadata: Iterable[tuple[str, str | bytes]], gateways: TrustedGateways) -> str:
    """Return the client's address, of IPv6 its network; "" for a local socket.

    `peer` is grpc's name of the connection's other end, `shown` what its certificate says. Of several addresses in the
    header the last that is no gateway's counts: each hop adds the one that it sees.
    """
    address = address_of(peer)
    if not gateways.include(shown, address):
        return network_of(address)
    hops = [
        hop.strip() for key, value in metadata if key == HEADER and isinstance(value, str) for hop in value.split(",")
    ]
    for hop in reversed(hops):
        if not _is_address(hop):
            break
        if not gateways.include(Names(), hop):
            return network_of(hop)
    return network_of(address)


def current_client() -> str:
    """Return the client of the RPC to an open method that is being handled; "" elsewhere."""
    found = bearer.get(None)
    return "" if found is None else found.client


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 address; "" if it is neither."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    plain = getattr(found, "ipv4_mapped", None) or found
    if isinstance(plain, ipaddress.IPv4Address):
        return str(plain)
    return str(ipaddress.ip_network((plain, _PREFIX), strict=False))
