import pytest

from roadstead.node.policy.evaluate import Party, evaluate

DB = {
    "metadata": {"name": "db", "namespace": "default", "labels": {"role": "db"}},
    "spec": {"containers": [{"ports": [{"name": "redis", "containerPort": 6379}]}]},
}
FRONT = {
    "metadata": {"name": "front", "namespace": "default", "labels": {"role": "frontend"}},
    "spec": {"containers": []},
}
NAMESPACES = [{"metadata": {"name": "default", "labels": {"project": "ours"}}}]
POLICY = {
    "metadata": {"name": "db", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"role": "db"}},
        "ingress": [
            {"from": [{"ipBlock": {"cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"]}}], "ports": [{"port": 6379}]},
            {"from": [{"podSelector": {"matchLabels": {"role": "frontend"}}}], "ports": [{"port": "redis"}]},
        ],
    },
}
DATABASE, FRONTEND = Party("10.244.0.2", DB), Party("10.244.0.3", FRONT)


def judged(source, destination=DATABASE, protocol="TCP", port=6379, policies=(POLICY,)):
    return evaluate(source, destination, protocol, port, policies=policies, namespaces=NAMESPACES)


def test_the_verdict_names_the_rule_that_allowed():
    verdict = judged(FRONTEND)
    assert verdict.allowed
    assert verdict.ingress.isolated_by == ("default/db",)
    assert verdict.ingress.allowed_by == ("default/db ingress[1].from[0].ports[0]",)
    assert str(verdict) == (
        "allowed: no policy isolates pod default/front for egress; "
        "ingress of pod default/db is allowed by default/db ingress[1].from[0].ports[0]"
    )


def test_the_verdict_names_the_policies_that_denied():
    verdict = judged(Party("172.17.1.9"))
    assert not verdict.allowed
    assert str(verdict) == (
        "denied: no policy isolates address 172.17.1.9 for egress; "
        "ingress of pod default/db is denied: isolated by default/db, and no rule allows it"
    )


@pytest.mark.parametrize(
    ("source", "port", "allowed"),
    [("172.17.0.9", 6379, True), ("172.17.0.9", 6380, False), ("172.18.0.9", 6379, False)],
)
def test_blocks_and_ports_are_read_together(source, port, allowed):
    assert judged(Party(source), port=port).allowed is allowed


def test_a_named_port_counts_with_its_protocol():
    assert not judged(FRONTEND, protocol="UDP").allowed


def test_the_node_and_the_pod_itself_are_not_asked():
    assert judged(Party("100.64.0.1", is_node=True)).note
    assert judged(DATABASE).allowed


def test_egress_of_the_source_and_ingress_of_the_destination_must_agree():
    silent = {
        "metadata": {"name": "silent", "namespace": "default"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }
    verdict = judged(FRONTEND, policies=(POLICY, silent))
    assert verdict.ingress.allowed
    assert not verdict.egress.allowed
    assert not verdict.allowed


@pytest.mark.parametrize(
    "rule",
    [
        {"from": [{"ipBlock": {"cidr": "everywhere"}}]},
        {"from": [{"podSelector": {"matchExpressions": [{"key": "role"}]}}]},
        {"from": [{"podSelector": 7}]},
        {"ports": [{"port": [80]}]},
    ],
)
def test_what_cannot_be_read_allows_nobody(rule):
    broken = {**POLICY, "spec": {"podSelector": {}, "ingress": [rule]}}
    assert not judged(FRONTEND, policies=(broken,)).allowed


def test_without_policies_everything_is_allowed():
    assert judged(Party("192.0.2.1"), policies=()).allowed
