import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.identity import Identity
from roadstead.service.policy import Policy, decide, parse_policy

POLICY = parse_policy("""
anonymous: [com.example.User/Login]
roles:
  viewer: [com.example.User/GetUser]
  admin: ["com.example.User/*"]
identities:
  alice: [viewer]
  bob: [viewer, admin]
  carol: []
groups:
  staff: [viewer]
""")
_USER = "com.example.User"


def identity(name: str, *groups: str) -> Identity:
    return Identity(name=name, proof="password", groups=groups)


@pytest.mark.parametrize(("caller", "method", "answer", "reason"), [
    (None, "com.example.User/Login", "allowed", "anonymous: com.example.User/Login"),
    (None, "grpc.health.v1.Health/Check", "allowed", "anonymous: grpc.health.v1.Health/*"),
    (None, "com.example.User/GetUser", "unauthenticated", "com.example.User/GetUser needs credentials"),
    (identity("alice"), "com.example.User/GetUser", "allowed", "role viewer: com.example.User/GetUser"),
    (identity("alice"), "com.example.User/DeleteUser", "denied",
     "no role of alice (viewer) names com.example.User/DeleteUser"),
    (identity("bob"), "com.example.User/DeleteUser", "allowed", "role admin: com.example.User/*"),
    (identity("bob"), "com.example.Users/DeleteUser", "denied",
     "no role of bob (viewer, admin) names com.example.Users/DeleteUser"),
    (identity("carol"), "com.example.User/GetUser", "denied", "carol has no role"),
    (identity("mallory"), "com.example.User/GetUser", "denied", "mallory has no role"),
    (identity("mallory", "staff"), "com.example.User/GetUser", "allowed", "role viewer: com.example.User/GetUser"),
    (identity("alice"), "com.example.User/*", "denied", "no role of alice (viewer) names com.example.User/*"),
    (identity("alice"), "", "denied", "no role of alice (viewer) names "),
])  # fmt: skip
def test_decisions(caller, method, answer, reason):
    decision = decide(POLICY, caller, method)
    assert (decision.answer, decision.reason) == (answer, reason)
    assert decision.allowed is (answer == "allowed")


@given(st.text(), st.text(max_size=60))
def test_an_empty_policy_lets_nobody_do_anything_but_ask_for_health(name, method):
    allowed = decide(Policy(), identity(name), method).allowed
    assert allowed is method.startswith("grpc.health.v1.Health/")


@given(st.sampled_from(["alice", "carol", "mallory"]), st.text(max_size=40))
def test_a_service_wildcard_never_reaches_beyond_its_role(name, method):
    assert not decide(POLICY, identity(name), f"com.example.User/Delete{method}").allowed


@pytest.mark.parametrize(("text", "fault"), [
    ("roles: {viewer: [GetUser]}", "roles.viewer: 'GetUser' is no method; write package.Service/Method"),
    ("roles: {viewer: ['com.example.User/Get*']}", "roles.viewer: 'com.example.User/Get*' is no method"),
    ("roles: {viewer: ['*']}", "roles.viewer: '*' is no method"),
    ("roles: {viewer: ['/com.example.User/Get']}", "roles.viewer: '/com.example.User/Get' is no method"),
    ("roles: {viewer: com.example.User/Get}", "roles.viewer: expected a list of names"),
    ("roles: [viewer]", "roles: expected a mapping whose keys are names"),
    ("roles: {1: []}", "roles: expected a mapping whose keys are names"),
    ("identities: {alice: [viewer]}", "identities.alice: there is no role 'viewer'"),
    ("groups: {staff: [x]}", "groups.staff: there is no role 'x'"),
    ("anonymos: []", "anonymos: unknown; expected one of anonymous, roles, identities, groups"),
    ("anonymous: {a: b}", "anonymous: expected a list of names"),
    ("[a, b]", "expected a mapping"),
    ("a: [", "not YAML"),
    ("roles: {}\nroles: {}", "key 'roles' is there twice"),
    ("roles:\n  a: []\n  b: []\n  a: []", "key 'a' is there twice"),
    (b"\xff\xfe\x00", "not YAML"),
])  # fmt: skip
def test_a_fault_is_named_with_its_place(text, fault):
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse_policy(text)


def test_all_faults_are_told_at_once():
    with pytest.raises(ValueError, match=r"roles\.a.*identities\.bob.*'c'"):
        parse_policy("{roles: {a: [x]}, identities: {bob: [c]}}")


def test_an_empty_file_denies_everything():
    assert parse_policy("") == Policy()


_SECTIONS = st.sampled_from(["roles", "identities", "anonymous", "groups", "x"])
_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_DOCUMENTS = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_SECTIONS, inner, max_size=3), max_leaves=8
)


@given(_DOCUMENTS)
def test_any_document_is_a_policy_or_a_value_error(document):
    try:
        parse_policy(yaml.safe_dump(document))
    except ValueError:
        return
