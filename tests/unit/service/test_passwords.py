import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from roadstead.service import passwords
from roadstead.service.files import WatchedFile
from roadstead.service.passwords import hash_password, parse_password_file, verify_password
from roadstead.service.phc import cost_of

# Small on purpose: the code is the same, the tests are quicker.
_SALT = b"0123456789abcdef"


def scrypt_record(password: str, log_n: int = 4) -> str:
    found = hashlib.scrypt(password.encode(), salt=_SALT, n=1 << log_n, r=8, p=1)
    salt, expected = (base64.b64encode(part).rstrip(b"=").decode() for part in (_SALT, found))
    return f"$scrypt$ln={log_n},r=8,p=1${salt}${expected}"


@pytest.mark.parametrize("password", ["wonderland", "ünï¢ødé ✓", "a:b", "x" * 1000])
def test_a_password_matches_its_own_hash_only(password):
    for stored in (hash_password(password), scrypt_record(password)):
        assert verify_password(stored, password)
        assert not verify_password(stored, password + "x")
        assert not verify_password(stored, "")


def test_equal_passwords_have_different_hashes():
    assert hash_password("x") != hash_password("x")
    assert hash_password("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$", "$argon2id$ü", "$scrypt$ln=4,r=8,p=1$YQ$YQ"])
def test_a_hash_that_cannot_be_read_matches_nothing(stored):
    assert not verify_password(stored, "")
    assert not verify_password(stored, "x")


@given(st.text(max_size=60))
def test_no_stored_text_raises(text):
    assert not verify_password("$scrypt$" + text, "x")
    assert not verify_password("$argon2id$" + text, "x")


def test_a_file_of_records():
    file = parse_password_file(f"# people\n\nalice:{scrypt_record('a')}\n bob : {scrypt_record('b')}\n".encode())
    assert sorted(file.records) == ["alice", "bob"]
    assert file.matches("bob", "b")
    assert not file.matches("bob", "a")
    assert not file.matches("mallory", "a"), "who is unknown is not let in by somebody else's password"


@pytest.fixture
def calculated(monkeypatch) -> list[str]:
    """The costs of the hashes that are calculated."""
    costs: list[str] = []

    def count(stored: str, password: str) -> bool:
        costs.append(cost_of(stored))
        return verify_password(stored, password)

    monkeypatch.setattr(passwords, "verify_password", count)
    return costs


def asked(file, calculated: list[str], name: str, password: str) -> tuple[bool, list[str]]:
    calculated.clear()
    return file.matches(name, password), list(calculated)


def test_every_name_takes_the_same_calculations_whatever_hashes_there_are(calculated):
    quick, slow, argon = scrypt_record("q"), scrypt_record("s", log_n=5), hash_password("a")
    file = parse_password_file(f"quick:{quick}\nslow:{slow}\nalso:{scrypt_record('o')}\nargon:{argon}".encode())
    right = {"quick": "q", "slow": "s", "also": "o", "argon": "a"}
    for name in (*right, *(f"stranger-{number}" for number in range(5))):
        for password in ("wrong", *right.values()):
            found, costs = asked(file, calculated, name, password)
            assert found is (right.get(name) == password)
            assert costs == [cost_of(quick), cost_of(slow), cost_of(argon)]


def test_hashes_of_one_cost_are_calculated_once(calculated):
    file = parse_password_file(f"alice:{scrypt_record('a')}\nbob:{scrypt_record('b')}".encode())
    for name in ("alice", "bob", "mallory"):
        assert asked(file, calculated, name, "b") == (name == "bob", ["$scrypt$ln=4,r=8,p=1"])


def test_an_empty_file_still_takes_its_time_over_strangers(calculated):
    assert asked(parse_password_file(b""), calculated, "mallory", "") == (False, ["$argon2id$v=19$m=19456,t=2,p=1"])


@pytest.mark.parametrize(("content", "problem"), [
    (b"alice", "line 1: expected name:hash"),
    (b"\n:x", "line 2: expected name:hash"),
    (b"alice:wonderland", "line 1: the hash of 'alice' is neither argon2id nor scrypt"),
    (f"a:{scrypt_record('1')}\na:{scrypt_record('2')}".encode(), "line 2: user 'a' is there twice"),
    (b"# x\nalice:$argon2id$secret", "line 2: the hash of 'alice' is damaged"),
    (b"\xff", "invalid start byte"),
])  # fmt: skip
def test_a_fault_names_its_line(content, problem):
    with pytest.raises(ValueError, match=problem):
        parse_password_file(content)


def test_no_hash_is_shown():
    file = parse_password_file(f"alice:{scrypt_record('a')}".encode())
    _, salt, expected = scrypt_record("a").rsplit("$", 2)
    for text in (repr(file), repr(file.records["alice"])):
        assert salt not in text
        assert expected not in text


def test_a_file_with_a_damaged_hash_changes_nothing_and_is_told_of(tmp_path):
    path = tmp_path / "passwords"
    path.write_text(f"alice:{scrypt_record('a')}\n")
    watched = WatchedFile(path, parse_password_file, interval=0)
    damaged = scrypt_record("b")[:-5]
    path.write_text(f"alice:{damaged}\n")
    with capture_logs() as logs:
        assert watched.current().matches("alice", "a")
    (told,) = logs
    assert told["log_level"] == "error"
    assert "line 1: the hash of 'alice' is damaged" in told["error"]
    assert damaged.rsplit("$", 1)[1] not in str(told)
