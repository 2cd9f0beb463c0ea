"""What a packet filter rule is made of: each expression loads, compares, looks up or decides. Pure.

A rule is the concatenation of expressions, from left to right: it goes on as long as each finds what it asks for.
Layouts: linux/netfilter/nf_tables.h. Next: `nftables`, which puts rules, sets and chains into transactions.
"""

import socket
import struct

from roadstead.node.network.netlink import attribute, nested, text


def number(value: int) -> bytes:
    """Return a number as nf_tables has it: 32 bits, the most significant first."""
    return struct.pack(">I", value & 0xFFFFFFFF)


# Registers of four bytes: 8, 9, ... hold a concatenation; a verdict goes to register 0.
REGISTER = 8
_VERDICT = 0


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _load_payload(register: int, base: int, offset: int, length: int) -> bytes:
    parts = (attribute(kind, number(value)) for kind, value in enumerate((register, base, offset, length), start=1))
    return _expression("payload", *parts)


def load_source(register: int = REGISTER) -> bytes:
    """Load the packet's source address."""
    return _load_payload(register, 1, 12, 4)


def load_destination(register: int = REGISTER) -> bytes:
    """Load the packet's destination address."""
    return _load_payload(register, 1, 16, 4)


def load_port(register: int = REGISTER) -> bytes:
    """Load the packet's destination port (TCP, UDP and SCTP have it in the same place)."""
    return _load_payload(register, 2, 2, 2)


def load_protocol(register: int = REGISTER) -> bytes:
    """Load the packet's transport protocol."""
    return _load_meta(register, 16)


def load_interface(register: int = REGISTER) -> bytes:
    """Load the index of the link on which the packet came in."""
    return _load_meta(register, 4)


def _load_meta(register: int, key: int) -> bytes:
    return _expression("meta", attribute(2, number(key)), attribute(1, number(register)))


def _load_connection(register: int, key: int) -> bytes:
    return _expression("ct", attribute(2, number(key)), attribute(1, number(register)))


def equals(value: bytes, *, negate: bool = False, register: int = REGISTER) -> bytes:
    """Go on only if the register holds (or with `negate` does not hold) this value."""
    return _compare(1 if negate else 0, value, register)


def between(first: bytes, last: bytes, register: int = REGISTER) -> bytes:
    """Go on only if the register holds a value of this range, both ends included, in network byte order."""
    if first == last:
        return equals(first, register=register)
    return _compare(5, first, register) + _compare(3, last, register)


def _compare(operator: int, value: bytes, register: int) -> bytes:
    operands = attribute(1, number(register)), attribute(2, number(operator)), nested(3, attribute(1, value))
    return _expression("cmp", *operands)


def masked(mask: bytes, register: int = REGISTER) -> bytes:
    """Keep only the bits of the mask in a register."""
    return _expression(
        "bitwise",
        attribute(1, number(register)),
        attribute(2, number(register)),
        attribute(3, number(len(mask))),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, bytes(len(mask)))),
    )


def is_reply() -> bytes:
    """Go on only for the answering direction of a connection that was allowed to open (or errors about it)."""
    established_or_related = struct.pack("=I", 2 | 4)
    state = _load_connection(REGISTER, 0) + masked(established_or_related) + equals(bytes(4), negate=True)
    return state + _load_connection(REGISTER, 1) + equals(b"\1")


def is_in(name: str, *, negate: bool = False, register: int = REGISTER) -> bytes:
    """Go on only if the key that starts in this register is (not) in a set."""
    inverted = (attribute(5, number(1)),) if negate else ()
    return _expression("lookup", text(1, name), attribute(2, number(register)), *inverted)


def mapped(name: str, *, source: int = REGISTER, target: int = REGISTER) -> bytes:
    """Replace the key in `source` by its value, loaded to `target`; stop the rule if it has none."""
    return _expression("lookup", text(1, name), attribute(2, number(source)), attribute(3, number(target)))


def follow(name: str) -> bytes:
    """Do what a verdict map says about the key that starts in the first register."""
    return mapped(name, target=_VERDICT)


def _verdict(code: int, chain: str = "") -> bytes:
    return nested(2, attribute(1, number(code)), text(2, chain) if chain else b"")


def goto_value(chain: str) -> bytes:
    """Return the value of a verdict map's element: go to a chain and do not come back."""
    return _verdict(-4, chain)


def field_value(packed: bytes) -> bytes:
    """Return the value of a map's element: its fields, each `padded`."""
    return attribute(1, packed)


def _immediate(register: int, value: bytes) -> bytes:
    return _expression("immediate", attribute(1, number(register)), nested(2, value))


def accept() -> bytes:
    """Let the packet pass this base chain."""
    return _immediate(_VERDICT, _verdict(1))


def drop() -> bytes:
    """Drop the packet without an answer."""
    return _immediate(_VERDICT, _verdict(0))


def jump(chain: str) -> bytes:
    """Ask another chain, and come back if it does not decide."""
    return _immediate(_VERDICT, _verdict(-3, chain))


def counted() -> bytes:
    """Count packets and bytes."""
    return _expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))


def refuse_datagram() -> bytes:
    """Answer with ICMP "port unreachable"."""
    return _expression("reject", attribute(1, number(0)), attribute(2, b"\3"))


def refuse_connection() -> bytes:
    """Answer a TCP packet with a reset.

    A client on the node would overlook an ICMP answer: it comes while `connect` still holds the socket (tcp_v4_err).
    """
    return _expression("reject", attribute(1, number(1)))


def masquerade() -> bytes:
    """Give the packet the address of the link on which it leaves."""
    return _expression("masq")


def load_random(modulus: int, register: int = REGISTER) -> bytes:
    """Load a random number below `modulus`, in the machine's byte order."""
    return _expression("numgen", attribute(1, number(register)), attribute(2, number(modulus)), attribute(3, number(1)))


def load_value(value: bytes, register: int = REGISTER) -> bytes:
    """Load a constant."""
    return _immediate(register, attribute(1, value))


def redirect(register: int = REGISTER) -> bytes:
    """Send the connection to the `address . port` that starts in this register (destination NAT)."""
    return _expression(
        "nat",
        attribute(1, number(1)),
        attribute(2, number(socket.AF_INET)),
        attribute(3, number(register)),
        attribute(5, number(register + 1)),
    )
