import socket
import struct

from roadstead.node.network.conntrack import Flow, decode_flow, lost_ports, stale_flows
from roadstead.node.network.netlink import attribute, nested
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable

DNS = ("10.96.0.10", 53)


def table(*endpoints, protocol="UDP"):
    places = tuple(Endpoint(address, 53) for address in endpoints)
    return ServiceTable((ServicePort(*(DNS[0], protocol, DNS[1]), "kube-system/kube-dns:dns", places),))


def test_ports_that_lost_an_endpoint_are_known_with_who_serves_now():
    assert lost_ports(table("10.244.0.2", "10.244.0.3"), table("10.244.0.3")) == {DNS: frozenset({"10.244.0.3"})}
    assert lost_ports(table("10.244.0.2"), ServiceTable()) == {DNS: frozenset()}
    assert lost_ports(table("10.244.0.2"), table("10.244.0.2", "10.244.0.3")) == {}
    assert lost_ports(table("10.244.0.2", protocol="TCP"), ServiceTable()) == {}


def test_only_flows_to_an_endpoint_that_went_are_stale():
    kept, stale = Flow(17, *DNS, "10.244.0.3", b""), Flow(17, *DNS, "10.244.0.2", b"")
    others = [Flow(6, *DNS, "10.244.0.2", b""), Flow(17, "10.96.0.10", 54, "10.244.0.2", b"")]
    assert list(stale_flows([kept, stale, *others], {DNS: frozenset({"10.244.0.3"})})) == [stale]


def _tuple(source, destination, protocol, port):
    addresses = attribute(1, socket.inet_aton(source)) + attribute(2, socket.inet_aton(destination))
    ports = attribute(1, bytes([protocol])) + attribute(2, b"\x9c\x40") + attribute(3, struct.pack(">H", port))
    return nested(1, addresses) + nested(2, ports)


def test_an_entry_of_a_dump_is_read():
    original, reply = _tuple("10.244.0.9", *(DNS[0], 17, 53)), _tuple("10.244.0.2", "10.244.0.9", 17, 40000)
    body = bytes(4) + nested(1, original) + nested(2, reply) + attribute(3, bytes(4))
    assert decode_flow(body) == Flow(17, "10.96.0.10", 53, "10.244.0.2", original)


def test_an_entry_without_ports_is_left_out():
    assert decode_flow(bytes(4)) is None
    assert decode_flow(bytes(4) + nested(1, b"") + nested(2, b"")) is None
