import struct

from roadstead.node.network import nftables
from roadstead.node.network.netlink import total_size
from roadstead.node.network.nftables import Base, Batch, Element, Hook, Key, Set, new_change, transactions


def test_ranges_become_starts_and_boundaries():
    number = nftables.address_key
    assert nftables.address_ranges([(0x0A000000, 0x0A0000FF), (0xFFFFFFFE, 0xFFFFFFFF)]) == [
        Element(number("0.0.0.0"), boundary=True),
        Element(number("10.0.0.0")),
        Element(number("10.0.1.0"), boundary=True),
        Element(number("255.255.255.254")),
    ]


def test_a_range_from_the_first_address_needs_no_boundary_before_it():
    assert nftables.address_ranges([(0, 0xFFFFFFFF)]) == [Element(bytes(4))]


def test_a_concatenated_key_is_padded_field_by_field():
    assert nftables.port_key("UDP", 53) == bytes([17, 0, 0, 0, 0, 53, 0, 0])


def test_members_are_split_into_lists_that_fit_an_attribute():
    batch = Batch("t")
    batch.new_set("s", Set((Key.IPV4,)))
    batch.add_elements("s", [Element(struct.pack(">I", number)) for number in range(10_000)])
    lists = batch.messages[1:]
    assert len(lists) > 1
    assert max(len(message.body) for message in lists) < 1 << 16
    assert sum(message.body.count(struct.pack("=HHHH", 12, 0x8001, 8, 1)) for message in lists) == 10_000


def test_no_members_are_no_message():
    batch = Batch("t")
    batch.add_elements("s", [])
    batch.delete_elements("s", [])
    assert batch.messages == []


def test_a_comment_is_cut_to_what_nft_can_show():
    batch = Batch("t")
    batch.new_rule("c", comment="x" * 500)
    assert b"x" * 127 + b"\0" in batch.messages[0].body
    assert b"x" * 128 not in batch.messages[0].body


def _change(prepared: int, cleaned: int) -> nftables.Change:
    change = new_change("t")
    for number in range(prepared):
        change.prepare.new_chain(f"new-{number}", Base(Hook.FORWARD, 0))
    change.switch.add_elements("map", [Element(bytes(4))])
    change.switch.delete_elements("map", [Element(b"\1\0\0\0")])
    for number in range(cleaned):
        change.clean.delete_chain(f"old-{number}")
    return change


def test_a_change_that_fits_is_one_transaction():
    change = _change(3, 3)
    assert transactions(change, 100_000) == [change.prepare.messages + change.switch.messages + change.clean.messages]


def test_a_large_change_is_cut_but_its_switch_is_not():
    change = _change(50, 50)
    cut = transactions(change, 1000)
    assert [message for part in cut for message in part] == (
        change.prepare.messages + change.switch.messages + change.clean.messages
    )
    assert all(total_size(part) <= 1000 for part in cut)
    assert change.switch.messages in cut


def test_no_change_is_no_transaction():
    assert transactions(new_change("t"), 1000) == []
