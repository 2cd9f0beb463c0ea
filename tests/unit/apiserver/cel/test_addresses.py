import pytest

from roadstead.apiserver.cel import NoOverload, compile_rule


def evaluate(text):
    return compile_rule(text)()


def test_a_network_remembers_the_address_that_it_was_written_with():
    assert evaluate("string(cidr('10.1.2.3/8'))") == "10.1.2.3/8"
    assert evaluate("string(cidr('10.1.2.3/8').masked())") == "10.0.0.0/8"
    assert evaluate("cidr('10.1.2.3/8').containsIP('10.9.9.9')")


@pytest.mark.parametrize("text", ["::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.01", "10.1"])
def test_addresses_that_other_programs_may_read_otherwise_are_none(text):
    assert not evaluate(f"isIP('{text}')")


@pytest.mark.parametrize(
    "text", ["10.0.0.0/255.0.0.0", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "::ffff:10.0.0.0/104"]
)
def test_what_is_no_network(text):
    assert not evaluate(f"isCIDR('{text}')")


@pytest.mark.parametrize(
    "text", ["ip('10.0.0.1').masked()", "cidr('10.0.0.0/8').isLoopback()", "'10.0.0.1'.family()", "isIP(1)"]
)
def test_networks_are_no_addresses_and_texts_are_neither(text):
    with pytest.raises(NoOverload):
        evaluate(text)
