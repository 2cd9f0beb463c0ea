"""`roadstead explain call`, as it is typed."""

import base64
import json

import pytest
import yaml
from bank_protos import bank_descriptors, request_class
from click.testing import CliRunner, Result
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from roadstead.cli.root import root
from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authorization, Call
from roadstead.service.policy import parse_policy

POLICY = """
anonymous: [com.example.User/Login]
roles:
  viewer: [com.example.User/GetUser]
  owner: [{methods: [com.example.User/EditUser], when: {request: {user.id: "{identity}"}}}]
  tester: [{methods: [com.example.User/*], when: {metadata: {env: canary}}}]
identities: {alice: [viewer, owner], bob: [tester]}
groups: {staff: [viewer]}
"""
PASSWORDS = "alice:$scrypt$ln=15,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg\n"
USER = "com.example.User"


@pytest.fixture
def explained(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "passwords").write_text(PASSWORDS)

    def run(*words: str, policy: str = "policy.yaml", passwords: str = "") -> Result:
        more = [f"--passwords={tmp_path / passwords}"] if passwords else []
        arguments = ["explain", "call", f"--policy={tmp_path / policy}", *more, *words]
        return CliRunner().invoke(root, arguments, catch_exceptions=False)

    return run


@pytest.mark.parametrize(("words", "answer"), [
    ("--as alice User/GetUser", "allowed: role viewer: com.example.User/GetUser"),
    ("--as alice User/DeleteUser", "denied: no role of alice (viewer, owner) names com.example.User/DeleteUser"),
    ("User/DeleteUser", "unauthenticated: com.example.User/DeleteUser needs credentials"),
    ("User/Login", "allowed: anonymous: com.example.User/Login"),
    ("--as carol --group staff User/GetUser", "allowed: role viewer: com.example.User/GetUser"),
    ("--as bob User/GetUser", "denied: role tester: com.example.User/* only if metadata env is 'canary'"),
    ("--as bob -H env=canary User/GetUser", "allowed: role tester: com.example.User/*, its condition holds"),
    ("--as alice User/EditUser",
     "depends: role owner: com.example.User/EditUser if request user.id is 'alice'\nGive the request"),
    ('--as alice User/EditUser --request {"user":{"id":"alice"}}',
     "allowed: role owner: com.example.User/EditUser, its condition holds"),
    ('--as alice User/EditUser --request {"user":{"id":"[bob]"}}',
     "denied: role owner: com.example.User/EditUser only if request user.id is 'alice'"),
])  # fmt: skip
def test_what_it_says(explained, words, answer):
    result = explained(*words.replace("User/", f"{USER}/").split())
    assert result.exit_code == 0
    assert result.output.startswith(answer)


BANK = "test.bank.Bank"
BANK_POLICY = """
roles:
  clerk:
    - methods: [test.bank.Bank/Send]
      when: {{request: {{{0}}}}}
identities: {{alice: [clerk]}}
"""
CONDITIONS = [
    ("dry_run: false", "{}"),
    ("dry_run: false", '{"dryRun": false}'),
    ("dry_run: false", '{"dry_run": true}'),
    ("kind: SAVINGS", '{"kind": 1}'),
    ("kind: 1", '{"kind": "SAVINGS"}'),
    ("kind: [0, CURRENT]", "{}"),
    ("kind: SAVINGS", '{"kind": "CURRENT"}'),
    ("cents: 5", '{"cents": "5"}'),
    ("age: 0", '{"age": null}'),
    ("to.kind: KIND_UNSPECIFIED", "{}"),
    ('to.id: "{identity}"', '{"to": {"id": "alice"}}'),
    ('id: ""', "{}"),
    ("rate: 0.5", '{"rate": 0.5}'),
    ("due.seconds: 5", '{"due": "1970-01-01T00:00:05Z"}'),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "text"), CONDITIONS)
def test_with_descriptors_it_decides_as_a_server_does(explained, tmp_path, condition, text):
    policy = BANK_POLICY.format(condition)
    (tmp_path / "policy.yaml").write_text(policy)
    (tmp_path / "bank.binpb").write_bytes(bank_descriptors())
    stage = Authorization(lambda: parse_policy(policy))
    call = Call(f"{BANK}/Send", (), 0.0, identity=Identity("alice", "password"))
    assert stage.admit(call) is None
    refused = call.judge_request(call, json_format.Parse(text, request_class("Transfer")()))
    result = explained("--as", "alice", f"{BANK}/Send", "--request", text)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("denied" if refused else "allowed")
    assert call.reason in result.stdout


def test_descriptors_are_found_or_named(explained, tmp_path):
    (tmp_path / "policy.yaml").write_text(BANK_POLICY.format("dry_run: false"))
    asked = ("--as", "alice", f"{BANK}/Send", "--request", "{}")
    result = explained(*asked)
    assert result.stdout.startswith("denied: role clerk")
    assert f"the request of {BANK}/Send is in no descriptors that were found, so it was judged as" in result.stderr
    assert "--descriptors" in result.stderr
    elsewhere = tmp_path / ".elsewhere"
    elsewhere.mkdir()
    (elsewhere / "bank.binpb").write_bytes(bank_descriptors("--include_imports"))
    for named in (elsewhere, elsewhere / "bank.binpb"):
        result = explained(*asked, f"--descriptors={named}")
        assert (result.stdout.startswith("allowed"), result.stderr) == (True, "")
    (tmp_path / "roadstead.toml").write_text('descriptors = [".elsewhere"]')
    assert explained(*asked).stdout.startswith("allowed"), "where the project says"


