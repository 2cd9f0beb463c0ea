import subprocess
import sys

import jsonschema_rs
import pytest
import yaml

from roadstead.service.policy import PolicyError, parse_policy
from roadstead.service.policy_schema import SCHEMA

VALIDATOR = jsonschema_rs.validator_for(SCHEMA)


@pytest.mark.parametrize("text", [
    "anonymous: [com.example.User/Login]\nidentities:\n  alice: [admin]\nroles:\n  admin: ['com.example.User/*']",
    "",
    "roles:",
    "anonymous: [a.B/C]",
    "roles: {a: [a.B/*, {methods: [a.B/C], when: {metadata: {env: [x, y]}, request: {user.id: '{identity}', n: 1}}}]}",
    "{roles: {a: []}, identities: {b: [a]}, groups: {c: [a]}}",
])  # fmt: skip
def test_what_is_right_for_one_is_right_for_the_other(text):
    parse_policy(text)
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", [
    "[]",
    "rolls: {}",
    "anonymous: [a.B]",
    "anonymous: ['a.B/C\\n']",
    "anonymous: a.B/C",
    "anonymous: [7]",
    "roles: [a]",
    "roles: {a: [{methods: [a.B/C]}]}",
    "roles: {a: [{methods: [], when: {metadata: {a: b}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {}}]}",
    "roles: {a: [{methods: [a.B/C], when: {header: {a: b}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {metadata: {A: b}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {metadata: {a-bin: b}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {metadata: {a: 7}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {request: {a..b: c}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {request: {a: []}}}]}",
    "roles: {a: [{methods: [a.B/C], when: {request: {a: b}}, if: 1}]}",
    "identities: {a: b}",
])  # fmt: skip
def test_what_is_wrong_for_one_is_wrong_for_the_other(text):
    with pytest.raises(PolicyError):
        parse_policy(text)
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


def test_it_is_printed():
    run = subprocess.run([sys.executable, "-m", "roadstead.service.policy_schema"], capture_output=True, check=True)
    assert yaml.safe_load(run.stdout) == SCHEMA
