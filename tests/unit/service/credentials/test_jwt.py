import base64
import json
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt_keys import key, key_set, published, signed

from roadstead.service.credentials import key_set as key_set_module
from roadstead.service.credentials.claims import Expectations
from roadstead.service.credentials.jwt import JwtVerifier
from roadstead.service.credentials.key_set import parse_key_set
from roadstead.service.credentials.presented import Token
from roadstead.service.credentials.token import sign
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal

NOW = 1_000_000.0
GOOD = {"sub": "alice", "exp": NOW + 60, "iss": "us", "aud": "shop", "groups": ["staff"]}
ALICE = Identity("alice", "token", ("staff",), NOW + 60)


class Source:
    """Keys as a test sets them; `pending` is what an early look returns."""

    def __init__(self, *names: str) -> None:
        self.keys = parse_key_set(key_set(*names)) if names else None
        self.pending: Future | None = None
        self.looks = 0

    def current(self):
        return self.keys

    def renewed(self):
        self.looks += 1
        return self.pending


class Bed:
    def __init__(self, *names: str, **expected) -> None:
        self.source = Source(*names)
        self.now = NOW
        expectations = Expectations(**{"issuer": "us", "audience": "shop", "skew": 10, **expected})
        self.verifier = JwtVerifier(self.source, expectations, clock=lambda: self.now)

    def verify(self, text: str) -> Identity | Refusal:
        result = self.verifier.verify(Token(text))
        return result.result(10) if isinstance(result, Future) else result

    def reason(self, text: str) -> str:
        result = self.verify(text)
        return result.name if isinstance(result, Identity) else result.reason


@pytest.mark.parametrize(("name", "algorithm"), [("rsa-1", "RS256"), ("ec-1", "ES256"), ("ed-1", "Ed25519")])
def test_what_the_issuer_signed_is_accepted(name, algorithm):
    bed = Bed("rsa-1", "ec-1", "ed-1")
    assert bed.verify(signed(GOOD, name, algorithm)) == ALICE
    assert "wrong signature" in bed.reason(signed(GOOD, f"{name[:-1]}2", algorithm, kid=name))


@pytest.mark.parametrize(("change", "answer"), [
    ({"aud": ["them", "shop"]}, "alice"),
    ({"exp": NOW - 9}, "alice"),
    ({"exp": NOW - 10}, "token: expired (of 'alice')"),
    ({"nbf": NOW + 10}, "alice"),
    ({"nbf": NOW + 11}, "token: not valid yet (of 'alice')"),
    ({"iss": "them"}, "token: wrong issuer (of 'alice')"),
    ({"aud": "them"}, "token: wrong audience (of 'alice')"),
    ({"sub": ""}, "token: no subject in 'sub'"),
    ({"sub": 7}, "token: no subject in 'sub'"),
    ({"groups": "staff"}, "token: its groups are no list of names"),
    ({"exp": "never"}, "token: Expected `float`, got `str` - at `$.exp`"),
])  # fmt: skip
def test_claims(change, answer):
    assert Bed("ec-1").reason(signed({**GOOD, **change}, "ec-1", "ES256")) == answer


def test_names_and_groups_from_other_claims():
    bed = Bed("ec-1", name="preferred_username", groups="roles")
    claims = {**GOOD, "preferred_username": "al", "roles": ["admin"]}
    assert bed.verify(signed(claims, "ec-1", "ES256")) == Identity("al", "token", ("admin",), NOW + 60)


def test_the_algorithm_is_the_keys_not_the_tokens():
    bed = Bed("rsa-1")
    assert "'PS256' is not what its key is for" in bed.reason(signed(GOOD, "rsa-1", "PS256"))
    unsigned = sign(GOOD, b"k" * 32).rsplit(".", 1)[0].split(".")[1]
    none = f"eyJhbGciOiJub25lIiwia2lkIjoicnNhLTEifQ.{unsigned}."
    assert "'none' is not what its key is for" in bed.reason(none)


def test_a_public_key_is_no_shared_secret():
    # What made many libraries accept forgeries: HS256 with the published key as the secret.
    forged = sign(GOOD, key("rsa-1").as_pem(private=False))
    assert "'HS256' is not what its key is for" in Bed("rsa-1").reason(forged)


def test_which_key():
    one, two = Bed("ec-1"), Bed("ec-1", "ec-2")
    nameless = signed(GOOD, "ec-1", "ES256", kid=None)
    assert one.verify(nameless) == ALICE
    assert two.reason(nameless) == "token: it does not say which key it is signed with"
    assert two.source.looks == 0, "a token that names no key is no reason to ask for keys"
    assert two.reason(signed(GOOD, "ec-1", "ES256", kid="x")) == "token: there is no key 'x'"
    assert two.source.looks == 1


