"""Netlink: how a process asks the kernel for links, addresses, routes and neighbours, without `ip` or a library.

The encoders are pure: each returns a `Message` that also says in words what it is for, so that a refusal can name it.
`NetlinkSocket` sends a batch in one call and reads the answers. Layouts: linux/netlink.h, rtnetlink.h, if_link.h.
Next: `nftables`, the same for packet filter transactions.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

REQUEST, ACK, REPLACE, EXCLUSIVE, CREATE, APPEND = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800
_GET_LINK = 18
_NEW_LINK, _DELETE_LINK, _NEW_ADDRESS, _NEW_ROUTE, _DELETE_ROUTE, _NEW_NEIGHBOUR = 16, 17, 20, 24, 25, 28
_ERROR, _DONE, _CAPPED, _HAS_TEXT = 2, 3, 0x100, 0x200
_DUMP = 0x300
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_PATIENCE_SECONDS = 20
_UP, _PERMANENT, _OPERATIONAL = 1, 0x80, 6
_SCOPE_LINK, _TABLE_MAIN, _PROTOCOL_STATIC, _UNICAST = 253, 254, 4, 1
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _SO_SNDBUFFORCE = 270, 10, 11, 32
LOOPBACK = 1
"""The index of `lo` in every network namespace."""


class NetlinkError(OSError):
    """The kernel refused a request; the text says which one and why."""


class Message(NamedTuple):
    """One request. `purpose` completes "could not ...": `add the route to 10.244.0.7`."""

    kind: int
    flags: int
    body: bytes
    purpose: str


class Reply(NamedTuple):
    """The kernel's answer to the request with this sequence number; `error` is an errno, 0 for success."""

    sequence: int
    error: int
    text: str


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute: length, type, value, padding to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) & 3)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """Return an attribute that holds a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def decode_attributes(encoded: bytes) -> dict[int, bytes]:
    """Return the attributes of a message or of a nested attribute, by kind; of equal ones the last."""
    attributes: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(encoded):
        length, kind = struct.unpack_from("=HH", encoded, offset)
        attributes[kind & 0x3FFF] = encoded[offset + 4 : offset + length]
        offset += max(4, (length + 3) & ~3)
    return attributes


def encode(messages: Sequence[Message], first_sequence: int = 1, *, acknowledge: bool = True) -> bytes:
    """Return the bytes of a batch; message i has sequence number `first_sequence + i`.

    With `acknowledge` false only failures are answered, besides messages that carry ACK themselves.
    """
    flags = REQUEST | (ACK if acknowledge else 0)
    return b"".join(
        _HEADER.pack(_HEADER.size + len(message.body), message.kind, message.flags | flags, first_sequence + i, 0)
        + message.body
        + bytes(-len(message.body) & 3)
        for i, message in enumerate(messages)
    )


def decode_replies(received: bytes) -> Iterator[Reply]:
    """Yield the answers in a received datagram."""
    offset = 0
    while offset + _HEADER.size <= len(received):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(received, offset)
        if kind == _ERROR:
            error = -struct.unpack_from("=i", received, offset + _HEADER.size)[0]
            yield Reply(sequence, error, _extended_text(received[offset : offset + length], flags))
        offset += (length + 3) & ~3


def _extended_text(message: bytes, flags: int) -> str:
    """Return the kernel's own words (NLMSGERR_ATTR_MSG), which follow the request's header when acks are capped."""
    offset = 2 * _HEADER.size + 4
    while flags & _HAS_TEXT and flags & _CAPPED and offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if kind == 1:
            return message[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += max(4, (length + 3) & ~3)
    return ""


def _link(index: int, *attributes: bytes, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags) + b"".join(attributes)


def link_up(index: int) -> Message:
    """Bring a link up."""
    return Message(_NEW_LINK, 0, _link(index, flags=_UP), f"bring up link {index}")


class VethEnd(NamedTuple):
    """One end of a pair: its name, its link index and its hardware address."""

    name: str
    number: int
    hardware_address: bytes

    def attributes(self) -> bytes:
        """Return IFLA_IFNAME and IFLA_ADDRESS."""
        return text(3, self.name) + attribute(1, self.hardware_address)


def new_veth(here: VethEnd, there: VethEnd, namespace: int) -> Message:
    """Create a pair, `here` up, and `there` already in the network namespace of this file descriptor."""
    peer = _link(there.number, there.attributes(), attribute(28, struct.pack("=I", namespace)))
    kind = attribute(18, attribute(1, b"veth\0") + attribute(2, attribute(1, peer)))
    body = _link(here.number, here.attributes(), kind, flags=_UP)
    return Message(_NEW_LINK, CREATE | EXCLUSIVE, body, f"create the veth pair {here.name}")


def get_link(index: int) -> Message:
    """Ask for a link's state; `is_link_running` reads the answer."""
    without_statistics = attribute(29, struct.pack("=I", 8))
    return Message(_GET_LINK, 0, _link(index, without_statistics), f"read the state of link {index}")


def is_link_running(body: bytes) -> bool:
    """Say whether a link sends what it is given: up, and its other end too."""
    return decode_attributes(body[16:]).get(16) == bytes([_OPERATIONAL])


def delete_link(index: int) -> Message:
    """Delete a link; the other end of a veth pair goes too."""
    return Message(_DELETE_LINK, 0, _link(index), f"delete link {index}")


def forward(index: int) -> Message:
    """Let packets that arrive on this link be routed on: IFLA_INET_CONF, which works where /proc/sys is read-only."""
    configuration = attribute(1, attribute(1, struct.pack("=I", 1)))
    return Message(_NEW_LINK, 0, _link(index, attribute(26, attribute(2, configuration))), f"forward from link {index}")


