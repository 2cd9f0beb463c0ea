import errno
import socket
import struct

import pytest

from roadstead.node.network import netlink
from roadstead.node.network.netlink import Message, NetlinkError, NetlinkSocket, Reply


def test_an_attribute_is_padded_to_four_bytes_but_its_length_is_not():
    assert netlink.attribute(3, b"lo\0") == struct.pack("=HH", 7, 3) + b"lo\0\0"


def test_a_nested_attribute_is_marked():
    assert netlink.nested(2, b"") == struct.pack("=HH", 4, 0x8002)


def test_messages_of_a_batch_are_numbered_in_order():
    batch = [Message(16, 0x400, b"abcde", "one"), Message(20, 0, b"", "two")]
    encoded = netlink.encode(batch, 7)
    assert encoded == (
        struct.pack("=IHHII", 21, 16, 0x400 | 1 | 4, 7, 0) + b"abcde\0\0\0" + struct.pack("=IHHII", 16, 20, 1 | 4, 8, 0)
    )
    assert len(encoded) == netlink.total_size(batch)


def _error(sequence: int, code: int, flags: int = 0, extra: bytes = b"") -> bytes:
    body = struct.pack("=i", -code) + struct.pack("=IHHII", 16, 16, 5, sequence, 0) + extra
    return struct.pack("=IHHII", 16 + len(body), 2, flags, sequence, 0) + body


def test_replies_carry_the_error_and_the_kernels_words():
    words = netlink.attribute(1, b"Address already assigned\0")
    received = _error(1, 0) + _error(2, errno.EEXIST, 0x100 | 0x200, words)
    assert list(netlink.decode_replies(received)) == [
        Reply(1, 0, ""),
        Reply(2, errno.EEXIST, "Address already assigned"),
    ]


def test_a_refusal_says_what_could_not_be_done():
    error = netlink.refused(netlink.new_route("10.0.0.0/8", 1), Reply(1, errno.EEXIST, ""))
    assert str(error) == f"[Errno {errno.EEXIST}] could not add the route to 10.0.0.0/8: File exists"


def test_every_request_says_what_it_is_for():
    messages = [
        netlink.link_up(1),
        netlink.new_veth(netlink.VethEnd("v1", 1, b"\0" * 6), netlink.VethEnd("eth0", 2, b"\0" * 6), 0),
        netlink.delete_link(1),
        netlink.delete_route("10.0.0.1/32", 1),
        netlink.forward(1),
        netlink.new_address(1, "10.0.0.1"),
        netlink.new_neighbour(1, "10.0.0.1", b"\0" * 6),
    ]
    assert all(message.purpose for message in messages)


def test_the_kernel_is_asked_and_its_refusal_raised():
    with NetlinkSocket() as routes, pytest.raises(NetlinkError, match=r"could not delete link 4242424") as caught:
        routes.commit([netlink.delete_link(4242424)])
    assert caught.value.errno in (errno.ENODEV, errno.EPERM)


def test_the_kernel_answers_what_it_is_asked():
    with NetlinkSocket() as routes:
        body = routes.ask(netlink.get_link(1))
        assert netlink.decode_attributes(body[16:])[3] == b"lo\0"
        assert not netlink.is_link_running(body[:16])
        with pytest.raises(NetlinkError, match=r"could not read the state of link 4242424: No such device"):
            routes.ask(netlink.get_link(4242424))


def test_an_ordinary_user_gets_the_buffer_that_the_kernel_allows():
    with NetlinkSocket(socket.NETLINK_ROUTE, 1 << 20) as routes:
        assert routes.capacity > 200_000
