"""Policies against descriptors: what is said, and at which line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from bank_protos import bank_descriptors
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from roadstead.client.manifests import parse_manifest
from roadstead.cluster.checks.admission import admit
from roadstead.cluster.checks.policies import check_policies, check_policy_file, is_policy_file
from roadstead.cluster.descriptors import NONE, Services, read_services, services_of

EXAMPLE = Path(__file__).parents[4] / "examples" / "user-platform"
SERVICES = read_services([EXAMPLE / "proto"])
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: policy}
data:
  other: x
  policy.yaml: |
    # a comment
    anonymous: [com.example.User/Login, grpc.health.v1.Health/Check]
    roles:
      viewer:
        - com.example.User/GetUsr
        - helloworld.Greeter/*
"""


def said(text: str, services: Services = SERVICES) -> list[str]:
    return [str(one) for one in check_policy_file(Path("policy.yaml"), text, services)]


def of_manifest(text: str, services: Services = SERVICES) -> list[str]:
    objects, refused = admit(parse_manifest(text, Path("a.yaml")).documents, datetime.now(UTC))
    assert refused == []
    return [str(one) for one in check_policies(objects, services)]


def test_a_misspelt_method_in_a_config_map_is_found_at_its_line():
    wanted = "com.example.User has no method GetUsr; did you mean GetUser?"
    assert of_manifest(CONFIG_MAP) == [f"a.yaml:11: error: ConfigMap default/policy: data.policy.yaml: {wanted}"]


def test_lines_of_a_text_that_does_not_stand_in_the_manifest_are_its_fields():
    text = CONFIG_MAP[: CONFIG_MAP.index("  policy.yaml")] + '  policy.yaml: "anonymous: [com.example.User/Logn]"\n'
    assert of_manifest(text)[0].startswith("a.yaml:4: error:")


def test_a_secrets_policy_is_read_too():
    text = CONFIG_MAP.replace("ConfigMap", "Secret").replace("\ndata:", "\nstringData:")
    assert of_manifest(text)[0].startswith("a.yaml:11: error: Secret default/policy: stringData.policy.yaml: ")
    encoded = "apiVersion: v1\nkind: Secret\nmetadata: {name: p}\ndata:\n  policy.yaml: YW5vbnltb3VzOiBbYS9iXQ==\n"
    assert "there is no service a" in of_manifest(encoded)[0]
    assert of_manifest(encoded.replace("policy.yaml: YW5", "policy.yaml: ////YW5")) == []


@pytest.mark.parametrize("value", ["kind: ClusterPolicy", "[]", "x"])
def test_what_is_another_programs_is_left_alone(value):
    assert (
        of_manifest(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: p}}\ndata: {{policy.yaml: '{value}'}}") == []
    )


@pytest.mark.parametrize(("text", "wanted"), [
    ("anonymous: [com.example.Usr/Login]",
     "policy.yaml:1: error: there is no service com.example.Usr; did you mean com.example.User?"),
    ("anonymous:\n- com.example.User/Nothing\n",
     "policy.yaml:2: error: com.example.User has no method Nothing"),
    ("anonymous: [grpc.health.v1.Health/Chek]",
     "policy.yaml:1: error: grpc.health.v1.Health has no method Chek; did you mean Check?"),
    ("anonymous:\n- org.other.Thing/A\n- org.other.Thing/B\n",
     "policy.yaml:2: warning: there is no service org.other.Thing in the descriptors that were found; "
     "is it spelt like that?"),
    ("roles:\n  a: [\n", "policy.yaml:3: error: not YAML: while parsing a flow node did not find "
     'expected node content in "<unicode string>", line 3, column 1'),
    ("roles:\n  a: []\nidentities:\n  x: [a]\n  y: [b]\n", "policy.yaml:5: error: identities.y: there is no role 'b'"),
    ("roles:\n  a:\n  - a.B/C\n  - methods: [a.B/C]\n", "policy.yaml:4: error: roles.a[1]: when is missing"),
])  # fmt: skip
def test_findings(text, wanted):
    assert said(text) == [wanted]


