import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import PORTS, random_case, table_allows

from roadstead.api.objects import ObjectKey
from roadstead.node.policy.compile import PolicyCompiler, block_ranges, compile_policies, policy_directions
from roadstead.node.policy.evaluate import evaluate
from roadstead.node.policy.table import Isolation, Policy, PolicyTable, PortAddress, PortRange


def pod(name="db", address="10.244.0.2", namespace="default", labels=None, spec=None, phase="Running"):
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"role": "db"}},
        "spec": spec or {"containers": [{"ports": [{"name": "redis", "containerPort": 6379}]}]},
        "status": {"podIP": address, "phase": phase} if address else {},
    }


def policy(**spec):
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": {"podSelector": {}, **spec}}


def compiled(*policies, pods=(), namespaces=()):
    return compile_policies(pods or [pod()], namespaces, policies)


def only_rule(table):
    compiled_policy = table.policies["default/p"]
    (rule,) = compiled_policy.ingress or compiled_policy.egress
    return rule


@given(st.integers(0, 1 << 32))
@settings(max_examples=150)
def test_what_is_compiled_is_what_is_read(seed):
    case = random_case(seed)
    table = compile_policies(case.pods, case.namespaces, case.policies)
    for source in case.parties().values():
        for destination in case.parties().values():
            for protocol, ports in PORTS.items():
                for port in ports:
                    verdict = evaluate(
                        source, destination, protocol, port, policies=case.policies, namespaces=case.namespaces
                    )
                    allowed = table_allows(table, source.address, destination.address, protocol, port)
                    assert allowed == verdict.allowed, (
                        str(verdict),
                        source.address,
                        destination.address,
                        protocol,
                        port,
                    )


def test_a_table_survives_the_way_to_netd():
    case = random_case(4)
    table = compile_policies(case.pods, case.namespaces, case.policies)
    assert table.groups
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(table), type=PolicyTable) == table


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ({}, {"Ingress"}),
        ({"ingress": [{}]}, {"Ingress"}),
        ({"egress": []}, {"Ingress"}),
        ({"egress": [{}]}, {"Ingress", "Egress"}),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, {"Egress"}),
        ({"policyTypes": ["Sideways", "Ingress"]}, {"Ingress"}),
    ],
)
def test_directions_follow_the_stated_types_or_the_rules(spec, directions):
    assert policy_directions({"spec": spec}) == directions


@pytest.mark.parametrize(
    ("block", "ranges"),
    [
        ({"cidr": "10.0.0.0/30"}, [("10.0.0.0", "10.0.0.3")]),
        ({"cidr": "10.0.0.0/29", "except": ["10.0.0.2/31"]}, [("10.0.0.0", "10.0.0.1"), ("10.0.0.4", "10.0.0.7")]),
        ({"cidr": "10.0.0.0/30", "except": ["10.0.0.0/30"]}, []),
        ({"cidr": "10.0.0.0/30", "except": ["10.0.0.0/31", "10.0.0.3/32"]}, [("10.0.0.2", "10.0.0.2")]),
        ({"cidr": "fd00::/8"}, []),
        ({"cidr": "10.0.0.0/33"}, []),
        ({"cidr": None}, []),
    ],
)
def test_a_block_is_its_range_without_its_exceptions(block, ranges):
    from ipaddress import IPv4Address

    assert [(str(IPv4Address(a)), str(IPv4Address(b))) for a, b in block_ranges(block)] == ranges


def test_an_exception_holds_only_within_its_own_item():
    table = compiled(
        policy(
            ingress=[
                {
                    "from": [
                        {"ipBlock": {"cidr": "10.0.0.0/30", "except": ["10.0.0.2/32"]}},
                        {"ipBlock": {"cidr": "10.0.0.2/32"}},
                    ]
                }
            ]
        )
    )
    assert only_rule(table).blocks == ((0x0A000000, 0x0A000003),)


def test_overlapping_ports_are_merged_per_protocol():
    table = compiled(
        policy(
            ingress=[
                {"ports": [{"port": 80}, {"port": 81, "endPort": 90}, {"protocol": "UDP", "port": 85}, {"port": 85}]}
            ]
        )
    )
    assert only_rule(table).ports == (PortRange("TCP", 80, 90), PortRange("UDP", 85, 85))


