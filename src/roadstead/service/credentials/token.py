"""Signed tokens: what a login hands out and every replica can check without asking anybody.

JSON Web Tokens (RFC 7519) with HMAC-SHA256 under a key that all replicas mount. The algorithm is pinned: a token that
names another, `none` above all, is refused before its claims are read. The key file has one key per line; the first
signs, all verify, so a key is rotated by putting the new one on top and taking the old one out later.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from roadstead.service.credentials.claims import Expectations, decode_base64
from roadstead.service.credentials.presented import Token
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal, unauthenticated

Keys = tuple[bytes, ...]
_HEADER = {"alg": "HS256", "typ": "JWT"}
_SHORTEST_KEY = 32


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
        self._expected = Expectations(issuer=issuer, audience=audience, skew=skew)
        self._clock = clock

    def issue(self, identity: Identity, lifetime: float) -> tuple[str, float]:
        """Return a token for `identity` and the time at which it expires."""
        expires = self._clock() + lifetime
        claims = {
            "sub": identity.name,
            "exp": expires,
            "iss": self._expected.issuer,
            "aud": self._expected.audience,
            "groups": identity.groups,
        }
        return sign(claims, self._keys()[0]), expires

    def verify(self, claim: Token) -> Identity | Refusal:
        """Return whom the token speaks for, or a refusal."""
        try:
            return self._expected.identity(self._payload(claim.text), self._clock())
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            return unauthenticated(f"token: {error}")

    def _payload(self, text: str) -> bytes:
        signed, dot, signature = text.rpartition(".")
        header, middle, payload = signed.partition(".")
        if not (dot and middle) or "." in payload:
            raise ValueError("not a JSON Web Token")
        found = msgspec.json.decode(decode_base64(header))
        if not isinstance(found, dict) or found.get("alg") != _HEADER["alg"]:
            raise ValueError("its algorithm is not HS256")
        given = decode_base64(signature)
        if not any(hmac.compare_digest(given, _mac(key, signed)) for key in self._keys()):
            raise ValueError("wrong signature")
        return decode_base64(payload)


def _mac(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
