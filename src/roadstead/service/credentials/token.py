"""Signed tokens: what a login hands out and every replica can check without asking anybody.

JSON Web Tokens (RFC 7519) with HMAC-SHA256 under a key that all replicas mount. The algorithm is pinned: a token that
names another, `none` above all, is refused before its claims are read. The key file has one key per line; the first
signs, all verify, so a key is rotated by putting the new one on top and taking the old one out later.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from roadstead.service.credentials.presented import Token
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal, unauthenticated

Keys = tuple[bytes, ...]
_HEADER = {"alg": "HS256", "typ": "JWT"}
_SHORTEST_KEY = 32


class _Claims(msgspec.Struct):
    sub: str
    exp: float
    nbf: float = 0
    iss: str | None = None
    aud: str | list[str] = []
    groups: list[str] = []


def parse_token_keys(content: bytes) -> Keys:
    """Read keys, one per line. Raise ValueError if there is none or one is too short to be worth anything."""
    keys = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not keys:
        raise ValueError("no key")
    for number, key in enumerate(keys, start=1):
        if len(key) < _SHORTEST_KEY:
            raise ValueError(f"key {number} is shorter than {_SHORTEST_KEY} characters")
    return keys


def sign(claims: Mapping[str, Any], key: bytes) -> str:
    """Return a token with these claims."""
    signed = f"{_encode(msgspec.json.encode(_HEADER))}.{_encode(msgspec.json.encode(claims))}"
    return f"{signed}.{_encode(_mac(key, signed))}"


class TokenVerifier:
    """Issues and checks tokens of one issuer for one audience, with the keys that `keys()` returns at that moment.

    `skew` is by how many seconds the clocks of two machines may differ.
    """

    def __init__(
        self,
        keys: Callable[[], Keys],
        *,
        issuer: str,
        audience: str,
        skew: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._skew = skew
        self._clock = clock

    def issue(self, identity: Identity, lifetime: float) -> tuple[str, float]:
        """Return a token for `identity` and the time at which it expires."""
        expires = self._clock() + lifetime
        claims = {
            "sub": identity.name,
            "exp": expires,
            "iss": self._issuer,
            "aud": self._audience,
            "groups": identity.groups,
        }
        return sign(claims, self._keys()[0]), expires

    def verify(self, claim: Token) -> Identity | Refusal:
        """Return whom the token speaks for, or a refusal."""
        try:
            claims = self._read(claim.text)
        except (ValueError, binascii.Error, msgspec.DecodeError) as error:
            return unauthenticated(f"token: {error}")
        if problem := self._problem(claims, self._clock()):
            return unauthenticated(f"token of {claims.sub!r}: {problem}")
        return Identity(name=claims.sub, proof="token", groups=tuple(claims.groups), expires=claims.exp)

    def _read(self, text: str) -> _Claims:
        signed, dot, signature = text.rpartition(".")
        header, middle, payload = signed.partition(".")
        if not (dot and middle) or "." in payload:
            raise ValueError("not a JSON Web Token")
        found = msgspec.json.decode(_decode(header))
        if not isinstance(found, dict) or found.get("alg") != _HEADER["alg"]:
            raise ValueError("its algorithm is not HS256")
        given = _decode(signature)
        if not any(hmac.compare_digest(given, _mac(key, signed)) for key in self._keys()):
            raise ValueError("wrong signature")
        return msgspec.json.decode(_decode(payload), type=_Claims)

    def _problem(self, claims: _Claims, now: float) -> str | None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if not claims.sub:
            return "no subject"
        if now >= claims.exp + self._skew:
            return "expired"
        if now < claims.nbf - self._skew:
            return "not valid yet"
        if claims.iss != self._issuer:
            return "wrong issuer"
        return None if self._audience in audiences else "wrong audience"


def _mac(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
