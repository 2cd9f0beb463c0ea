"""What credentials a request's metadata carries: `username` and `password`, or `authorization` (basic or bearer).

Pure: metadata in, one of four findings out. Metadata is the first thing that a stranger controls, so every odd form
(twice, empty, binary, not UTF-8, huge) has an answer here and raises nothing.
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec

_LONGEST_NAME = 256
_LONGEST_SECRET = 8192
_KEYS = frozenset(("username", "password", "authorization"))


class NamePassword(msgspec.Struct, frozen=True):
    """A claimed name with a password."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"NamePassword({self.name!r}, …)"


class Token(msgspec.Struct, frozen=True):
    """A bearer token, opaque as yet."""

    text: str

    def __repr__(self) -> str:
        return "Token(…)"


class Malformed(msgspec.Struct, frozen=True):
    """Credentials that cannot be understood; `problem` names the metadata key, never its value."""

    problem: str


Presented = NamePassword | Token | Malformed | None


def presented(metadata: Sequence[tuple[str, str | bytes]]) -> Presented:
    """Return what the request presents; None if it presents nothing."""
    # A name with a password is what most calls have; with nothing odd about it, it takes no further step.
    name = password = None
    for pair in metadata:
        # By index: grpc's pairs are named tuples, and it takes twice as long to unpack one.
        key = pair[0]
        if key == "username" and name is None:
            name = pair[1]
        elif key == "password" and password is None:
            password = pair[1]
        elif key in _KEYS:
            return _read(metadata)
    if name is None and password is None:
        return None
    if not (name and password and isinstance(name, str) and isinstance(password, str)):
        return _read(metadata)
    if len(name) > _LONGEST_NAME or len(password) > _LONGEST_SECRET:
        return _read(metadata)
    return NamePassword(name, password)


def _read(metadata: Sequence[tuple[str, str | bytes]]) -> Presented:
    found: dict[str, str | bytes] = {}
    for key, value in metadata:
        if key in found:
            return Malformed(f"metadata {key!r} is there more than once")
        if key in _KEYS:
            found[key] = value
    for key, value in found.items():
        if not isinstance(value, str):
            return Malformed(f"metadata {key!r} is binary")
        if not value:
            return Malformed(f"metadata {key!r} is empty")
        if len(value) > _LONGEST_SECRET:
            return Malformed(f"metadata {key!r} is longer than {_LONGEST_SECRET} characters")
    texts = {key: value for key, value in found.items() if isinstance(value, str)}
    if "authorization" not in texts:
        return _name_and_password(texts)
    if len(texts) > 1:
        return Malformed("both 'authorization' and 'username' or 'password'")
    return _authorization(texts["authorization"])


def _name_and_password(texts: dict[str, str]) -> Presented:
    if "username" not in texts:
        return Malformed("'password' without 'username'")
    if "password" not in texts:
        return Malformed("'username' without 'password'")
    return _checked(texts["username"], texts["password"])


def _authorization(value: str) -> Presented:
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" if rest:
            return Token(rest)
        case "basic" if rest:
            return _basic(rest)
        case "bearer" | "basic":
            return Malformed(f"'authorization' has the scheme {scheme.lower()} and nothing after it")
    return Malformed("'authorization' has neither the scheme basic nor bearer")


def _basic(encoded: str) -> Presented:
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return Malformed("'authorization' basic is not base64 of UTF-8")
    if not (name and colon and password):
        return Malformed("'authorization' basic is not name:password")
    return _checked(name, password)


def _checked(name: str, password: str) -> Presented:
    if len(name) > _LONGEST_NAME:
        return Malformed(f"the name is longer than {_LONGEST_NAME} characters")
    return NamePassword(name, password)