@pytest.mark.parametrize("name", ["ec-1", "ec-2"])
def test_each_of_several_keys_of_one_name_counts(name):
    bed = Bed()
    same = [published(each, kid="2026") for each in ("ed-1", "ec-1", "ec-2")]
    bed.source.keys = parse_key_set(json.dumps({"keys": same}).encode())
    assert bed.verify(signed(GOOD, name, "ES256", kid="2026")) == ALICE
    assert "wrong signature" in bed.reason(signed(GOOD, "ec-3", "ES256", kid="2026"))


def test_of_a_long_name_a_part_is_quoted():
    reason = Bed("ec-1").reason(signed(GOOD, "ec-1", "ES256", kid="x" * 5000))
    assert reason.startswith("token: there is no key 'xxx")
    assert len(reason) < 400


def test_tokens_of_another_sort_are_no_reason_to_ask_for_keys():
    """They may be the service's own, which `FirstOf` joins with these: nobody who has one waits for the issuer."""
    bed = Bed("ec-1", "ec-2")
    bed.source.pending = Future()
    own = sign({"sub": "alice"}, b"k" * 32)
    assert isinstance(bed.verifier.verify(Token(own)), Refusal)
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"new"}').rstrip(b"=").decode()
    named = f"{header}.{own.partition('.')[2]}"
    assert isinstance(bed.verifier.verify(Token(named)), Refusal)
    assert bed.source.looks == 0


def test_a_new_key_is_fetched_when_a_token_names_it():
    bed = Bed("ec-1")
    bed.source.pending = Future()
    waiting = bed.verifier.verify(Token(signed(GOOD, "ec-2", "ES256")))
    assert isinstance(waiting, Future)
    bed.source.pending.set_result(parse_key_set(key_set("ec-1", "ec-2")))
    assert waiting.result(5) == ALICE


def test_a_known_key_is_never_fetched_again():
    bed = Bed("ec-1")
    assert bed.verify(signed(GOOD, "ec-1", "ES256")) == ALICE
    assert "wrong signature" in bed.reason(signed(GOOD, "ec-2", "ES256", kid="ec-1"))
    assert bed.source.looks == 0


def test_without_any_keys_nobody_is_called_a_liar():
    bed = Bed()
    refusal = bed.verify(signed(GOOD, "ec-1", "ES256"))
    assert (refusal.code.name, refusal.retry_after) == ("UNAVAILABLE", 1.0)


def test_a_key_that_was_taken_away_counts_no_more():
    bed = Bed("ec-1", "ec-2")
    text = signed(GOOD, "ec-1", "ES256")
    assert bed.verify(text) == ALICE
    bed.source.keys = parse_key_set(key_set("ec-2"))
    assert bed.reason(text) == "token: there is no key 'ec-1'"


def test_a_signature_is_checked_once_and_an_expiry_always(monkeypatch):
    bed = Bed("ec-1")
    text = signed({**GOOD, "exp": NOW + 50}, "ec-1", "ES256")
    seen = []
    real = key_set_module.payload_signed_by
    monkeypatch.setattr("roadstead.service.credentials.jwt.payload_signed_by", lambda *a: seen.append(a) or real(*a))
    assert [bed.reason(text) for _ in range(3)] == ["alice"] * 3
    assert len(seen) == 1
    bed.now = NOW + 59
    assert bed.reason(text) == "alice", "within the skew"
    bed.now = NOW + 60
    assert "expired" in bed.reason(text)


def test_demands_that_are_not_known_are_refused():
    header = base64.urlsafe_b64encode(b'{"alg":"ES256","crit":["x"],"x":1}').decode()
    assert "extensions" in Bed("ec-1").reason(f"{header}.{TEXT.partition('.')[2]}")


def test_other_header_fields_do_no_harm():
    assert Bed("ec-1").verify(signed(GOOD, "ec-1", "ES256", typ="at+jwt", ver="2")) == ALICE


@given(st.text(max_size=80))
def test_any_text_is_refused(text):
    assert isinstance(Bed("ec-1").verify(text), Refusal)


TEXT = signed(GOOD, "ec-1", "ES256")


@given(st.integers(0, 400), st.sampled_from("aZ9-_.= ü"))
def test_a_changed_token_is_refused_or_the_same(position, replacement):
    result = Bed("ec-1").verify(TEXT[:position] + replacement + TEXT[position + 1 :])
    assert isinstance(result, Refusal) or result == ALICE


@pytest.mark.parametrize("field", [b'"alg"', b'"alg":"RS256","kid":"a","of no interest"'])
@pytest.mark.parametrize("part", [0, 1])
def test_deep_nesting_is_refused(part, field):
    deep = base64.urlsafe_b64encode(b"{" + field + b":" + b"[" * 5500).decode().rstrip("=")
    parts = TEXT.split(".")
    parts[part] = deep
    assert isinstance(Bed("ec-1").verify(".".join(parts)), Refusal)
