"""A hash is read as a whole: what the library that checks it would not take is found here, and said."""

import base64
import hashlib

import pytest
from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret, verify_secret

from roadstead.service.passwords import verify_password
from roadstead.service.phc import Scrypt, cost_of, parse_phc

SALT, HASH = "MDEyMzQ1Njc4OWFiY2RlZg", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
ARGON2ID = f"$argon2id$v=19$m=64,t=1,p=1${SALT}${HASH}"
SCRYPT = f"$scrypt$ln=4,r=8,p=1${SALT}${HASH}"


@pytest.mark.parametrize(("parameters", "problem"), [
    ("", "are not all there"),
    ("x", "are not all there"),
    (f"{SALT}${HASH}", "are not all there"),
    (f"m=64,t=1,p=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=16$m=64,t=1,p=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=64,t=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$t=1,m=64,p=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=064,t=1,p=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=٦٤,t=1,p=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=64,t=0,p=1${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=64,t=1,p=1,x=2${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=64,t=1,p=1$more${SALT}${HASH}", "parameters are not v=19"),
    (f"v=19$m=64,t=1,p=9${SALT}${HASH}", "m=64 is less than 8 for each of p=9"),
    (f"v=19$m=65536,t=1,p=65${SALT}${HASH}", "p=65; at most 64"),
    (f"v=19$m=262145,t=1,p=1${SALT}${HASH}", "256 MiB of memory; at most 256"),
    (f"v=19$m=19456000,t=2,p=1${SALT}${HASH}", "19000 MiB of memory; at most 256"),
    (f"v=19$m=262144,t=5,p=1${SALT}${HASH}", "5 passes over 256 MiB; at most 1024 MiB in all"),
    (f"v=19$m=19456,t=2000,p=1${SALT}${HASH}", "2000 passes over 19 MiB; at most 1024 MiB in all"),
    (f"v=19$m=64,t=1,p=1$${HASH}", "salt has 0 bytes; expected 8 to 64"),
    (f"v=19$m=64,t=1,p=1$c2FsdA${HASH}", "salt has 4 bytes; expected 8 to 64"),
    (f"v=19$m=64,t=1,p=1${SALT}==${HASH}", "salt is not base64"),
    (f"v=19$m=64,t=1,p=1$*{SALT[1:]}${HASH}", "salt is not base64"),
    (f"v=19$m=64,t=1,p=1${SALT}$", "hash has 0 bytes; expected 16 to 64 in steps of 8"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH}=", "hash is not base64"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH[:-1]}", "hash (is not base64|has 31 bytes)"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH[:-2]}", "hash is not base64"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH[:-3]}", "hash has 30 bytes; expected 16 to 64 in steps of 8"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH * 3}", "hash (is not base64|has)"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH[:-1]}é", "hash is not base64"),
    (f"v=19$m=64,t=1,p=1${SALT}${HASH} ", "hash is not base64"),
])  # fmt: skip
def test_argon2id_that_is_not(parameters, problem):
    assert_refused(f"$argon2id${parameters}", problem)


@pytest.mark.parametrize(("parameters", "problem"), [
    ("", "are not all there"),
    (f"{SALT}${HASH}", "are not all there"),
    (f"ln=4${SALT}${HASH}", "parameters are not ln="),
    (f"r=8,ln=4,p=1${SALT}${HASH}", "parameters are not ln="),
    (f"ln=x,r=8,p=1${SALT}${HASH}", "parameters are not ln="),
    (f"ln=0,r=8,p=1${SALT}${HASH}", "parameters are not ln="),
    (f"ln=4,r=0,p=1${SALT}${HASH}", "parameters are not ln="),
    (f"ln=4,r=8,p=0${SALT}${HASH}", "parameters are not ln="),
    (f"ln=63,r=8,p=1${SALT}${HASH}", "ln=63; at most 20"),
    (f"ln=16,r=1,p=1${SALT}${HASH}", "no ln=16 with r=1"),
    (f"ln=20,r=8,p=1${SALT}${HASH}", "1024 MiB of memory; at most 256"),
    (f"ln=4,r=99999999,p=1${SALT}${HASH}", "MiB of memory; at most 256"),
    (f"ln=4,r=8,p=999999${SALT}${HASH}", "MiB of memory; at most 256"),
    (f"ln=15,r=8,p=99${SALT}${HASH}", "99 passes over 32.1 MiB; at most 1024 MiB in all"),
    (f"ln=4,r=8,p=1$*${HASH}", "salt is not base64"),
    (f"ln=4,r=8,p=1$YQ${HASH}", "salt has 1 bytes; expected 8 to 64"),
    (f"ln=4,r=8,p=1${SALT}$YQ", "hash has 1 bytes; expected 16 to 64 in steps of 8"),
])  # fmt: skip
def test_scrypt_that_is_not(parameters, problem):
    assert_refused(f"$scrypt${parameters}", problem)


@pytest.mark.parametrize("text", ["", "wonderland", "$", "$2b$12$abc", "argon2id$v=19", f"$argon2i${ARGON2ID[10:]}"])
def test_other_hashes(text):
    assert_refused(text, "is neither argon2id nor scrypt; see hash_password")


def assert_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parse_phc(text)
    assert not any(secret in str(refused.value) for secret in (SALT, HASH, HASH[:8]))
    assert not verify_password(text, "x")


@pytest.mark.parametrize("whole", [ARGON2ID, SCRYPT])
def test_what_lost_its_end_is_refused_wherever_it_was_cut(whole):
    # Of 43 characters, 32 and 22 can be hashes of other lengths that tools do make.
    lucky = {len(whole) - 11, len(whole) - 21}
    for length in set(range(len(whole))) - lucky:
        assert_refused(whole[:length], "is damaged|is neither")


@pytest.mark.parametrize(("memory", "passes", "lanes", "salt", "length"), [
    (8, 1, 1, 8, 16), (64, 3, 8, 64, 64), (64, 1, 2, 9, 24), (512, 2, 64, 16, 32),
])  # fmt: skip
def test_what_libargon2_writes_is_read_and_checked(memory, passes, lanes, salt, length):
    written = hash_secret(b"x", b"s" * salt, passes, memory, lanes, length, Type.ID).decode()
    parse_phc(written)
    assert cost_of(written) == f"$argon2id$v=19$m={memory},t={passes},p={lanes}"
    assert verify_password(written, "x")
    assert not verify_password(written, "y")


def test_what_is_read_libargon2_can_read():
    with pytest.raises(Argon2Error, match="does not match"):
        verify_secret(ARGON2ID.encode(), b"x", Type.ID)


@pytest.mark.parametrize(("log_n", "r", "p"), [(1, 1, 1), (4, 8, 16), (15, 1, 1), (1, 20000, 3), (16, 2, 2)])
@pytest.mark.parametrize("write", [
    lambda raw: base64.b64encode(raw).decode().rstrip("="),
    lambda raw: base64.b64encode(raw).decode(),
    lambda raw: base64.b64encode(raw, b"./").decode().rstrip("="),
])  # fmt: skip
def test_scrypt_in_each_way_to_write_it(log_n, r, p, write):
    salt = b"\xff\xfb0123456789"
    found = hashlib.scrypt(b"x", salt=salt, n=1 << log_n, r=r, p=p, maxmem=1 << 28, dklen=64)
    text = f"$scrypt$ln={log_n},r={r},p={p}${write(salt)}${write(found)}"
    assert parse_phc(text) == Scrypt(log_n, r, p, salt, found)
    assert verify_password(text, "x")
    assert not verify_password(text, "y")
