from roadstead.node.network.base_rules import ATTACHED, EGRESS, INGRESS, ITSELF, base_rules
from roadstead.node.network.service_rules import SERVICES


def test_the_table_starts_anew_with_every_map_that_others_fill():
    purposes = [message.purpose for message in base_rules("10.96.0.0/16").messages]
    assert purposes[:3] == [
        "create the nf_tables table roadstead",
        "delete the nf_tables table roadstead",
        "create the nf_tables table roadstead",
    ]
    assert {f"create the set {name}" for name in (ATTACHED, ITSELF, SERVICES, EGRESS, INGRESS)} <= set(purposes)


def test_services_are_redirected_for_pods_and_for_the_node():
    purposes = [message.purpose for message in base_rules("10.96.0.0/16").messages]
    for hook in ("prerouting", "output"):
        assert f"create the chain to-services-{hook}" in purposes
        assert purposes.count(f"add a rule to the chain unserved-{hook}") == 2
