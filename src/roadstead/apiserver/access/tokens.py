"""Tokens of service accounts: signed JWTs (ES256) that name the account, who may accept them, and until when.

A token is good only while its account exists, and, if it is bound to a pod, while that pod exists; both by uid, so that
a namesake made later inherits nothing (kubernetes pkg/serviceaccount/claims.go).
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from roadstead.api.objects import Object
from roadstead.apiserver.calls import User
from roadstead.apiserver.store import Location, Store
from roadstead.lib.pki import write_private

_P256_BYTES = 32
_REMEMBERED = 1024
SHORTEST_SECONDS, LONGEST_SECONDS = 600, 1 << 32
DEFAULT_SECONDS = 3600


class ServiceAccountTokens:
    """Signs and verifies the tokens of one cluster."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, issuer: str, store: Store, clock: Callable[[], datetime]
    ) -> None:
        self.issuer = issuer
        self._key = key
        self._store = store
        self._clock = clock
        self._key_id = key_id(key.public_key())
        self._verified: dict[str, Mapping[str, Any]] = {}

    def configuration(self) -> Object:
        """Return how others may check these tokens (OpenID Connect Discovery; as much of it as Kubernetes serves)."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer.rstrip('/')}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def keys(self) -> Object:
        """Return the public key that the tokens are signed with, as a JSON Web Key Set (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_pack(number.to_bytes(_P256_BYTES, "big")) for number in (numbers.x, numbers.y))
        key = {"use": "sig", "kty": "EC", "kid": self._key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}
        return {"keys": [key]}

    def sign(self, account: Object, audiences: Sequence[str], seconds: int, bound: Mapping[str, Any]) -> str:
        """Return a token for a service account; `bound` names a pod by `name` and `uid`, or is empty."""
        now = int(self._clock().timestamp())
        metadata = account["metadata"]
        kubernetes: Object = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if bound:
            kubernetes["pod"] = dict(bound)
        claims = {
            "iss": self.issuer,
            "aud": list(audiences) or [self.issuer],
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": kubernetes,
        }
        header = {"alg": "ES256", "kid": self._key_id, "typ": "JWT"}
        signed = f"{_pack(msgspec.json.encode(header))}.{_pack(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_pack(r.to_bytes(_P256_BYTES, 'big') + s.to_bytes(_P256_BYTES, 'big'))}"

    def verify(self, token: str, audiences: Sequence[str] = ()) -> User | None:
        """Return the service account whose valid token this is, or None."""
        claims = self._claims(token)
        if claims is None or claims.get("iss") != self.issuer:
            return None
        if not set(claims.get("aud") or ()) & set(audiences or [self.issuer]):
            return None
        now = self._clock().timestamp()
        if not claims.get("nbf", 0) <= now < claims.get("exp", 0):
            return None
        return self._account(claims.get("kubernetes.io") or {})

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        """Return what a token of ours claims. That the signature is right stays so: it is checked once."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._read(token)
            if claims is not None:
                while len(self._verified) >= _REMEMBERED:
                    del self._verified[next(iter(self._verified))]
                self._verified[token] = claims
        return claims

    def _read(self, token: str) -> Mapping[str, Any] | None:
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        try:
            raw = _unpack(signature)
            if len(raw) != 2 * _P256_BYTES or msgspec.json.decode(_unpack(header)).get("alg") != "ES256":
                return None
            r, s = (int.from_bytes(part, "big") for part in (raw[:_P256_BYTES], raw[_P256_BYTES:]))
            self._key.public_key().verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
            return msgspec.json.decode(_unpack(payload), type=dict[str, Any])
        except (ValueError, AttributeError, InvalidSignature):
            return None

    def _account(self, names: Mapping[str, Any]) -> User | None:
        namespace, account, pod = names.get("namespace", ""), names.get("serviceaccount") or {}, names.get("pod")
        if not self._exists("serviceaccounts", namespace, account):
            return None
        extra: dict[str, list[str]] = {}
        if pod:
            if not self._exists("pods", namespace, pod):
                return None
            extra["authentication.kubernetes.io/pod-name"] = [pod["name"]]
            extra["authentication.kubernetes.io/pod-uid"] = [pod["uid"]]
        return service_account_user(namespace, account["name"], account["uid"], extra)

    def _exists(self, collection: str, namespace: str, named: Mapping[str, Any]) -> bool:
        record = self._store.get(Location(collection, namespace, named.get("name", "")))
        return record is not None and record.decode()["metadata"].get("uid") == named.get("uid")


def service_account_user(namespace: str, name: str, uid: str = "", extra: dict[str, list[str]] | None = None) -> User:
    """Return the user that a service account acts as."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a key by which tokens refer to it, made as Kubernetes makes it: a digest of its DER form."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _pack(hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).digest())


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a signing key for a server that keeps no state."""
    return ec.generate_private_key(ec.SECP256R1())


def load_or_create_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the signing key in a file, made and written first (mode 0600) if there is none.

    Raises ValueError that names the file if it holds something else.
    """
    if not path.exists():
        key = new_key()
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, key.private_bytes(encoding, form, serialization.NoEncryption()))
        return key
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a private key ({error}); remove it to have a new one made") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} is not an EC key; remove it to have a new one made")
    return loaded


def _pack(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpack(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
