"""What a token claims (RFC 7519, section 4.1), and whether that is enough. Pure; signatures are for others."""

import base64
from typing import Any

import msgspec

from roadstead.service.identity import Identity


class Claims(msgspec.Struct):
    """The registered claims that count here. `exp` is required: a token without an end could never be taken back."""

    exp: float
    nbf: float = 0
    iss: str | None = None
    aud: str | list[str] = []


class Expectations(msgspec.Struct, frozen=True):
    """What a token must say. `skew` is by how many seconds the clocks of two machines may differ.

    `name` and `groups` are the claims that become an identity's.
    """

    issuer: str
    audience: str
    skew: float = 30.0
    name: str = "sub"
    groups: str = "groups"

    def identity(self, payload: bytes, now: float) -> Identity:
        """Return whom a token with this payload speaks for; raise ValueError that says why it speaks for nobody."""
        claims = msgspec.json.decode(payload, type=Claims)
        document = msgspec.json.decode(payload)
        name, groups = document.get(self.name), document.get(self.groups)
        if not isinstance(name, str) or not name:
            raise ValueError(f"no subject in {self.name!r}")
        if problem := self._problem(claims, now):
            raise ValueError(f"{problem} (of {name!r})")
        return Identity(name=name, proof="token", groups=_names(groups), expires=claims.exp)

    def _problem(self, claims: Claims, now: float) -> str | None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if now >= claims.exp + self.skew:
            return "expired"
        if now < claims.nbf - self.skew:
            return "not valid yet"
        if claims.iss != self.issuer:
            return "wrong issuer"
        return None if self.audience in audiences else "wrong audience"


def _names(groups: Any) -> tuple[str, ...]:
    if groups is None:
        return ()
    if isinstance(groups, list) and all(isinstance(group, str) for group in groups):
        return tuple(groups)
    raise ValueError("its groups are no list of names")


def decode_base64(text: str) -> bytes:
    """Decode a part of a token. Raises ValueError (binascii.Error is one)."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