def test_descriptors_that_do_not_fit_are_named(explained, tmp_path):
    [file] = (files := FileDescriptorSet.FromString(bank_descriptors())).file
    file.message_type[-1].field[-1].type_name = ".test.bank.Nowhere"
    (tmp_path / "policy.yaml").write_text(BANK_POLICY.format("dry_run: true"))
    (tmp_path / "bank.binpb").write_bytes(files.SerializeToString())
    result = explained("--as", "alice", f"{BANK}/Send", "--request", '{"dry_run": true}', "-o", "json")
    assert json.loads(result.stdout)["answer"] == "allowed"
    assert "bank.proto cannot be put together" in result.stderr


@pytest.mark.parametrize(("text", "problem"), [
    ('{"dry_rum": true}', "dry_rum"),
    ('{"kind": "SAVNGS"}', "SAVNGS"),
    ('{"age": "x"}', "age"),
])  # fmt: skip
def test_a_request_that_is_not_of_its_type_is_refused(explained, tmp_path, text, problem):
    (tmp_path / "policy.yaml").write_text(BANK_POLICY.format("dry_run: true"))
    (tmp_path / "bank.binpb").write_bytes(bank_descriptors())
    result = explained("--as", "alice", f"{BANK}/Send", "--request", text)
    assert result.exit_code == 2
    assert "--request is not a test.bank.Transfer: " in result.stderr
    assert problem in result.stderr


def test_a_request_that_does_not_matter_needs_no_descriptors(explained):
    result = explained("--as", "alice", f"{USER}/GetUser", "--request", "{}")
    assert (result.stdout, result.stderr) == (f"allowed: role viewer: {USER}/GetUser\n", "")


def test_for_programs(explained):
    result = explained("--as", "alice", f"/{USER}/DeleteUser", "-o", "json")
    assert json.loads(result.output) == {
        "method": "com.example.User/DeleteUser",
        "identity": "alice",
        "groups": [],
        "answer": "denied",
        "reason": "no role of alice (viewer, owner) names com.example.User/DeleteUser",
    }


def test_a_caller_whom_the_password_file_does_not_know_is_nobody(explained):
    result = explained("--as", "bob", f"{USER}/GetUser", passwords="passwords")
    assert "unauthenticated" in result.output
    assert "knows no 'bob'" in result.output
    assert explained("--as", "bob", f"{USER}/Login", passwords="passwords").output.startswith("allowed")
    assert explained("--as", "alice", f"{USER}/GetUser", passwords="passwords").output.startswith("allowed")


def test_files_inside_manifests(explained, tmp_path):
    secret = {"kind": "Secret", "data": {"passwords": base64.b64encode(PASSWORDS.encode()).decode()}}
    documents = [{"kind": "Namespace"}, {"kind": "ConfigMap", "data": {"policy.yaml": POLICY}}, secret]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(documents))
    result = explained("--as", "alice", f"{USER}/GetUser", policy="all.yaml", passwords="all.yaml")
    assert result.output.startswith("allowed")
    secret["data"] = {"token": ""}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([secret]))
    result = explained("--as", "alice", f"{USER}/GetUser", policy="all.yaml")
    assert (result.exit_code, "no key 'policy.yaml', only token" in result.output) == (2, True)


@pytest.mark.parametrize(("words", "problem"), [
    (["--request", "{", "a.B/C"], "--request is not JSON"),
    (["--request", "[]", "a.B/C"], "--request is not a JSON object"),
    (["-H", "env", "a.B/C"], "not of the form NAME=VALUE"),
])  # fmt: skip
def test_wrong_words(explained, words, problem):
    result = explained(*words)
    assert (result.exit_code, problem in result.output) == (2, True)


@pytest.mark.parametrize("word", [
    "nonsense", "User/", "/GetUser", "//GetUser", "a.B/C/D", "a..B/C", ".a.B/C", "a.B./C", "a.B/*", "a b/C", "a.B/", "",
])  # fmt: skip
def test_what_is_no_method_is_refused(explained, word):
    result = explained("--as", "alice", word)
    assert result.exit_code == 2
    assert f"{word!r} is no method; write package.Service/Method, such as com.example.User/GetUser" in result.output


@pytest.mark.parametrize("word", ["User/GetUser", "/User/GetUser", "a.B/get-user"])
def test_any_method_that_can_be_called_is_judged(explained, word):
    assert explained("--as", "alice", word).output.startswith("denied: no role of alice")


def test_a_faulty_policy_is_named(explained, tmp_path):
    (tmp_path / "policy.yaml").write_text("roles: {viewer: [GetUser]}")
    result = explained("a.B/C")
    assert (result.exit_code, "roles.viewer: 'GetUser' is no method" in result.output) == (2, True)
