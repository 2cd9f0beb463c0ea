"""Connections that the kernel remembers: UDP flows that still go to an endpoint that is gone are made to be forgotten.

The packet filter chooses an endpoint for the first packet of a flow only. A TCP client notices a dead endpoint and
connects anew; a UDP client that keeps its socket (a resolver) would talk to the dead address for as long as it talks.
Layouts: linux/netfilter/nfnetlink_conntrack.h. `NodeNetwork.apply_services` does it.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from roadstead.node.network.netlink import Message, NetlinkSocket, decode_attributes, nested
from roadstead.node.network.nftables import PROTOCOLS
from roadstead.node.network.services import ServicePort, ServiceTable

_NETFILTER, _SUBSYSTEM = 12, 1
_GET, _DELETE = 1, 2
_HEADER = struct.pack("=BBH", socket.AF_INET, 0, 0)
_UDP = "UDP"


class Flow(NamedTuple):
    """One remembered flow: what the client asked for, and who answers; `original` identifies it to the kernel."""

    protocol: int
    destination: str
    port: int
    answered_by: str
    original: bytes


def decode_flow(body: bytes) -> Flow | None:
    """Read one entry of a dump; None for what has no ports."""
    attributes = decode_attributes(body[len(_HEADER) :])
    original, reply = attributes.get(1, b""), attributes.get(2, b"")
    asked, answering = _tuple(original), _tuple(reply)
    if asked is None or answering is None:
        return None
    return Flow(asked.protocol, asked.destination, asked.port, answering.source, original)


class _Tuple(NamedTuple):
    source: str
    destination: str
    protocol: int
    port: int


def _tuple(encoded: bytes) -> _Tuple | None:
    parts = decode_attributes(encoded)
    addresses, protocol = decode_attributes(parts.get(1, b"")), decode_attributes(parts.get(2, b""))
    if not {1, 2} <= addresses.keys() or not {1, 3} <= protocol.keys():
        return None
    source, destination = socket.inet_ntoa(addresses[1]), socket.inet_ntoa(addresses[2])
    return _Tuple(source, destination, protocol[1][0], int.from_bytes(protocol[3], "big"))


def lost_ports(old: ServiceTable, new: ServiceTable) -> dict[tuple[str, int], frozenset[str]]:
    """Return the UDP ports of Services that lost an endpoint, and the addresses that serve them now."""
    after = {(port.address, port.port): _addresses(port) for port in new.ports if port.protocol == _UDP}
    lost = {}
    for port in old.ports:
        key = port.address, port.port
        if port.protocol == _UDP and _addresses(port) - after.get(key, frozenset()):
            lost[key] = after.get(key, frozenset())
    return lost


def _addresses(port: ServicePort) -> frozenset[str]:
    return frozenset(endpoint.address for endpoint in port.endpoints)


def stale_flows(flows: Iterable[Flow], lost: Mapping[tuple[str, int], frozenset[str]]) -> Iterator[Flow]:
    """Yield the flows to these ports that are answered by an address that does not serve them any more."""
    for flow in flows:
        serving = lost.get((flow.destination, flow.port))
        if flow.protocol == PROTOCOLS[_UDP] and serving is not None and flow.answered_by not in serving:
            yield flow


def forget_stale_flows(old: ServiceTable, new: ServiceTable) -> int:
    """Forget what a change of Services makes stale, in this network namespace; return how many flows that was.

    Raises OSError.
    """
    lost = lost_ports(old, new)
    if not lost:
        return 0
    with NetlinkSocket(_NETFILTER) as kernel:
        dump = kernel.dump(Message(_SUBSYSTEM << 8 | _GET, 0, _HEADER, "list connections"))
        stale = list(stale_flows((flow for body in dump if (flow := decode_flow(body)) is not None), lost))
        for flow in stale:
            _forget(kernel, flow)
        return len(stale)


def _forget(kernel: NetlinkSocket, flow: Flow) -> None:
    body = _HEADER + nested(1, flow.original)
    try:
        kernel.commit([Message(_SUBSYSTEM << 8 | _DELETE, 0, body, f"forget a flow to {flow.destination}")])
    except FileNotFoundError:
        return  # it ended by itself
