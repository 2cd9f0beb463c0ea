"""Which address a pod gets."""

import ipaddress

import pytest

from roadstead.node.addresses import AddressesExhausted, AddressPool


def pool(cidr: str, *reserved: str) -> AddressPool:
    return AddressPool(ipaddress.IPv4Network(cidr), reserved)


def test_a_freed_address_rests_before_it_is_given_again():
    addresses = pool("10.244.0.0/16")
    first, second = addresses.allocate(), addresses.allocate()
    assert (first, second) == ("10.244.0.2", "10.244.0.3")
    addresses.release(first)
    assert addresses.allocate() == "10.244.0.4"


def test_a_small_range_is_used_up_and_reused():
    addresses = pool("10.0.0.0/29", "10.0.0.4")
    given = [addresses.allocate() for _ in range(4)]
    assert given == ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]
    with pytest.raises(AddressesExhausted, match="widen the range"):
        addresses.allocate()
    addresses.release("10.0.0.3")
    addresses.release("")
    assert addresses.allocate() == "10.0.0.3"
