"""Password records: how a password is kept, and how a claimed one is compared with it.

A file has one `name:hash` per line; `#` starts a comment. A hash is a PHC string of argon2id
(`$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, what `hash_password` makes) or of scrypt
(`$scrypt$ln=15,r=8,p=1$salt$hash`).
Both cost tens of milliseconds on purpose: `credentials/password.py` decides when that price is paid.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

import msgspec

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane. About 24 ms of one core.
_ARGON2_MEMORY_KIB, _ARGON2_PASSES, _ARGON2_LANES = 19456, 2, 1
# Compared with when there is no such user and no record to imitate. The password behind it was thrown away.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$cm9hZHN0ZWFkLW5vYm9keQ$3sxt02yir3YFJfhem3uGMLYMf4lFA4gm+BAc6+OLRtQ"
_SCRYPT_LARGEST_LOG_N = 20


class PasswordRecord(msgspec.Struct, frozen=True):
    """One user's stored password. `repr` shows no hash: records end up in logs."""

    name: str
    hash: str

    def __repr__(self) -> str:
        return f"PasswordRecord({self.name!r}, …)"


class PasswordFile(msgspec.Struct, frozen=True):
    """All records of one file, and the one that unknown users are compared with."""

    records: Mapping[str, PasswordRecord]
    nobody: PasswordRecord

    def find(self, name: str) -> tuple[PasswordRecord, bool]:
        """Return the user's record and True, or a record that costs the same to check and False."""
        record = self.records.get(name)
        return (record, True) if record is not None else (self.nobody, False)


def parse_password_file(content: bytes) -> PasswordFile:
    """Read `name:hash` lines. Raise ValueError that names the line at fault, never its hash."""
    records: dict[str, PasswordRecord] = {}
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        record = _parse_line(text, number)
        if record.name in records:
            raise ValueError(f"line {number}: user {record.name!r} is there twice")
        records[record.name] = record
    first = next(iter(records.values()), None)
    nobody = PasswordRecord(name="", hash=first.hash if first else _NOBODY)
    return PasswordFile(records=records, nobody=nobody)


def _parse_line(text: str, number: int) -> PasswordRecord:
    name, separator, stored = text.partition(":")
    if not separator or not name.strip():
        raise ValueError(f"line {number}: expected name:hash")
    stored = stored.strip()
    if not stored.startswith(("$argon2id$", "$scrypt$")):
        raise ValueError(f"line {number}: the hash of {name!r} is neither argon2id nor scrypt; see hash_password")
    return PasswordRecord(name=name.strip(), hash=stored)


def hash_password(password: str) -> str:
    """Return a fresh argon2id PHC string for a password file."""
    from argon2.low_level import Type, hash_secret  # 30 ms of import that only hashing needs

    salt = secrets.token_bytes(16)
    return hash_secret(
        password.encode(),
        salt,
        time_cost=_ARGON2_PASSES,
        memory_cost=_ARGON2_MEMORY_KIB,
        parallelism=_ARGON2_LANES,
        hash_len=32,
        type=Type.ID,
    ).decode()


def verify_password(stored: str, password: str) -> bool:
    """Tell whether `password` is the one behind the PHC string. A string that cannot be read matches nothing."""
    secret = password.encode("utf-8", "surrogatepass")
    return _verify_scrypt(stored, secret) if stored.startswith("$scrypt$") else _verify_argon2(stored, secret)


def _verify_argon2(stored: str, secret: bytes) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError  # as in hash_password
    from argon2.low_level import Type, verify_secret

    try:
        return verify_secret(stored.encode(), secret, Type.ID)
    except (Argon2Error, InvalidHashError, UnicodeError):
        return False


def _verify_scrypt(stored: str, secret: bytes) -> bool:
    try:
        _, _, parameters, salt, expected = stored.split("$")
        numbers = {key: int(value) for key, value in (part.split("=") for part in parameters.split(","))}
        log_n, r, p = numbers["ln"], numbers["r"], numbers["p"]
        if not 1 <= log_n <= _SCRYPT_LARGEST_LOG_N:
            return False
        wanted = _base64(expected)
        # scrypt needs 128·N·r bytes; OpenSSL refuses above maxmem, so allow exactly that and a little.
        memory = 128 * (1 << log_n) * r + (1 << 20) * (p + 1)
        found = hashlib.scrypt(secret, salt=_base64(salt), n=1 << log_n, r=r, p=p, maxmem=memory, dklen=len(wanted))
    except (ValueError, KeyError, OverflowError, MemoryError, binascii.Error):
        return False
    return hmac.compare_digest(found, wanted)


def _base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"./" if "." in text else None)