@pytest.mark.parametrize(("field", "wanted"), [
    ("user.id", None),
    ("user.idd", "com.example.UserRecord has no field idd; did you mean id?"),
    ("usr", "com.example.EditUserRequest has no field usr; did you mean user?"),
    ("user", "user of com.example.EditUserRequest is a message or bytes, so this condition matches nothing"),
    ("user.id.x", "id of com.example.UserRecord is no message, so this condition matches nothing"),
])  # fmt: skip
def test_fields_of_requests(field, wanted):
    text = f"""
roles:
  owner:
    - methods: [com.example.User/EditUser]
      when:
        request:
          {field}: "{{identity}}"
"""
    assert said(text) == ([] if wanted is None else [f"policy.yaml:7: error: {wanted}"])


BANK = services_of(FileDescriptorSet.FromString(bank_descriptors()).file)


def of_condition(methods: str, field: str, value: str) -> list[str]:
    return said(
        f"""
roles:
  clerk:
    - test.bank.Bank/Close
    - methods: [{methods}]
      when:
        request:
          {field}: {value}
""",
        BANK,
    )


SEND = "test.bank.Bank/Send"
AT = "policy.yaml:8: error: roles.clerk[1].when.request"
KINDS = "which is one of KIND_UNSPECIFIED (0), SAVINGS (1), CURRENT (2)"
AGES = "which is a whole number from -2147483648 to 2147483647"


@pytest.mark.parametrize(("methods", "field", "value", "wanted"), [
    (SEND, "kind", "SAVINGS", []),
    (SEND, "kind", "[SAVINGS, 2]", []),
    (SEND, "kind", "SAVNGS",
     [f'{AT}.kind: "SAVNGS" is no value of kind of test.bank.Transfer, {KINDS}; did you mean SAVINGS?']),
    (SEND, "kind", "[SAVINGS, 7]", [f"{AT}.kind: 7 is no value of kind of test.bank.Transfer, {KINDS}"]),
    (SEND, "age", '"x"', [f'{AT}.age: "x" is no value of age of test.bank.Transfer, {AGES}']),
    (SEND, "dry_run", "1", [f"{AT}.dry_run: 1 is no value of dry_run of test.bank.Transfer, which is true or false"]),
    (SEND, "dry_run", "no", []),
    (SEND, "to.kind", '"1"', [f'{AT}.to.kind: "1" is no value of kind of test.bank.Account, {KINDS}']),
    (SEND, "due.seconds", '"x"', []),  # Timestamp's file is not among these
    (f"{SEND}, {SEND}", "age", "true", [f"{AT}.age: true is no value of age of test.bank.Transfer, {AGES}"]),
    ("test.bank.Bank/*", "dry_run", "0",
     [f"{AT}.dry_run: 0 is no value of dry_run of test.bank.Transfer, which is true or false"]),
    ("test.bank.Bank/*", "dry_run", "false", []),
    ("test.bank.Bank/*", "nothing", "1",
     ["policy.yaml:8: error: no request of test.bank.Bank has a field nothing that a condition matches"]),
    ("test.other.Bank/*", "dry_run", "0",
     ["policy.yaml:5: error: there is no service test.other.Bank; did you mean test.bank.Bank?"]),
])  # fmt: skip
def test_values_of_fields(methods, field, value, wanted):
    assert of_condition(methods, field, value) == wanted


def test_without_descriptors_nothing_is_looked_up_and_that_is_said():
    assert said("anonymous: [a.B/C, a.B/D]", NONE) == [
        "policy.yaml:1: warning: the methods of a.B were not looked up: no .proto, *_pb2.py or descriptor set was found"
    ]


@pytest.mark.parametrize(("name", "text", "is_one"), [
    ("policy.yaml", "anonymous: []", True),
    ("user-policy.yaml", "roles: {}", True),
    ("policy.yaml", CONFIG_MAP, False),
    ("values.yaml", "roles: {}", False),
    ("policy.yaml", "x: y", False),
])  # fmt: skip
def test_a_policy_that_is_a_file(tmp_path, name, text, is_one):
    (tmp_path / name).write_text(text)
    assert is_policy_file(tmp_path / name) is is_one
    assert not is_policy_file(tmp_path)
