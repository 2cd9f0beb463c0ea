from policy_cases import random_case

from roadstead.node.policy.compile import compile_policies
from roadstead.node.policy.rules import PolicyRules
from roadstead.node.policy.table import Isolation, Policy, PolicyTable, PortRange, Rule, difference

FRONT = "front"
PORTS = (PortRange("TCP", 6379, 6379), PortRange("TCP", 6381, 6390))
RULE = Rule("default/db ingress[0]", groups=(FRONT,), ports=PORTS)


def table(members=("10.244.0.3",), rules=(RULE,), isolated=("10.244.0.2",)):
    return PolicyTable(
        groups={FRONT: frozenset(members)},
        policies={"default/db": Policy(ingress=rules)},
        isolated={address: Isolation(ingress=("default/db",)) for address in isolated},
    )


def purposes(old, new):
    """Return what is done in each step; digests are cut off the names."""
    before, _ = PolicyRules().changed(difference(PolicyTable(), old))
    _, change = before.changed(difference(old, new))
    return [[_cut(message.purpose) for message in batch.messages] for batch in change]


def _cut(purpose):
    words = purpose.split(" ")
    head, _, digest = words[-1].partition("-")
    return " ".join([*words[:-1], head if len(digest) >= 20 else words[-1]])


def test_a_new_pod_of_a_known_kind_is_two_elements():
    assert purposes(table(), table(("10.244.0.3", "10.244.0.4"), isolated=("10.244.0.2", "10.244.0.4"))) == [
        [],
        ["add members to the set group", "add members to the set ingress-of"],
        [],
    ]


def test_a_pod_that_goes_takes_its_elements_along():
    assert purposes(table(), table((), isolated=())) == [
        [],
        ["take members out of the set group", "take members out of the set ingress-of"],
        ["delete the chain isolated"],
    ]


def test_a_changed_policy_is_made_beside_the_old_one_and_switched_to():
    any_port = Rule("default/db ingress[0]", groups=(FRONT,))
    prepare, switch, clean = purposes(table(), table(rules=(any_port,)))
    assert prepare == [
        "create the chain ingress",
        "add a rule to the chain ingress",
        "create the chain isolated",
        "add a rule to the chain isolated",
        "add a rule to the chain isolated",
    ]
    assert switch == ["take members out of the set ingress-of", "add members to the set ingress-of"]
    assert clean == ["delete the chain isolated", "delete the chain ingress", "delete the set ingress"]


def test_a_policy_that_goes_takes_its_sets_along():
    _, switch, clean = purposes(table(), PolicyTable())
    assert switch == ["take members out of the set ingress-of"]
    assert clean == [
        "delete the chain isolated",
        "delete the chain ingress",
        "delete the set ingress",
        "delete the set group",
    ]


def test_a_single_port_or_block_needs_no_set_of_its_own():
    single = Rule("default/db ingress[0]", blocks=((1, 2),), ports=PORTS[:1])
    prepare, _, _ = purposes(PolicyTable(), table(rules=(single,)))
    assert "create the set ingress" not in prepare
    assert "create the set ingress" in purposes(PolicyTable(), table())[0]


def test_pods_isolated_by_the_same_policies_share_a_chain():
    rules, _ = PolicyRules().changed(difference(PolicyTable(), table(isolated=("10.244.0.2", "10.244.0.5"))))
    assert len(set(rules.isolation_chains.values())) == 1


def test_the_same_table_is_no_change():
    assert purposes(table(), table()) == [[], [], []]


def test_however_a_table_is_reached_its_chains_are_the_same():
    cases = [random_case(seed) for seed in range(30)]
    tables = [compile_policies(case.pods, case.namespaces, case.policies) for case in cases]
    rules = PolicyRules()
    for each in tables:
        rules, _ = rules.changed(difference(rules.table, each))
        fresh, _ = PolicyRules().changed(difference(PolicyTable(), each))
        assert rules == fresh


def test_a_new_pod_among_a_thousand_policies_costs_little():
    many = PolicyTable(
        groups={FRONT: frozenset({"10.244.0.3"})},
        policies={f"default/p{number}": Policy(ingress=(RULE,)) for number in range(1000)},
        isolated={f"10.244.1.{number}": Isolation(ingress=(f"default/p{number}",)) for number in range(200)},
    )
    rules, _ = PolicyRules().changed(difference(PolicyTable(), many))
    one_more = PolicyTable(many.groups, {}, many.policies, {**many.isolated, "10.244.9.9": Isolation(("default/p7",))})
    prepare, switch, clean = rules.changed(difference(many, one_more))[1]
    assert (len(prepare.messages), len(switch.messages), len(clean.messages)) == (0, 1, 0)
