"""nf_tables: packet filter transactions in the kernel's own encoding, without `nft` and without a library.

A `Batch` collects changes to one table; `NftablesSocket.commit` makes them in one atomic step. Expressions are bytes:
a rule is their concatenation. Element changes cost about 0.1 ms, where `nft` first reads back everything it has.
Layouts: linux/netfilter/nf_tables.h. `nft list ruleset` shows the result, with comments.
"""

import enum
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from roadstead.node.network.netlink import (
    ACK,
    APPEND,
    CREATE,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    nested,
    refused,
    text,
    total_size,
)

_NETFILTER, _SUBSYSTEM = 12, 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _DELETE_CHAIN, _NEW_RULE = 0, 2, 3, 5, 6
_NEW_SET, _DELETE_SET, _NEW_ELEMENT, _DELETE_ELEMENT = 9, 11, 12, 14
_LARGEST_ELEMENT_LIST = 60_000  # a list is one attribute, whose length has 16 bits
_LONGEST_COMMENT = 127
_IPV4 = socket.AF_INET


class Hook(enum.IntEnum):
    """Where a base chain sees packets."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


class Key(enum.Enum):
    """A field of a set's key: the type that `nft` displays, and its length in bytes."""

    IPV4 = (7, 4)
    PROTOCOL = (12, 1)
    PORT = (13, 2)
    INTERFACE = (20, 4)
    INTEGER = (4, 4)

    @property
    def width(self) -> int:
        """Bytes of the value itself."""
        return self.value[1]


class Element(NamedTuple):
    """A member of a set or map. `last` ends a range (concatenations); `boundary` marks the end of one (single keys)."""

    key: bytes
    last: bytes | None = None
    value: bytes | None = None
    boundary: bool = False


class Set(NamedTuple):
    """What a set or map holds: `verdicts` makes it a verdict map, `values` a map to such fields."""

    keys: tuple[Key, ...]
    ranges: bool = False
    verdicts: bool = False
    values: tuple[Key, ...] = ()


class Base(NamedTuple):
    """Where a chain hangs: `kind` is `filter` or `nat`; smaller priorities come first."""

    hook: Hook
    priority: int
    kind: str = "filter"


PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


def _number(value: int) -> bytes:
    return struct.pack(">I", value & 0xFFFFFFFF)


def padded(value: bytes) -> bytes:
    """Return a field as it stands in a concatenation: padded to whole registers of four bytes."""
    return value + bytes(-len(value) & 3)


def address_key(address: str) -> bytes:
    """Return an IPv4 address as a key."""
    return socket.inet_aton(address)


def port_key(protocol: str, port: int) -> bytes:
    """Return `protocol . port` as (the end of) a concatenated key."""
    return padded(bytes([PROTOCOLS[protocol]])) + padded(struct.pack(">H", port))


def address_ranges(ranges: Iterable[tuple[int, int]]) -> list[Element]:
    """Return the elements of an interval set of IPv4 addresses; the ranges are sorted, apart and not adjacent."""
    elements: list[Element] = []
    for first, last in ranges:
        if not elements and first > 0:
            elements.append(Element(_number(0), boundary=True))
        elements.append(Element(_number(first)))
        if last < 0xFFFFFFFF:
            elements.append(Element(_number(last + 1), boundary=True))
    return elements


# Registers of four bytes: 8, 9, ... hold a concatenation; a verdict goes to register 0.
REGISTER = 8
_VERDICT = 0


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _load_payload(register: int, base: int, offset: int, length: int) -> bytes:
    parts = (attribute(kind, _number(value)) for kind, value in enumerate((register, base, offset, length), start=1))
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
    return _expression("meta", attribute(2, _number(key)), attribute(1, _number(register)))


def _load_connection(register: int, key: int) -> bytes:
    return _expression("ct", attribute(2, _number(key)), attribute(1, _number(register)))


def equals(value: bytes, *, negate: bool = False, register: int = REGISTER) -> bytes:
    """Go on only if the register holds (or with `negate` does not hold) this value."""
    return _compare(1 if negate else 0, value, register)


def between(first: bytes, last: bytes, register: int = REGISTER) -> bytes:
    """Go on only if the register holds a value of this range, both ends included, in network byte order."""
    if first == last:
        return equals(first, register=register)
    return _compare(5, first, register) + _compare(3, last, register)


def _compare(operator: int, value: bytes, register: int) -> bytes:
    operands = attribute(1, _number(register)), attribute(2, _number(operator)), nested(3, attribute(1, value))
    return _expression("cmp", *operands)


