import base64
import importlib
import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt_keys import key, key_set, published

from roadstead.service.credentials.key_set import parse_key_set


def algorithms(*entries: dict) -> dict:
    return {key.kid: key.algorithms for key in parse_key_set(json.dumps({"keys": entries}).encode()).keys}


@pytest.mark.parametrize(("entry", "found"), [
    (published("rsa-1"), ("RS256",)),
    (published("rsa-1", alg="RS256", use="sig"), ("RS256",)),
    (published("rsa-1", alg="PS512"), ("PS512",)),
    (published("ec-1"), ("ES256",)),
    (published("ec-1", alg="ES256", key_ops=["verify"]), ("ES256",)),
    (published("ed-1"), ("EdDSA", "Ed25519")),
])  # fmt: skip
def test_a_key_is_pinned_to_what_it_is_for(entry, found):
    assert algorithms(entry) == {entry["kid"]: found}


@pytest.mark.parametrize("entry", [
    published("rsa-1", use="enc"),
    published("rsa-1", alg="RSA-OAEP"),
    published("rsa-1", alg="HS256"),
    published("ec-1", alg="ES384"),
    published("ec-1", key_ops=["sign"]),
    {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
    {"kty": "quantum"},
    {},
])  # fmt: skip
def test_keys_for_something_else_are_left_out(entry):
    assert algorithms(entry, published("ec-2")) == {"ec-2": ("ES256",)}
    with pytest.raises(ValueError, match="none of its keys"):
        algorithms(entry)


@pytest.mark.parametrize(("content", "problem"), [
    (b"", "not JSON"),
    (b'{"keys":' + b"[" * 5500, "not JSON"),
    (b"[]", "not a JSON Web Key Set"),
    (b'{"keys": {}}', "not a JSON Web Key Set"),
    (b'{"keys": []}', "none of its keys"),
    (b'{"keys": [1]}', "keys[0]: expected an object"),
    (b'{"keys": [{"kty": "RSA", "n": "", "e": "AQAB"}]}', "keys[0]: "),
    (b'{"keys": [{"kty": "RSA", "n": 5, "e": "AQAB"}]}', "keys[0]: "),
    (b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}', "keys[0]: "),
    (b'{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}', "keys[0]: "),
])  # fmt: skip
def test_a_set_with_a_fault_is_refused_with_its_place(content, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_key_set(content)


def test_a_short_rsa_key_is_refused():
    modulus = base64.urlsafe_b64encode(bytes([200] * 128)).decode()
    with pytest.raises(ValueError, match=r"keys\[0\]: an RSA key shorter than 2048 bits"):
        algorithms({"kty": "RSA", "n": modulus, "e": "AQAB"})


def test_private_parts_are_not_read():
    entry = {**key("ec-1").as_dict(private=True), "kid": "ec-1"}
    found = parse_key_set(json.dumps({"keys": [entry]}).encode()).keys[0]
    assert "d" in entry
    assert not found.key.is_private


def test_keys_are_found_by_name_and_the_only_one_also_without():
    one, two = parse_key_set(key_set("ec-1")), parse_key_set(key_set("ec-1", "ec-2"))
    assert [key.kid for key in two.find("ec-2")] == ["ec-2"]
    assert two.find("x") == two.find(None) == ()
    assert [key.kid for key in one.find(None)] == ["ec-1"]
    assert one.version != two.version


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["RSA", "EC", "OKP", "AQAB", "P-256", "sig"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["kty", "n", "e", "crv", "x", "y", "alg", "use", "key_ops", "kid"]), inner)
    ),
    max_leaves=6,
)


@given(st.lists(_JSON, max_size=2))
def test_any_document_is_a_key_set_or_a_value_error(keys):
    try:
        parse_key_set(json.dumps({"keys": keys}).encode())
    except ValueError:
        return


def test_without_joserfc_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "joserfc", None)
    monkeypatch.delitem(sys.modules, "roadstead.service.credentials.key_set")
    with pytest.raises(ModuleNotFoundError, match=r"roadstead\[jwt\]"):
        importlib.import_module("roadstead.service.credentials.key_set")
