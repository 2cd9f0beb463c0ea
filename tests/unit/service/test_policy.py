import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.decision import misspelt
from roadstead.service.identity import Identity
from roadstead.service.policy import Policy, PolicyError, decide, parse_policy

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
    ("roles: {r: [{methods: [a.B/C]}]}", "roles.r[0]: when is missing"),
    ("roles: {r: [a.B/C, {when: {metadata: {a: b}}}]}", "roles.r[1]: methods is missing"),
    ("roles: {r: [{methods: [a.B/C], wen: 1, when: {metadata: {a: b}}}]}", "roles.r[0].wen: unknown; expected methods"),
    ("roles: {r: [{methods: [C], when: {metadata: {a: b}}}]}", "roles.r[0].methods: 'C' is no method"),
    ("roles: {r: [{methods: [a.B/C], when: [x]}]}", "roles.r[0].when: expected a mapping with metadata or request"),
    ("roles: {r: [{methods: [a.B/C], when: {body: {}}}]}", "roles.r[0].when.body: unknown; expected metadata"),
    ("roles: {r: [{methods: [a.B/C], when: {request: {}}}]}", "roles.r[0].when: it names no condition"),
    ("roles: {r: [{methods: [a.B/C], when: {request: [a]}}]}", "roles.r[0].when.request: expected a mapping of names"),
    ("roles: {r: [{methods: [a.B/C], when: {metadata: {Env: x}}}]}", "when.metadata: 'Env' is not a lower-case"),
    ("roles: {r: [{methods: [a.B/C], when: {metadata: {x-bin: x}}}]}", "when.metadata: 'x-bin' is not a lower-case"),
    ("roles: {r: [{methods: [a.B/C], when: {request: {a..b: x}}}]}", "when.request: 'a..b' is not a field such as"),
    ("roles: {r: [{methods: [a.B/C], when: {metadata: {n: 1}}}]}", "when.metadata.n: expected a text, in quotes if"),
    ("roles: {r: [{methods: [a.B/C], when: {request: {n: []}}}]}", "when.request.n: expected a text, number or bool"),
    ("roles: {r: [{methods: [a.B/C], when: {request: {n: '{user}'}}}]}", "there is no placeholder {user}"),
    ("anonymous: [{methods: [a.B/C], when: {metadata: {a: b}}}]", "anonymous: expected a list of names"),
    ("roles: {}\nroles: {}", "key 'roles' is there twice"),
    ("roles:\n  a: []\n  b: []\n  a: []", "key 'a' is there twice"),
    ("roles: {}\nidentities:\n  <<: {alice: [r]}", "merge keys ('<<') are not taken in a policy"),
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


@pytest.mark.parametrize(("services", "found"), [
    ({"com.example.User": {"Login": 0, "GetUser": 0}}, ()),
    ({"com.example.User": {"Login": 0, "ReadUser": 0}}, ("com.example.User/GetUser",)),
    ({"com.example.User": {}}, ("com.example.User/GetUser", "com.example.User/Login")),
    ({"com.example.Other": {}}, ()),
    ({}, ()),
])  # fmt: skip
def test_methods_that_a_service_does_not_have(services, found):
    assert misspelt(POLICY, services) == found


CONDITIONAL = parse_policy("""
roles:
  viewer: [com.example.User/GetUser]
  owner:
    - com.example.User/WatchUsers
    - methods: [com.example.User/EditUser]
      when: {request: {user.id: "{identity}"}}
  tester:
    - methods: ["com.example.User/*"]
      when: {metadata: {env: [canary, test]}}
  careful:
    - methods: [com.example.User/DeleteUser]
      when: {metadata: {env: canary}, request: {id: "{identity}"}}
identities:
  alice: [viewer, owner]
  bob: [owner, tester]
  carol: [careful]
""")
EDIT, DELETE = "com.example.User/EditUser", "com.example.User/DeleteUser"


@pytest.mark.parametrize(("caller", "method", "metadata", "request_", "answer", "reason"), [
    ("alice", EDIT, {}, None, "depends", f"role owner: {EDIT} if request user.id is 'alice'"),
    ("alice", EDIT, {}, {"user": {"id": "alice"}}, "allowed", f"role owner: {EDIT}, its condition holds"),
    ("alice", EDIT, {}, {"user": {"id": "bob"}}, "denied", f"role owner: {EDIT} only if request user.id is 'alice'"),
    ("alice", "com.example.User/WatchUsers", {}, None, "allowed", "role owner: com.example.User/WatchUsers"),
    ("alice", DELETE, {}, None, "denied", f"no role of alice (viewer, owner) names {DELETE}"),
    ("bob", DELETE, {}, None, "denied", "role tester: com.example.User/* only if metadata env is 'canary' or 'test'"),
    ("bob", DELETE, {"env": "test"}, None, "allowed", "role tester: com.example.User/*, its condition holds"),
    ("bob", EDIT, {"env": "test"}, None, "allowed", "role tester: com.example.User/*, its condition holds"),
    ("bob", EDIT, {}, None, "depends", f"role owner: {EDIT} if request user.id is 'bob'"),
    ("bob", EDIT, {}, {}, "denied", f"role owner: {EDIT} only if request user.id is 'bob'"),
    ("carol", DELETE, {}, None, "denied", f"role careful: {DELETE} only if metadata env is 'canary'"),
    ("carol", DELETE, {"env": "canary"}, None, "depends", f"role careful: {DELETE} if request id is 'carol'"),
    ("carol", DELETE, {"env": "canary"}, {"id": "carol"}, "allowed", f"role careful: {DELETE}, its condition holds"),
    ("carol", DELETE, {}, {"id": "carol"}, "denied", f"role careful: {DELETE} only if metadata env is 'canary'"),
])  # fmt: skip
def test_conditions(caller, method, metadata, request_, answer, reason):
    seen = {} if request_ is None else {"request": request_}
    decision = decide(CONDITIONAL, identity(caller), method, tuple(metadata.items()), **seen)
    assert (decision.answer, decision.reason) == (answer, reason)


@pytest.mark.parametrize("text", ["roles: !!bool foo", "roles: !!timestamp x", 'roles: {a: !!int ""}', "!!map [1]"])
def test_a_tag_that_its_value_does_not_fit_is_a_fault_like_any_other(text):
    with pytest.raises(PolicyError):
        parse_policy(text)