def new_address(index: int, address: str) -> Message:
    """Give a link an IPv4 address that is a network of its own (/32)."""
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBi", socket.AF_INET, 32, _PERMANENT, 0, index) + attribute(1, packed) + attribute(2, packed)
    return Message(_NEW_ADDRESS, CREATE | EXCLUSIVE, body, f"add the address {address}")


def new_route(destination: str, index: int, *, gateway: str = "", source: str = "") -> Message:
    """Add an IPv4 route to a network (`10.96.0.0/16`, `0.0.0.0/0`), through a gateway or on the link itself."""
    body = _route(destination, index, 0 if gateway else _SCOPE_LINK)
    if gateway:
        body += attribute(5, socket.inet_aton(gateway))
    if source:
        body += attribute(7, socket.inet_aton(source))
    return Message(_NEW_ROUTE, CREATE | EXCLUSIVE, body, f"add the route to {destination}")


def delete_route(destination: str, index: int) -> Message:
    """Delete the IPv4 route to a network on this link."""
    return Message(_DELETE_ROUTE, 0, _route(destination, index, _SCOPE_LINK), f"delete the route to {destination}")


def _route(destination: str, index: int, scope: int) -> bytes:
    network, _, length = destination.partition("/")
    head = (socket.AF_INET, int(length), 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _UNICAST, 0)
    body = struct.pack("=BBBBBBBBI", *head) + attribute(4, struct.pack("=i", index))
    return body + attribute(1, socket.inet_aton(network)) if int(length) else body


def new_neighbour(index: int, address: str, hardware_address: bytes) -> Message:
    """Say for good which hardware address an IPv4 address has, so nothing is ever asked by ARP."""
    head = struct.pack("=BxxxiHBB", socket.AF_INET, index, _PERMANENT, 0, 0)
    body = head + attribute(1, socket.inet_aton(address)) + attribute(2, hardware_address)
    return Message(_NEW_NEIGHBOUR, CREATE | REPLACE, body, f"add the neighbour {address}")


class NetlinkSocket:
    """A netlink socket of the network namespace in which it was made, wherever its process goes later."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE, send_buffer: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        # An answer that is lost must become an error: netd waits here for the whole node.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PATIENCE_SECONDS, 0))
        if send_buffer:
            self._enlarge(send_buffer)
        self._sequence = 1

    def _enlarge(self, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
        except PermissionError:
            # Only the host's root may pass net.core.wmem_max; everybody may go up to twice that.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    @property
    def capacity(self) -> int:
        """The largest batch in bytes; the kernel keeps 32 bytes of the send buffer (netlink_sendmsg)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32

    def commit(self, messages: Sequence[Message]) -> None:
        """Send a batch of independent requests and wait for all answers. Raises NetlinkError for the first refusal."""
        if not messages:
            return
        first = self.send(messages)
        waiting, refusal = len(messages), None
        while waiting:
            for reply in self.receive():
                waiting -= 1
                if reply.error and refusal is None:
                    refusal = refused(messages[reply.sequence - first], reply)
        if refusal is not None:
            raise refusal

    def send(self, messages: Sequence[Message], *, acknowledge: bool = True) -> int:
        """Send a batch in one call and return the sequence number of its first message."""
        first = self._sequence
        self._sequence += len(messages)
        self._socket.send(encode(messages, first, acknowledge=acknowledge))
        return first

    def ask(self, message: Message) -> bytes:
        """Ask for one thing and return the body of the answer. Raises NetlinkError."""
        self.send([message], acknowledge=False)
        received = self._socket.recv(1 << 16)
        length, kind, *_ = _HEADER.unpack_from(received)
        if kind == _ERROR:
            raise refused(message, next(decode_replies(received)))
        return received[_HEADER.size : length]

    def dump(self, message: Message) -> list[bytes]:
        """Ask for a list and return the body of each entry. Raises NetlinkError."""
        self.send([message._replace(flags=message.flags | _DUMP)], acknowledge=False)
        bodies: list[bytes] = []
        while True:
            received, offset = self._socket.recv(1 << 16), 0
            while offset + _HEADER.size <= len(received):
                length, kind, *_ = _HEADER.unpack_from(received, offset)
                if kind == _DONE:
                    return bodies
                if kind == _ERROR:
                    raise refused(message, next(decode_replies(received[offset:])))
                bodies.append(received[offset + _HEADER.size : offset + length])
                offset += (length + 3) & ~3

    def receive(self, *, wait: bool = True) -> list[Reply]:
        """Return the answers of one datagram; without `wait`, an empty list when none is there.

        Raises NetlinkError when the kernel does not answer.
        """
        try:
            return list(decode_replies(self._socket.recv(1 << 16, 0 if wait else socket.MSG_DONTWAIT)))
        except BlockingIOError:
            if wait:
                unanswered = f"the kernel gave no answer within {_PATIENCE_SECONDS} s"
                raise NetlinkError(errno.ETIMEDOUT, unanswered) from None
            return []

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refused(message: Message, reply: Reply) -> NetlinkError:
    """Return the error that says what could not be done and why."""
    reason = os.strerror(reply.error) + (f" ({reply.text})" if reply.text else "")
    return NetlinkError(reply.error, f"could not {message.purpose}: {reason}")


def total_size(messages: Iterable[Message]) -> int:
    """Return how many bytes `encode` makes of these messages."""
    return sum(_HEADER.size + ((len(message.body) + 3) & ~3) for message in messages)
