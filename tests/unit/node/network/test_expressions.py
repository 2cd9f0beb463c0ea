import struct

from roadstead.node.network import expressions
from roadstead.node.network.netlink import decode_attributes


def named(expression: bytes) -> tuple[str, dict[int, bytes]]:
    """Return the name and the attributes of one expression."""
    parts = decode_attributes(decode_attributes(expression)[1])
    return parts[1].rstrip(b"\0").decode(), decode_attributes(parts[2])


def numbers(attributes: dict[int, bytes]) -> dict[int, int]:
    return {kind: struct.unpack(">I", value)[0] for kind, value in attributes.items() if len(value) == 4}


def test_addresses_and_ports_are_loaded_from_where_packets_have_them():
    network, transport = 1, 2
    assert numbers(named(expressions.load_source())[1]) == {1: 8, 2: network, 3: 12, 4: 4}
    assert numbers(named(expressions.load_destination(9))[1]) == {1: 9, 2: network, 3: 16, 4: 4}
    assert numbers(named(expressions.load_port(10))[1]) == {1: 10, 2: transport, 3: 2, 4: 2}


def test_a_range_of_one_is_an_equality():
    assert expressions.between(b"\1", b"\1") == expressions.equals(b"\1")
    assert len(expressions.between(b"\1", b"\2")) == 2 * len(expressions.equals(b"\1"))


def test_a_verdict_names_its_chain():
    name, attributes = named(expressions.jump("isolated"))
    verdict = decode_attributes(decode_attributes(attributes[2])[2])
    assert name == "immediate"
    assert verdict == {1: struct.pack(">i", -3), 2: b"isolated\0"}


def test_a_lookup_can_be_turned_round():
    assert 5 not in named(expressions.is_in("members"))[1]
    assert numbers(named(expressions.is_in("members", negate=True))[1])[5] == 1


def test_a_connection_is_reset_and_a_datagram_told_that_the_port_is_unreachable():
    assert named(expressions.refuse_connection()) == ("reject", {1: struct.pack(">I", 1)})
    assert named(expressions.refuse_datagram()) == ("reject", {1: bytes(4), 2: b"\3"})
