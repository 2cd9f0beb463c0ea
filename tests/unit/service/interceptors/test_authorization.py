"""The policy is asked about every RPC as it is at that moment."""

import grpc

from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authorization
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
    policies = [READERS]
    stage = Authorization(lambda: policies[-1])
    for policy, expected in [(READERS, "OK"), (NOBODY, "PERMISSION_DENIED"), (READERS, "OK")]:
        policies.append(policy)
        assert code(stage, named("alice")).name == expected


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
