from roadstead.node.network.service_rules import service_change
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable


def table(*endpoints, protocol="TCP", port=80):
    places = tuple(Endpoint(address, 8080) for address in endpoints)
    return ServiceTable((ServicePort("10.96.0.5", protocol, port, "default/web:http", places),))


def purposes(old, new):
    change = service_change("roadstead", old, new)
    return [[message.purpose.split(" service-")[0] for message in batch.messages] for batch in change]


def test_a_new_service_gets_a_chain_and_then_an_entry():
    assert purposes(ServiceTable(), table("10.244.0.2")) == [
        ["create the chain", "add a rule to the chain"],
        ["add members to the set services"],
        [],
    ]


def test_several_endpoints_are_chosen_from_a_map():
    prepare, _, _ = purposes(ServiceTable(), table("10.244.0.2", "10.244.0.3"))
    assert prepare == ["create the chain", "create the set", "add members to the set", "add a rule to the chain"]


def test_changed_endpoints_switch_the_entry_and_then_clean_up():
    prepare, switch, clean = purposes(table("10.244.0.2", "10.244.0.3"), table("10.244.0.2"))
    assert prepare == ["create the chain", "add a rule to the chain"]
    assert switch == ["take members out of the set services", "add members to the set services"]
    assert clean == ["delete the chain", "delete the set"]


def test_the_same_table_is_no_change():
    assert purposes(table("10.244.0.2"), table("10.244.0.2")) == [[], [], []]


def test_without_endpoints_there_is_no_entry_so_the_base_rules_refuse():
    assert purposes(ServiceTable(), table()) == [[], [], []]
    assert purposes(table("10.244.0.2"), table())[1] == ["take members out of the set services"]


def test_a_protocol_that_the_packet_filter_does_not_know_is_left_out():
    assert purposes(ServiceTable(), table("10.244.0.2", protocol="QUIC")) == [[], [], []]
