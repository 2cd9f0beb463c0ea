import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.passwords import hash_password, parse_password_file, verify_password

# Small on purpose: the code is the same, the tests are quicker.
_SALT = b"0123456789abcdef"


def scrypt_record(password: str) -> str:
    found = hashlib.scrypt(password.encode(), salt=_SALT, n=16, r=8, p=1)
    return "$scrypt$ln=4,r=8,p=1${}${}".format(
        *(base64.b64encode(part).rstrip(b"=").decode() for part in (_SALT, found))
    )


@pytest.mark.parametrize("password", ["wonderland", "ünï¢ødé ✓", "a:b", "x" * 1000])
def test_a_password_matches_its_own_hash_only(password):
    for stored in (hash_password(password), scrypt_record(password)):
        assert verify_password(stored, password)
        assert not verify_password(stored, password + "x")
        assert not verify_password(stored, "")


def test_equal_passwords_have_different_hashes():
    assert hash_password("x") != hash_password("x")
    assert hash_password("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("stored", [
    "", "x", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$short", "$argon2id$ü", "$scrypt$", "$scrypt$ln=4$a$b",
    "$scrypt$ln=x,r=8,p=1$YQ$YQ", "$scrypt$ln=63,r=8,p=1$YQ$YQ", "$scrypt$ln=4,r=0,p=1$YQ$YQ",
    "$scrypt$ln=4,r=8,p=1$*$*", "$scrypt$ln=4,r=8,p=1$YQ$",
])  # fmt: skip
def test_a_hash_that_cannot_be_read_matches_nothing(stored):
    assert not verify_password(stored, "")
    assert not verify_password(stored, "x")


@given(st.text(max_size=60))
def test_no_stored_text_raises(text):
    assert not verify_password("$scrypt$" + text, "x")
    assert not verify_password("$argon2id$" + text, "x")


def test_a_file_of_records():
    records = parse_password_file(f"# people\n\nalice:{scrypt_record('a')}\n bob : {scrypt_record('b')}\n".encode())
    record, known = records.find("bob")
    assert known
    assert record.name == "bob"
    assert verify_password(record.hash, "b")
    stranger, known = records.find("mallory")
    assert not known
    assert stranger.hash == records.find("alice")[0].hash, "a stranger costs what a user costs"


def test_an_empty_file_still_takes_its_time_over_strangers():
    record, known = parse_password_file(b"").find("mallory")
    assert not known
    assert record.hash.startswith("$argon2id$")
    assert not verify_password(record.hash, "")


@pytest.mark.parametrize(("content", "problem"), [
    (b"alice", "line 1: expected name:hash"),
    (b"\n:x", "line 2: expected name:hash"),
    (b"alice:wonderland", "line 1: the hash of 'alice' is neither argon2id nor scrypt"),
    (b"a:$scrypt$1\na:$scrypt$2", "line 2: user 'a' is there twice"),
    (b"\xff", "invalid start byte"),
])  # fmt: skip
def test_a_fault_names_its_line(content, problem):
    with pytest.raises(ValueError, match=problem):
        parse_password_file(content)


def test_a_record_does_not_show_its_hash():
    record, _ = parse_password_file(f"alice:{scrypt_record('a')}".encode()).find("alice")
    assert "scrypt" not in repr(record)