def test_a_named_port_is_wherever_a_pod_has_it():
    table = compiled(
        policy(ingress=[{"ports": [{"port": "redis"}]}]),
        pods=[
            pod(),
            pod("other", "10.244.0.3", spec={"containers": [{"ports": [{"name": "redis", "containerPort": 7000}]}]}),
        ],
    )
    assert only_rule(table).named_ports == ("TCP/redis",)
    assert table.named_ports == {
        "TCP/redis": {PortAddress("10.244.0.2", "TCP", 6379), PortAddress("10.244.0.3", "TCP", 7000)}
    }


def test_equal_selectors_share_a_group():
    front = {"podSelector": {"matchLabels": {"role": "db"}}}
    first, second = policy(ingress=[{"from": [front]}]), policy(egress=[{"to": [front]}])
    second["metadata"] = {"name": "q", "namespace": "default"}
    table = compiled(first, second)
    assert len(table.groups) == 1
    assert set(table.groups.values()) == {frozenset({"10.244.0.2"})}


@pytest.mark.parametrize(
    "left_out",
    [
        pod(address=""),
        pod(phase="Succeeded"),
        pod(phase="Failed"),
        pod(spec={"hostNetwork": True, "containers": []}),
    ],
)
def test_pods_that_are_not_on_the_pod_network_are_left_out(left_out):
    assert compiled(policy(), pods=[left_out]).isolated == {}


def test_a_pod_is_isolated_from_its_planned_address_on():
    table = compile_policies([pod(address="")], [], [policy()], {ObjectKey("default", "db"): "10.244.0.9"})
    assert table.isolated == {"10.244.0.9": Isolation(ingress=("default/p",))}


def test_a_status_with_an_address_that_another_pod_has_by_now_is_ignored():
    stale, fresh = pod("stale", labels={"role": "frontend"}), pod("db", address="")
    table = compile_policies([fresh, stale], [], [policy()], {ObjectKey("default", "db"): "10.244.0.2"})
    front = policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"role": "frontend"}}}]}])
    assert list(table.isolated) == ["10.244.0.2"]
    table = compile_policies([fresh, stale], [], [front], {ObjectKey("default", "db"): "10.244.0.2"})
    assert list(table.groups.values()) == [frozenset()]


def test_compiling_again_sees_what_changed():
    compiler = PolicyCompiler()
    cases = [random_case(seed) for seed in range(20)]
    for case in (*cases, *cases):
        expected = compile_policies(case.pods, case.namespaces, case.policies)
        assert compiler.compile(case.pods, case.namespaces, case.policies) == expected
        assert compiler.compile(case.pods[1:], case.namespaces, case.policies[1:]) == compile_policies(
            case.pods[1:], case.namespaces, case.policies[1:]
        )


def test_a_rule_that_nobody_matches_still_isolates():
    table = compiled(policy(ingress=[]))
    assert table.policies == {"default/p": Policy(ingress=())}
    assert table.isolated["10.244.0.2"].ingress == ("default/p",)


@pytest.mark.parametrize(
    "port",
    [
        {"protocol": "QUIC", "port": 80},
        {"protocol": "QUIC", "port": "web"},
        {"port": 70000},
        {"port": 80, "endPort": 79},
        {"port": 80, "endPort": "ninety"},
        {"port": [80]},
    ],
)
def test_a_port_that_cannot_be_read_is_no_port(port):
    rule = only_rule(compiled(policy(ingress=[{"ports": [port]}])))
    assert (rule.ports, rule.named_ports) == ((), ())


@pytest.mark.parametrize(
    "peer",
    [
        {},
        {"podSelector": {"matchExpressions": [{"key": "role"}]}},
        {"podSelector": {"matchExpressions": [{"key": "role", "operator": "Roughly", "values": ["db"]}]}},
        {"namespaceSelector": {"matchLabels": 3}},
        {"ipBlock": {"cidr": "everywhere"}},
    ],
)
def test_a_peer_that_cannot_be_read_selects_nobody(peer):
    table = compiled(policy(ingress=[{"from": [peer]}]), namespaces=[{"metadata": {"name": "default"}}])
    rule = only_rule(table)
    assert not rule.blocks
    assert not any(table.groups[key] for key in rule.groups)
