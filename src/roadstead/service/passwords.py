"""Password records: how a password is kept, and how a claimed one is compared with it.

A file has one `name:hash` per line; `#` starts a comment. A hash is a PHC string of argon2id
(`$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, what `hash_password` makes) or of scrypt
(`$scrypt$ln=15,r=8,p=1$salt$hash`). `phc.py` reads them.
Both cost tens of milliseconds on purpose: `credentials/password.py` decides when that price is paid.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Self

import msgspec

from roadstead.service.phc import Scrypt, cost_of, parse_phc

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane. About 24 ms of one core.
_ARGON2_MEMORY_KIB, _ARGON2_PASSES, _ARGON2_LANES = 19456, 2, 1


class PasswordRecord(msgspec.Struct, frozen=True):
    """One user's stored password. `repr` shows no hash: records end up in logs."""

    name: str
    hash: str

    def __repr__(self) -> str:
        return f"PasswordRecord({self.name!r}, …)"


# Compared with when there is no record at all. The password behind it was thrown away.
_NOBODY = PasswordRecord(
    "", "$argon2id$v=19$m=19456,t=2,p=1$cm9hZHN0ZWFkLW5vYm9keQ$3sxt02yir3YFJfhem3uGMLYMf4lFA4gm+BAc6+OLRtQ"
)


class PasswordFile(msgspec.Struct, frozen=True):
    """All records of one file, and one for each cost of a hash that is among them."""

    records: Mapping[str, PasswordRecord]
    costs: Mapping[str, PasswordRecord]

    @classmethod
    def of(cls, records: Iterable[PasswordRecord]) -> Self:
        """Return the file of these records, whose names differ."""
        found = {record.name: record for record in records}
        costs = {cost_of(record.hash): record for record in found.values() or (_NOBODY,)}
        return cls(found, costs)

    def matches(self, name: str, password: str) -> bool:
        """Tell whether this is the user's password. How long that takes does not depend on who it is, or on whether.

        Where all hashes cost the same, one is calculated, for a user and for somebody unknown. Where they differ, one
        of each cost is: with the user's own record in its place, and another one of the same cost in every other.
        Somebody unknown could borrow a record instead, picked by a keyed hash of the name. That is cheaper, but tells
        after all: what is picked changes with the key, which each replica would make up, or with the file, and a
        user's own record does not. What is right for a record that stands in for another one counts for nothing.
        """
        record = self.records.get(name)
        own = None if record is None else cost_of(record.hash)
        right = False
        for cost, stand_in in self.costs.items():
            if record is not None and cost == own:
                right = verify_password(record.hash, password)
            else:
                verify_password(stand_in.hash, password)
        return right


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
    return PasswordFile.of(records.values())


def _parse_line(text: str, number: int) -> PasswordRecord:
    name, separator, stored = text.partition(":")
    if not separator or not name.strip():
        raise ValueError(f"line {number}: expected name:hash")
    stored = stored.strip()
    try:
        parse_phc(stored)
    except ValueError as error:
        # Without its cause: whoever prints all of a chain must not find the hash in it.
        raise ValueError(f"line {number}: the hash of {name.strip()!r} {error}") from None
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
    try:
        found = parse_phc(stored)
    except ValueError:
        return False
    return _verify_scrypt(found, secret) if isinstance(found, Scrypt) else _verify_argon2(stored, secret)


def _verify_argon2(stored: str, secret: bytes) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError  # as in hash_password
    from argon2.low_level import Type, verify_secret

    try:
        return verify_secret(stored.encode(), secret, Type.ID)
    except (Argon2Error, InvalidHashError):
        return False


def _verify_scrypt(kept: Scrypt, secret: bytes) -> bool:
    try:
        found = hashlib.scrypt(
            secret,
            salt=kept.salt,
            n=1 << kept.log_n,
            r=kept.r,
            p=kept.p,
            maxmem=kept.memory,
            dklen=len(kept.expected),
        )
    except (ValueError, MemoryError):
        return False
    return hmac.compare_digest(found, kept.expected)
