"""What is remembered of decisions: never more than stands as long as the policy does."""

import grpc
import pytest

from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authorization
from roadstead.service.interceptors import authorization as module
from roadstead.service.interceptors.stage import Call
from roadstead.service.policy import parse_policy

READERS = parse_policy("{roles: {reader: [a.B/Get]}, identities: {alice: [reader]}, groups: {staff: [reader]}}")
NOBODY = parse_policy("{roles: {}, identities: {}, groups: {}}")
OWN_TENANT = parse_policy(
    """
    roles:
      tenant:
      - methods: [a.B/Get]
        when: {metadata: {x-tenant: "{identity}"}}
    identities: {alice: [tenant]}
    groups: {}
    """
)


def code(stage: Authorization, identity: Identity | None, *metadata: tuple[str, str], method: str = "a.B/Get"):
    call = Call(method, metadata, 0.0)
    call.identity = identity
    refusal = stage.admit(call)
    assert call.reason
    return grpc.StatusCode.OK if refusal is None else refusal.code


def named(name: str, *groups: str) -> Identity:
    return Identity(name, "password", groups)


def test_a_new_policy_is_in_force_at_once():
    policies = [READERS, READERS, NOBODY, READERS]
    stage = Authorization(lambda: policies.pop(0))
    assert [code(stage, named("alice")).name for _ in range(4)] == ["OK", "OK", "PERMISSION_DENIED", "OK"]


def test_callers_and_methods_are_told_apart():
    stage = Authorization(lambda: READERS)
    for _ in range(2):
        assert code(stage, named("alice")).name == "OK"
        assert code(stage, named("bob")).name == "PERMISSION_DENIED"
        assert code(stage, None).name == "UNAUTHENTICATED"
        assert code(stage, named("alice"), method="a.B/Set").name == "PERMISSION_DENIED"
        assert code(stage, None, method="grpc.health.v1.Health/Check").name == "OK"


def test_groups_count_as_they_are_now():
    stage = Authorization(lambda: READERS)
    for _ in range(2):
        assert code(stage, named("carol", "staff")).name == "OK"
        assert code(stage, named("carol")).name == "PERMISSION_DENIED"


def test_conditions_are_looked_at_every_time():
    stage = Authorization(lambda: OWN_TENANT)
    for _ in range(2):
        assert code(stage, named("alice"), ("x-tenant", "alice")).name == "OK"
        assert code(stage, named("alice"), ("x-tenant", "bob")).name == "PERMISSION_DENIED"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MOST_DECISIONS", 10)
    policy = parse_policy("{roles: {all: [a.B/*]}, groups: {}, identities: {alice: [all]}}")
    stage = Authorization(lambda: policy)
    for number in range(100):
        assert code(stage, named("alice"), method=f"a.B/M{number}").name == "OK"
    assert len(stage._standing._decisions) <= 10
