import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.credentials.client import HEADER, client_of
from roadstead.service.credentials.forwarded import Names, TrustedGateways

GATEWAYS = TrustedGateways.of(["gateway.example.com"], ["10.0.0.0/8"])
NOBODY = Names()


def client(peer: str, *forwarded: str, shown: Names = NOBODY, gateways: TrustedGateways = GATEWAYS) -> str:
    return client_of(peer, shown, [(HEADER, value) for value in forwarded], gateways)


@pytest.mark.parametrize(("peer", "found"), [
    ("ipv4:203.0.113.7:1234", "203.0.113.7"),
    ("ipv6:%5B2001:db8:1:2:3::7%5D:1234", "2001:db8:1:2::/64"),
    ("ipv6:%5B::ffff:203.0.113.7%5D:1234", "203.0.113.7"),
    ("unix:", ""), ("", ""), ("ipv4:nonsense:1", ""),
])  # fmt: skip
def test_a_connections_own_address(peer, found):
    assert client(peer) == found


def test_only_a_trusted_gateway_speaks_for_others():
    assert client("ipv4:203.0.113.7:1", "198.51.100.1") == "203.0.113.7"
    assert client("ipv4:10.0.0.9:1", "198.51.100.1") == "198.51.100.1"
    assert client("ipv4:203.0.113.7:1", "198.51.100.1", shown=Names(dns=("gateway.example.com",))) == "198.51.100.1"
    assert client("ipv4:10.0.0.9:1", "198.51.100.1", gateways=TrustedGateways()) == "10.0.0.9"


@pytest.mark.parametrize(("forwarded", "found"), [
    (["192.0.2.1, 198.51.100.1"], "198.51.100.1"),                # the client wrote the first itself
    (["192.0.2.1", "198.51.100.1"], "198.51.100.1"),
    (["198.51.100.1, 10.0.0.3, 10.0.0.4"], "198.51.100.1"),       # gateways behind gateways
    (["198.51.100.1, nonsense"], "10.0.0.9"),
    (["10.0.0.3"], "10.0.0.9"),
    ([""], "10.0.0.9"),
    ([], "10.0.0.9"),
])  # fmt: skip
def test_of_several_hops_the_last_that_is_no_gateway_counts(forwarded, found):
    assert client("ipv4:10.0.0.9:1", *forwarded) == found


@given(st.text(max_size=40), st.lists(st.tuples(st.sampled_from([HEADER, "x"]), st.text() | st.binary())))
def test_nothing_makes_it_fail(peer, metadata):
    assert isinstance(client_of(peer, NOBODY, metadata, GATEWAYS), str)
    assert isinstance(client_of("ipv4:10.0.0.9:1", NOBODY, metadata, GATEWAYS), str)
