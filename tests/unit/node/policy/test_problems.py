import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import random_case

from roadstead.node.policy.problems import problems


def policy(**spec):
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": {"podSelector": {}, **spec}}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            {"ingress": [{}, {"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]},
            "spec.ingress[1].from[0].ipBlock.cidr: '10.0.0.0/33' is not an address range such as 10.0.0.0/24; "
            "it selects nobody",
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "fd00::/8"}}]}]},
            "spec.egress[0].to[0].ipBlock.cidr: fd00::/8 is IPv6; this network is IPv4 only, so it selects nobody",
        ),
        (
            {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.1.0/30"]}}]}]},
            "spec.ingress[0].from[0].ipBlock.except[0]: '10.0.1.0/30' is no range within 10.0.0.0/24; "
            "it excludes nothing",
        ),
        (
            {"ingress": [{"from": [{}]}]},
            "spec.ingress[0].from[0]: selects nobody; give it a podSelector, a namespaceSelector or an ipBlock",
        ),
        (
            {"podSelector": {"matchExpressions": [{"key": "role", "operator": "Roughly"}]}},
            "spec.podSelector.matchExpressions[0].operator: 'Roughly' is not one of In, NotIn, Exists, DoesNotExist; "
            "the selector selects nobody",
        ),
        (
            {"ingress": [{"from": [{"podSelector": {"matchLabels": 3}}]}]},
            "spec.ingress[0].from[0].podSelector: cannot be read as a label selector; it selects nobody",
        ),
        (
            {"ingress": [{"ports": [{"protocol": "QUIC"}]}]},
            "spec.ingress[0].ports[0].protocol: 'QUIC' is not one of TCP, UDP, SCTP; it allows no port",
        ),
        (
            {"ingress": [{"ports": [{"port": 70000}]}]},
            "spec.ingress[0].ports[0].port: 70000 is not a port (1 to 65535); it allows no port",
        ),
        (
            {"ingress": [{"ports": [{"port": 80, "endPort": 79}]}]},
            "spec.ingress[0].ports[0].endPort: 79 must be a number from port (80) to 65535; it allows no port",
        ),
    ],
)
def test_each_field_without_effect_is_named_with_its_remedy(spec, problem):
    assert problems(policy(**spec)) == [problem]


@given(st.integers(0, 1 << 32))
def test_policies_that_can_be_read_have_no_problems(seed):
    found = [each for policy in random_case(seed).policies for each in problems(policy)]
    assert found == []
