"""Public keys that tokens are checked with: a JSON Web Key Set (RFC 7517). Pure; `key_sources.py` gets it.

Every key is pinned to the algorithms that it is for, so no token can choose how it is checked: not `none`, not a public
key misused as an HMAC secret, not a weaker hash. Keys for encryption, symmetric ones and unknown ones are left out, as
the RFC wants it; a set without any key that is left is an error.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from roadstead.service.credentials.claims import decode_base64

try:
    from joserfc import jws
    from joserfc.errors import BadSignatureError, JoseError
    from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
except ModuleNotFoundError as missing:
    problem = "tokens of other issuers need joserfc: install it with `pip install 'roadstead[jwt]'`"
    raise ModuleNotFoundError(problem, name=missing.name) from missing

PublicKey = RSAKey | ECKey | OKPKey
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_OKP = ("EdDSA", "Ed25519")
ALGORITHMS = frozenset((*_RSA, *_CURVES.values(), *_OKP))
"""All that a key of an issuer can be for."""
_SHORTEST_RSA = 2048


class PinnedKey(msgspec.Struct, frozen=True):
    """A key and the algorithms that it is for."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: PublicKey


class KeySet(msgspec.Struct, frozen=True):
    """The keys of an issuer at one time. `version` is another one as soon as anything changes."""

    keys: tuple[PinnedKey, ...]
    version: str

    def find(self, kid: str | None) -> tuple[PinnedKey, ...]:
        """Return the keys of this name; without a name, the only key there is."""
        if kid is None:
            return self.keys if len(self.keys) == 1 else ()
        return tuple(key for key in self.keys if key.kid == kid)


def parse_key_set(content: bytes) -> KeySet:
    """Read a JSON Web Key Set. Raise ValueError if it is none, or if none of its keys is fit to check tokens."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set: expected an object with the list 'keys'")
    keys = tuple(pinned for number, entry in enumerate(listed) if (pinned := _pinned(f"keys[{number}]", entry)))
    if not keys:
        raise ValueError("none of its keys is an RSA, EC or Ed25519 key for signatures")
    return KeySet(keys, hashlib.sha256(content).hexdigest())


def payload_signed_by(key: PinnedKey, text: str) -> bytes:
    """Return the payload of a token that this key has signed. Raise ValueError for any other token."""
    registry = jws.JWSRegistry(algorithms=key.algorithms, strict_check_header=False)
    try:
        payload = jws.deserialize_compact(text, key.key, registry=registry).payload
    except BadSignatureError as error:
        raise ValueError("wrong signature") from error
    except (JoseError, TypeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return payload or b""


def _pinned(place: str, entry: Any) -> PinnedKey | None:
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected an object")
    algorithms = _algorithms(entry) if _is_for_checking(entry) else ()
    if not algorithms:
        return None
    try:
        if entry["kty"] == "RSA":
            _check_length(entry["n"])
        key = JWKRegistry.import_key(_public_part(entry))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{place}: {str(error) or type(error).__name__}") from error
    kid = entry.get("kid")
    return PinnedKey(kid if isinstance(kid, str) else None, algorithms, key)  # type: ignore[arg-type]  # oct is left out


def _is_for_checking(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _algorithms(entry: Mapping[str, Any]) -> tuple[str, ...]:
    suitable: tuple[str, ...] = ()
    match entry.get("kty"):
        case "RSA":
            # OpenID Connect's default. PS256 and longer hashes only where the key says so.
            suitable = _RSA if "alg" in entry else ("RS256",)
        case "EC":
            suitable = tuple(filter(None, [_CURVES.get(str(entry.get("crv")))]))
        case "OKP" if entry.get("crv") == "Ed25519":
            suitable = _OKP
    if "alg" not in entry or entry.get("kty") == "OKP":
        return suitable
    return tuple(name for name in suitable if name == entry["alg"])


def _check_length(modulus: Any) -> None:
    if not isinstance(modulus, str):
        raise ValueError("its modulus 'n' is no text")
    if int.from_bytes(decode_base64(modulus)).bit_length() < _SHORTEST_RSA:
        raise ValueError(f"an RSA key shorter than {_SHORTEST_RSA} bits")


def _public_part(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what checking needs: a private key that somebody put there by mistake is not even read."""
    return {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
