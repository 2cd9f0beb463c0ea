import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.credentials.connection import is_encrypted, is_inside


@pytest.mark.parametrize(("peer", "inside"), [
    ("ipv4:127.0.0.1:5000", True), ("ipv4:10.244.0.7:5000", True), ("ipv4:172.20.1.1:1", True),
    ("ipv4:192.168.1.1:1", True), ("ipv4:100.64.0.2:1", True), ("unix:", True), ("unix:/run/x.sock", True),
    ("ipv6:%5B::1%5D:5000", True), ("ipv6:[fd00::1]:5000", True), ("ipv6:[::ffff:10.0.0.1]:5000", True),
    ("ipv6:[fe80::1%25eth0]:1", True),
    ("ipv4:8.8.8.8:53", False), ("ipv4:172.32.0.1:1", False), ("ipv4:100.128.0.1:1", False),
    ("ipv6:[2a00::1]:1", False), ("ipv6:[::ffff:8.8.8.8]:1", False), ("", False), ("unknown", False), ("ipv4:", False),
])  # fmt: skip
def test_peers(peer, inside):
    assert is_inside(peer) is inside


@given(st.text())
def test_any_peer_has_an_answer(peer):
    assert is_inside(peer) in (True, False)


def test_encryption():
    assert is_encrypted({"transport_security_type": [b"ssl"]})
    assert not is_encrypted({"transport_security_type": [b"insecure"]})
    assert not is_encrypted({})
