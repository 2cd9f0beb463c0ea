import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.credentials.presented import Token
from roadstead.service.credentials.token import TokenVerifier, parse_token_keys, sign
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_000_000.0
GOOD = {"sub": "alice", "exp": NOW + 60, "iss": "us", "aud": "us"}


def verifier(*keys: bytes) -> TokenVerifier:
    return TokenVerifier(lambda: keys or (KEY,), issuer="us", audience="us", skew=10, clock=lambda: NOW)


def judged(claims: dict, key: bytes = KEY) -> str:
    result = verifier().verify(Token(sign(claims, key)))
    return result.name if isinstance(result, Identity) else result.reason


def test_what_was_issued_is_accepted():
    alice = Identity(name="alice", proof="password", groups=("staff",))
    text, expires = verifier().issue(alice, 60)
    assert expires == NOW + 60
    assert verifier().verify(Token(text)) == Identity("alice", "token", ("staff",), NOW + 60)


@pytest.mark.parametrize(("change", "answer"), [
    ({}, "alice"),
    ({"aud": ["them", "us"]}, "alice"),
    ({"exp": NOW - 9}, "alice"),
    ({"exp": NOW - 10}, "token: expired (of 'alice')"),
    ({"nbf": NOW + 10}, "alice"),
    ({"nbf": NOW + 11}, "token: not valid yet (of 'alice')"),
    ({"iss": "them"}, "token: wrong issuer (of 'alice')"),
    ({"iss": None}, "token: wrong issuer (of 'alice')"),
    ({"aud": "them"}, "token: wrong audience (of 'alice')"),
    ({"aud": []}, "token: wrong audience (of 'alice')"),
    ({"sub": ""}, "token: no subject in 'sub'"),
])  # fmt: skip
def test_claims(change, answer):
    assert judged({**GOOD, **change}) == answer


@pytest.mark.parametrize(("missing", "problem"), [("sub", "no subject"), ("exp", "missing required field `exp`")])
def test_a_claim_that_must_be_there(missing, problem):
    assert problem in judged({key: value for key, value in GOOD.items() if key != missing})


def test_another_key_is_refused():
    assert judged(GOOD, OTHER) == "token: wrong signature"


def test_keys_rotate():
    old = sign(GOOD, OTHER)
    assert isinstance(verifier(KEY, OTHER).verify(Token(old)), Identity)
    assert isinstance(verifier(KEY).verify(Token(old)), Refusal)


def test_the_algorithm_is_pinned():
    def part(value) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for algorithm in ("none", "None", "RS256", "HS512", None):
        forged = f"{part({'alg': algorithm})}.{part(GOOD)}."
        assert verifier().verify(Token(forged)).reason == "token: its algorithm is not HS256"


def test_deep_nesting_is_refused():
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","of no interest":' + b"[" * 5500).decode().rstrip("=")
    assert isinstance(verifier().verify(Token(f"{header}.e30.e30")), Refusal)


@given(st.text(max_size=80))
def test_any_text_is_refused(text):
    assert isinstance(verifier().verify(Token(text)), Refusal)


@given(st.integers(0, 300), st.sampled_from("aZ9-_.= ü"))
def test_a_changed_token_is_refused_or_the_same(position, replacement):
    text = sign(GOOD, KEY)
    changed = text[:position] + replacement + text[position + 1 :]
    result = verifier().verify(Token(changed))
    assert isinstance(result, Refusal) or result == Identity("alice", "token", (), GOOD["exp"])


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "no key"), (b"\n \n", "no key"), (b"short\n", "key 1 is shorter")]
)
def test_key_files_with_faults(content, problem):
    with pytest.raises(ValueError, match=problem):
        parse_token_keys(content)


def test_key_files():
    assert parse_token_keys(KEY + b"\n" + OTHER) == (KEY, OTHER)
