"""Secrets become certificates that Envoy will take, or a sentence that says why not.

One that Envoy would refuse must never reach it: a refused resource blocks every later change. One that only clients
will refuse (expired, other names) is served, because a browser or a test may choose to trust it, and is warned about.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from roadstead.api.objects import Object, key_of
from roadstead.gateway.ir import Certificate, PrivateKey
from roadstead.gateway.translate.fields import mapping, text
from roadstead.gateway.translate.hostnames import ANY, certificate_covers
from roadstead.gateway.translate.problem import Problem

TLS_SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105 (the name of a type, not a password)
_CERTIFICATE_FIELD, _KEY_FIELD = "tls.crt", "tls.key"
_SMALLEST_RSA_KEY = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_CACHED_PAIRS = 4096
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for certificates and keys that are none, or that are made against the standard."""


class _Pair(NamedTuple):
    """A chain and its key written anew, so that nothing reaches Envoy that was not understood here."""

    chain: bytes
    key: PrivateKey
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    disorder: str


class UnusableSecret(Exception):
    """The Secret holds no certificate that can be served; the message says why."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate that can be served, what it is valid for, and since and until when.

    `disorder`: which certificate of the chain is not signed by the one after it, and what the two say.
    """

    certificate: Certificate
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    disorder: str = ""

    def covers(self, hostname: str) -> bool:
        """Say whether clients that ask for this host will take it; any host (`*`) cannot be judged and is covered."""
        return hostname == ANY or any(certificate_covers(name, hostname) for name in self.names)

    def described(self) -> str:
        """Return the Secret and the names found in it, for messages."""
        return f"Secret {self.certificate.name} ({', '.join(self.names) or 'no subject alternative names'})"


def server_certificate(secret: Object) -> ServerCertificate:
    """Read a TLS Secret. Raises UnusableSecret whose message names the Secret, the field and the remedy."""
    name = str(key_of(secret))
    if text(secret.get("type")) != TLS_SECRET_TYPE:
        raise UnusableSecret(f"Secret {name} has type {secret.get('type')!r}; a certificate needs {TLS_SECRET_TYPE}")
    chain = _content(secret, name, _CERTIFICATE_FIELD)
    key = _content(secret, name, _KEY_FIELD)
    try:
        pair = _checked(chain, key)
    except UnusableSecret as unusable:
        raise UnusableSecret(f"Secret {name}: {unusable}") from None
    except UNREADABLE as error:
        raise UnusableSecret(f"Secret {name}: {_CERTIFICATE_FIELD} cannot be read: {error}") from None
    certificate = Certificate(name, pair.chain, pair.key)
    return ServerCertificate(certificate, pair.names, pair.not_before, pair.not_after, pair.disorder)


def chain_problem(found: ServerCertificate) -> Problem | None:
    """Say whether some clients will not find the way from the certificate to an authority."""
    return Problem("ChainDisordered", f"{found.described()}: {found.disorder}") if found.disorder else None


def validity_problem(found: ServerCertificate, now: datetime) -> Problem | None:
    """Say whether clients will find the certificate out of its time."""
    if now >= found.not_after:
        return Problem("Expired", f"{found.described()} expired at {found.not_after:%Y-%m-%dT%H:%M:%SZ}; renew it")
    if now < found.not_before:
        return Problem(
            "NotYetValid", f"{found.described()} is valid only from {found.not_before:%Y-%m-%dT%H:%M:%SZ}; check clocks"
        )
    return None


def uncovered_problem(found: Iterable[ServerCertificate], hostnames: Iterable[str]) -> Problem | None:
    """Say which of these hosts no certificate is valid for, and for what they are valid."""
    certificates = tuple(found)
    missing = [host for host in dict.fromkeys(hostnames) if not any(one.covers(host) for one in certificates)]
    if not certificates or not missing:
        return None
    return Problem(
        "HostnameNotCovered",
        f"clients of {', '.join(missing)} will refuse the connection: not covered by "
        f"{'; '.join(one.described() for one in certificates)}. Add the name to the certificate",
    )


def _content(secret: Mapping[str, Any], name: str, field: str) -> bytes:
    encoded = text(mapping(secret.get("data")).get(field))
    if not encoded:
        raise UnusableSecret(f"Secret {name} has no {field}, or it is empty")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableSecret(f"Secret {name}: {field} is not base64") from None


@lru_cache(maxsize=_CACHED_PAIRS)
def _checked(chain: bytes, key: bytes) -> _Pair:
    certificates = _chain(chain)
    private = _private_key(key)
    public = _encoded(private.public_key())
    leaf = certificates[0]
    if _subject_key(leaf) != public:
        raise UnusableSecret(_mismatch(certificates, public))
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
    plain = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    since, until = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return _Pair(pem, PrivateKey(plain), _names(leaf), since, until, _disorder(certificates))


def _chain(chain: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(chain)
    except UNREADABLE:
        raise UnusableSecret(f"{_CERTIFICATE_FIELD} holds no PEM certificate") from None


def _private_key(key: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        loaded = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise UnusableSecret(f"{_KEY_FIELD} is encrypted; store it without a pass phrase") from None
    except UNREADABLE:
        raise UnusableSecret(f"{_KEY_FIELD} holds no PEM private key") from None
    if isinstance(loaded, rsa.RSAPrivateKey) and loaded.key_size >= _SMALLEST_RSA_KEY:
        return loaded
    if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name in _CURVES:
        return loaded
    raise UnusableSecret(f"{_KEY_FIELD} must be RSA of at least 2048 bits or ECDSA on P-256, P-384 or P-521")


def _subject_key(certificate: x509.Certificate) -> bytes | None:
    try:
        return _encoded(certificate.public_key())
    except UNREADABLE:
        return None


def _encoded(public_key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = public_key.public_bytes(serialization.Encoding.DER, form)
    return encoded


def _mismatch(certificates: list[x509.Certificate], public: bytes) -> str:
    for position, certificate in enumerate(certificates[1:], 2):
        if _subject_key(certificate) == public:
            return (
                f"{_CERTIFICATE_FIELD} is in the wrong order: the certificate of {_KEY_FIELD} ({_about(certificate)}) "
                f"is number {position}, it must be the first, before that of {_about(certificates[0])}"
            )
    return f"{_KEY_FIELD} is not the key of the certificate in {_CERTIFICATE_FIELD} ({_about(certificates[0])})"


def _about(certificate: x509.Certificate) -> str:
    """Return the subject of a certificate and the names that it is valid for."""
    names = ", ".join(_names(certificate))
    return certificate.subject.rfc4514_string() + (f", for {names}" if names else "")


def _disorder(certificates: list[x509.Certificate]) -> str:
    """Say where a chain is broken: each certificate must be issued by the next one (RFC 5246, 7.4.2)."""
    for position, (one, following) in enumerate(pairwise(certificates), 1):
        if one.issuer != following.subject:
            return (
                f"certificate {position} of {_CERTIFICATE_FIELD} ({_about(one)}) was issued by "
                f"{one.issuer.rfc4514_string()}, but certificate {position + 1} is {_about(following)}; "
                "put each before the one that issued it"
            )
    return ""


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)