def masked(mask: bytes, register: int = REGISTER) -> bytes:
    """Keep only the bits of the mask in a register."""
    return _expression(
        "bitwise",
        attribute(1, _number(register)),
        attribute(2, _number(register)),
        attribute(3, _number(len(mask))),
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
    inverted = (attribute(5, _number(1)),) if negate else ()
    return _expression("lookup", text(1, name), attribute(2, _number(register)), *inverted)


def mapped(name: str, *, source: int = REGISTER, target: int = REGISTER) -> bytes:
    """Replace the key in `source` by its value, loaded to `target`; stop the rule if it has none."""
    return _expression("lookup", text(1, name), attribute(2, _number(source)), attribute(3, _number(target)))


def follow(name: str) -> bytes:
    """Do what a verdict map says about the key that starts in the first register."""
    return mapped(name, target=_VERDICT)


def _verdict(code: int, chain: str = "") -> bytes:
    return nested(2, attribute(1, _number(code)), text(2, chain) if chain else b"")


def goto_value(chain: str) -> bytes:
    """Return the value of a verdict map's element: go to a chain and do not come back."""
    return _verdict(-4, chain)


def field_value(packed: bytes) -> bytes:
    """Return the value of a map's element: its fields, each `padded`."""
    return attribute(1, packed)


def _immediate(register: int, value: bytes) -> bytes:
    return _expression("immediate", attribute(1, _number(register)), nested(2, value))


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
    return _expression("reject", attribute(1, _number(0)), attribute(2, b"\3"))


def refuse_connection() -> bytes:
    """Answer a TCP packet with a reset.

    A client on the node would overlook an ICMP answer: it comes while `connect` still holds the socket (tcp_v4_err).
    """
    return _expression("reject", attribute(1, _number(1)))


def masquerade() -> bytes:
    """Give the packet the address of the link on which it leaves."""
    return _expression("masq")


def load_random(modulus: int, register: int = REGISTER) -> bytes:
    """Load a random number below `modulus`, in the machine's byte order."""
    return _expression(
        "numgen", attribute(1, _number(register)), attribute(2, _number(modulus)), attribute(3, _number(1))
    )


def load_value(value: bytes, register: int = REGISTER) -> bytes:
    """Load a constant."""
    return _immediate(register, attribute(1, value))


def redirect(register: int = REGISTER) -> bytes:
    """Send the connection to the `address . port` that starts in this register (destination NAT)."""
    return _expression(
        "nat",
        attribute(1, _number(1)),
        attribute(2, _number(_IPV4)),
        attribute(3, _number(register)),
        attribute(5, _number(register + 1)),
    )


def _key_type(keys: Sequence[Key]) -> int:
    kind = 0
    for key in keys:
        kind = (kind << 6) | key.value[0]
    return kind


def _key_length(keys: Sequence[Key]) -> int:
    return keys[0].width if len(keys) == 1 else sum((key.width + 3) & ~3 for key in keys)


class Batch:
    """Changes to one IPv4 table, in order. Nothing is sent; `messages` is what `NftablesSocket.commit` takes."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.messages: list[Message] = []

    def _add(self, kind: int, flags: int, purpose: str, *attributes: bytes) -> None:
        body = struct.pack("=BBH", _IPV4, 0, 0) + b"".join(attributes)
        self.messages.append(Message(_SUBSYSTEM << 8 | kind, flags, body, purpose))

    def new_table(self) -> None:
        """Create the table; no error if it is there."""
        self._add(_NEW_TABLE, CREATE, f"create the nf_tables table {self._table}", text(1, self._table))

    def delete_table(self) -> None:
        """Delete the table and everything in it."""
        self._add(_DELETE_TABLE, 0, f"delete the nf_tables table {self._table}", text(1, self._table))

    def new_chain(self, name: str, base: Base | None = None) -> None:
        """Create a chain; a base chain accepts what its rules do not decide."""
        attributes = [text(1, self._table), text(3, name)]
        if base is not None:
            hook = nested(4, attribute(1, _number(base.hook)), attribute(2, _number(base.priority)))
            attributes += [hook, attribute(5, _number(1)), text(7, base.kind)]
        self._add(_NEW_CHAIN, CREATE, f"create the chain {name}", *attributes)

    def delete_chain(self, name: str) -> None:
        """Delete a chain with its rules; nothing may lead to it any more."""
        self._add(_DELETE_CHAIN, 0, f"delete the chain {name}", text(1, self._table), text(3, name))

    def new_rule(self, chain: str, *expressions: bytes, comment: str = "") -> None:
        """Append a rule to a chain; the comment is for people who list it."""
        attributes = [text(1, self._table), text(2, chain), nested(4, *expressions)]
        if comment:
            words = comment.encode()[:_LONGEST_COMMENT] + b"\0"
            attributes.append(attribute(7, bytes([0, len(words)]) + words))
        self._add(_NEW_RULE, CREATE | APPEND, f"add a rule to the chain {chain}", *attributes)

    def new_set(self, name: str, form: Set) -> None:
        """Create a set or map."""
        concatenated = len(form.keys) > 1
        flags = 4 * form.ranges | 8 * (form.verdicts or bool(form.values)) | 0x80 * concatenated
        attributes = [
            text(1, self._table),
            text(2, name),
            attribute(3, _number(flags)),
            attribute(4, _number(_key_type(form.keys))),
            attribute(5, _number(_key_length(form.keys))),
        ]
        if form.verdicts:
            attributes += [attribute(6, _number(0xFFFFFF00)), attribute(7, _number(0))]
        elif form.values:
            attributes += [
                attribute(6, _number(_key_type(form.values))),
                attribute(7, _number(_key_length(form.values))),
            ]
        if concatenated:
            fields = (nested(1, attribute(1, _number(key.width))) for key in form.keys)
            attributes.append(nested(9, nested(2, *fields)))
        attributes.append(attribute(10, _number(len(self.messages) + 1)))
        self._add(_NEW_SET, CREATE, f"create the set {name}", *attributes)

    def delete_set(self, name: str) -> None:
        """Delete a set; no rule may use it any more."""
        self._add(_DELETE_SET, 0, f"delete the set {name}", text(1, self._table), text(2, name))

    def add_elements(self, name: str, elements: Iterable[Element]) -> None:
        """Add members to a set or map; one that is there already, with the same value, is no error."""
        for listed in _element_lists(elements):
            self._elements(_NEW_ELEMENT, CREATE, f"add members to the set {name}", name, listed)

    def delete_elements(self, name: str, elements: Iterable[Element]) -> None:
        """Take members out of a set or map. One that is not there is an error."""
        for listed in _element_lists(elements):
            self._elements(_DELETE_ELEMENT, 0, f"take members out of the set {name}", name, listed)

    def _elements(self, kind: int, flags: int, purpose: str, name: str, listed: bytes) -> None:
        self._add(kind, flags, purpose, text(1, self._table), text(2, name), nested(3, listed))


def _element_lists(elements: Iterable[Element]) -> Iterator[bytes]:
    collected: list[bytes] = []
    size = 0
    for element in elements:
        encoded = _encode_element(element)
        if collected and size + len(encoded) > _LARGEST_ELEMENT_LIST:
            yield b"".join(collected)
            collected, size = [], 0
        collected.append(encoded)
        size += len(encoded)
    if collected:
        yield b"".join(collected)


def _encode_element(element: Element) -> bytes:
    encoded = nested(1, attribute(1, element.key))
    if element.value is not None:
        encoded += nested(2, element.value)
    if element.boundary:
        encoded += attribute(3, _number(1))
    if element.last is not None:
        encoded += nested(10, attribute(1, element.last))
    return nested(1, encoded)


class Change(NamedTuple):
    """A change in the three steps that it may be cut into when it is larger than the socket's buffer.

    `prepare` makes what nothing refers to yet, `switch` refers to it (atomically, in one transaction), `clean` deletes
    what nothing refers to any more. A change that fits is one transaction.
    """

    prepare: Batch
    switch: Batch
    clean: Batch


def new_change(table: str) -> Change:
    """Return an empty change of a table."""
    return Change(Batch(table), Batch(table), Batch(table))


def transactions(change: Change, capacity: int) -> list[list[Message]]:
    """Cut a change into transactions of at most `capacity` bytes; the step `switch` is never cut."""
    room = capacity - 3 * 20  # the batch's begin and end
    whole = change.prepare.messages + change.switch.messages + change.clean.messages
    if total_size(whole) <= room:
        return [whole] if whole else []
    switch = [change.switch.messages] if change.switch.messages else []
    return [*_cut(change.prepare.messages, room), *switch, *_cut(change.clean.messages, room)]


def _cut(messages: Sequence[Message], room: int) -> Iterator[list[Message]]:
    part: list[Message] = []
    size = 0
    for message in messages:
        length = total_size([message])
        if part and size + length > room:
            yield part
            part, size = [], 0
        part.append(message)
        size += length
    if part:
        yield part


class NftablesSocket:
    """Commits changes to the packet filter of the network namespace in which it was made."""

    def __init__(self, send_buffer: int = 16 << 20) -> None:
        self._netlink = NetlinkSocket(_NETFILTER, send_buffer)

    def commit(self, change: Change | Batch) -> None:
        """Make a change, in one atomic step if it fits. Raises NetlinkError that says what the kernel refused."""
        if isinstance(change, Batch):
            self._transact(change.messages)
            return
        for messages in transactions(change, self._netlink.capacity):
            self._transact(messages)

    def _transact(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        # Failures are always answered, success only where ACK asks for it: the last message is enough.
        last = messages[-1]._replace(flags=messages[-1].flags | ACK)
        batch = [_frame(_BATCH_BEGIN), *messages[:-1], last, _frame(_BATCH_END)]
        try:
            first = self._netlink.send(batch, acknowledge=False)
        except OSError as error:
            size = total_size(batch)
            raise NetlinkError(error.errno, f"could not send {size} bytes of packet filter rules: {error}") from error
        self._await(batch, first)

    def _await(self, batch: Sequence[Message], first: int) -> None:
        awaited = first + len(batch) - 2
        while True:
            for reply in self._netlink.receive():
                if reply.error:
                    while self._netlink.receive(wait=False):
                        pass
                    raise refused(batch[reply.sequence - first], reply)
                if reply.sequence == awaited:
                    return

    def close(self) -> None:
        """Close the socket; the rules stay."""
        self._netlink.close()


def _frame(kind: int) -> Message:
    return Message(kind, 0, struct.pack("=BBH", 0, 0, socket.htons(_SUBSYSTEM)), "commit packet filter rules")
