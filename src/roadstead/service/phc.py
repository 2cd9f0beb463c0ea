"""A kept password hash as a PHC string, read as a whole: a damaged one shows when its file is read, not at a login.

    $argon2id$v=19$m=19456,t=2,p=1$salt$hash
    $scrypt$ln=15,r=8,p=1$salt$hash

Pure, and without argon2-cffi: that takes 30 ms to import, which only hashing is worth, and its `extract_parameters`
looks neither at base64 nor at bounds. No error here repeats any of the salt or the hash.
"""

import base64
import re

import msgspec

# What one check may ask for: libsodium's `MODERATE` and OWASP's largest for scrypt still fit, a typo does not.
LARGEST_MEMORY = 256 * 1024 * 1024
# Memory times passes over it, which is what takes the time: about a second.
LARGEST_WORK = 4 * LARGEST_MEMORY
_MOST_LANES = 64
_LARGEST_LOG_N = 20
_SALT_LENGTHS = range(8, 65)
# No tool makes other lengths, so a hash that lost its end shows.
_HASH_LENGTHS = range(16, 65, 8)
_ARGON2ID = re.compile(r"v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})", re.ASCII)
_SCRYPT = re.compile(r"ln=([1-9]\d{0,9}),r=([1-9]\d{0,9}),p=([1-9]\d{0,9})", re.ASCII)


class Argon2id(msgspec.Struct, frozen=True):
    """A hash of argon2id. libargon2 reads the string itself, so this tells only that it can."""


class Scrypt(msgspec.Struct, frozen=True):
    """A hash of scrypt, with what it was made of."""

    log_n: int
    r: int
    p: int
    salt: bytes
    expected: bytes

    @property
    def memory(self) -> int:
        """The bytes that a calculation takes, as OpenSSL counts them."""
        return 128 * self.r * ((1 << self.log_n) + 2 + self.p)


def parse_phc(text: str) -> Argon2id | Scrypt:
    """Read a PHC string. Raise ValueError that says what is wrong with it, and shows no secret."""
    algorithm, _, rest = text.removeprefix("$").partition("$")
    if not text.startswith("$") or algorithm not in ("argon2id", "scrypt"):
        raise ValueError("is neither argon2id nor scrypt; see hash_password")
    if rest.count("$") < 2:
        raise ValueError("is damaged: parameters, salt and hash are not all there")
    parameters, salt, expected = rest.rsplit("$", 2)
    return _argon2id(parameters, salt, expected) if algorithm == "argon2id" else _scrypt(parameters, salt, expected)


def cost_of(text: str) -> str:
    """Return what of a PHC string that can be read decides how long its check takes: all before the salt."""
    return text.rsplit("$", 2)[0]


def _argon2id(parameters: str, salt: str, expected: str) -> Argon2id:
    memory, passes, lanes = _numbers(_ARGON2ID, parameters, "v=19$m=…,t=…,p=…")
    if lanes > _MOST_LANES:
        raise ValueError(f"asks for p={lanes}; at most {_MOST_LANES}")
    if memory < 8 * lanes:
        raise ValueError(f"is damaged: m={memory} is less than 8 for each of p={lanes}")
    _check_cost(memory * 1024, passes)
    # libargon2 takes no padding.
    _decoded("salt", salt, _SALT_LENGTHS, padded=False)
    _decoded("hash", expected, _HASH_LENGTHS, padded=False)
    return Argon2id()


def _scrypt(parameters: str, salt: str, expected: str) -> Scrypt:
    log_n, r, p = _numbers(_SCRYPT, parameters, "ln=…,r=…,p=…")
    if log_n > _LARGEST_LOG_N:
        raise ValueError(f"asks for ln={log_n}; at most {_LARGEST_LOG_N}")
    if log_n >= 16 * r:
        raise ValueError(f"is damaged: scrypt has no ln={log_n} with r={r}")
    found = Scrypt(log_n, r, p, _decoded("salt", salt, _SALT_LENGTHS), _decoded("hash", expected, _HASH_LENGTHS))
    _check_cost(found.memory, p)
    return found


def _numbers(form: re.Pattern[str], parameters: str, expected: str) -> tuple[int, int, int]:
    found = form.fullmatch(parameters)
    if found is None:
        raise ValueError(f"is damaged: its parameters are not {expected}")
    first, second, third = found.groups()
    return int(first), int(second), int(third)


def _check_cost(memory: int, passes: int) -> None:
    if memory > LARGEST_MEMORY:
        raise ValueError(f"asks for {memory >> 20} MiB of memory; at most {LARGEST_MEMORY >> 20}")
    if memory * passes > LARGEST_WORK:
        most = LARGEST_WORK >> 20
        raise ValueError(f"asks for {passes} passes over {memory / (1 << 20):.3g} MiB; at most {most} MiB in all")


def _decoded(part: str, text: str, lengths: range, *, padded: bool = True) -> bytes:
    plain = text.rstrip("=") if padded and len(text) % 4 == 0 else text
    # passlib writes `.` for `+` in some of its formats.
    standard = plain.replace(".", "+") if padded else plain
    try:
        found = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        raise ValueError(f"is damaged: its {part} is not base64") from None
    # Bits left over at the end are zero, unless characters are missing.
    if base64.b64encode(found).decode().rstrip("=") != standard:
        raise ValueError(f"is damaged: its {part} is not base64")
    if len(found) not in lengths:
        step = f" in steps of {lengths.step}" if lengths.step > 1 else ""
        raise ValueError(f"is damaged: its {part} has {len(found)} bytes; expected {lengths[0]} to {lengths[-1]}{step}")
    return found
