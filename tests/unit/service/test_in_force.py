"""What is remembered of a policy is never more than stands as long as it is in force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service import in_force
from roadstead.service.decision import Decision, Policy, standing_decision
from roadstead.service.identity import Identity
from roadstead.service.in_force import PolicyInForce
from roadstead.service.policy import parse_policy

POLICIES = (
    Policy(),
    parse_policy("{roles: {reader: [a.B/Get]}, identities: {alice: [reader]}, groups: {staff: [reader]}}"),
    parse_policy("{anonymous: [a.B/Get], roles: {all: [a.B/*]}, identities: {alice: [all], bob: [all]}, groups: {}}"),
)
IDENTITIES = (None, Identity("alice", "password"), Identity("bob", "password"), Identity("bob", "token", ("staff",)))
METHODS = ("a.B/Get", "a.B/Set", "grpc.health.v1.Health/Check")


@given(st.lists(st.tuples(st.sampled_from(POLICIES), st.sampled_from(IDENTITIES), st.sampled_from(METHODS))))
def test_it_says_what_the_policy_says_whatever_was_in_force_and_asked_before(questions):
    current = [Policy()]
    asked = PolicyInForce(lambda: current[0])
    for policy, identity, method in questions:
        current[0] = policy
        assert asked() is policy
        assert asked.is_open(method) is policy.is_anonymous(method)
        grouped = identity is not None and bool(identity.groups)
        assert asked.standing(identity, method) == (None if grouped else standing_decision(policy, identity, method))


def test_an_answer_of_a_former_policy_that_comes_late_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    """Another thread may see the new policy while this one still judges by the old."""
    _, readers, everyone = POLICIES
    current = [everyone]
    asked = PolicyInForce(lambda: current[0])
    bob = Identity("bob", "password")

    def judge_slowly(policy: Policy, identity: Identity, method: str) -> Decision | None:
        if policy is everyone and current[0] is everyone:
            current[0] = readers
            assert asked.standing(bob, method) is None
        return standing_decision(policy, identity, method)

    monkeypatch.setattr(in_force, "standing_decision", judge_slowly)
    late = asked.standing(bob, "a.B/Get")
    assert late is not None
    assert late.allowed, "it was asked in time"
    assert asked.standing(bob, "a.B/Get") is None


def test_it_holds_only_so_much(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(in_force, "_MOST", 10)
    policy = parse_policy("{roles: {all: [a.B/*]}, groups: {}, identities: {alice: [all]}}")
    asked = PolicyInForce(lambda: policy)
    for number in range(100):
        decision = asked.standing(Identity("alice", "password"), f"a.B/M{number}")
        assert decision is not None
        assert decision.allowed
        assert not asked.is_open(f"a.B/M{number}")
    assert len(asked._answers.decisions) <= 10
    assert len(asked._answers.open) <= 10
