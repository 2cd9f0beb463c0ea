import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.credentials.forwarded import HEADER, Names, TrustedGateways, forwarded_names

ID = "spiffe://cluster.local/ns/user-platform/sa/client"


@pytest.mark.parametrize(("value", "names"), [
    (f"By=spiffe://x/y;Hash=00ff;URI={ID}", Names((ID,))),
    ("Hash=00;Subject=\"CN=a, OU=b;c\";DNS=a.example.com;DNS=b.org", Names((), ("a.example.com", "b.org"))),
    (f"URI=spiffe://liar/admin,Hash=1;uri=\"{ID}\"", Names((ID,))),
    (f"URI=spiffe://liar/admin, URI={ID}", Names((ID,))),
    ('Subject="CN=\\"x\\";URI=spiffe://liar";DNS=a', Names((), ("a",))),
    ("URI=;DNS=", Names()),
    ("", Names()),
])  # fmt: skip
def test_the_nearest_hop_is_read(value, names):
    assert forwarded_names([("x", "y"), (HEADER, value)]) == names


def test_without_the_header():
    assert forwarded_names([("x", "y")]) is None


@pytest.mark.parametrize("value", ["URI", "URI=a,", "URI=a;", 'URI="a', 'URI="a"b', "=a", b"URI=a"])
def test_what_cannot_be_read_is_an_error(value):
    with pytest.raises(ValueError, match=HEADER):
        forwarded_names([(HEADER, value)])


def test_twice_is_an_error():
    with pytest.raises(ValueError, match="more than once"):
        forwarded_names([(HEADER, "URI=a"), (HEADER, "URI=b")])


@given(st.text(max_size=60) | st.text(alphabet='URIDNS=;,"\\a ', max_size=40))
def test_any_value_is_names_or_a_value_error(value):
    try:
        forwarded_names([(HEADER, value)])
    except ValueError:
        return


@given(st.text(alphabet='ab,;="\\ ', max_size=20))
def test_a_quoted_value_cannot_add_an_element(text):
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert forwarded_names([(HEADER, f'Subject="{quoted}";URI=mine')]) == Names(("mine",))


@pytest.mark.parametrize(("names", "address", "trusted"), [
    (Names(("spiffe://x/gateway",)), "1.2.3.4", True),
    (Names((), ("gateway.example.com",)), "1.2.3.4", True),
    (Names(("spiffe://x/other",)), "1.2.3.4", False),
    (Names(), "10.1.2.3", True),
    (Names(), "::ffff:10.1.2.3", True),
    (Names(), "fd00::7%eth0", True),
    (Names(), "11.1.2.3", False),
    (Names(), "", False),
])  # fmt: skip
def test_trust_is_by_name_or_network(names, address, trusted):
    gateways = TrustedGateways.of(["spiffe://x/gateway", "gateway.example.com"], ["10.0.0.0/8", "fd00::/64"])
    assert gateways.include(names, address) is trusted


def test_nobody_is_trusted_by_default():
    assert not TrustedGateways().include(Names(("spiffe://x/y",), ("a",)), "127.0.0.1")
