"""Do a certificate and a key belong together? In the words of Go's crypto/tls (X509KeyPair), as Kubernetes warns."""

import base64
import binascii
import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

_BLOCK = re.compile(r"^-----BEGIN ([^\n]*)-----[ \t\r]*\n(.*?)^-----END \1-----[ \t\r]*$", re.MULTILINE | re.DOTALL)
_KINDS = (
    (rsa.RSAPublicKey, rsa.RSAPrivateKey),
    (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey),
    (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey),
)


def key_pair_problem(certificate: str, key: str) -> str:
    """Return why a certificate and a key, each PEM in base64, are no pair; empty if they are one."""
    chain, keys = list(_blocks(certificate)), list(_blocks(key))
    certificates = [body for kind, body in chain if kind == "CERTIFICATE"]
    found = [body for kind, body in keys if kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY")]
    if not certificates:
        return _no_certificate([kind for kind, _ in chain])
    if not found:
        return _no_key([kind for kind, _ in keys])
    return _mismatch(certificates[0], found[0])


def _blocks(encoded: str) -> Iterator[tuple[str, bytes]]:
    try:
        text = base64.b64decode(encoded).decode("latin-1")
    except ValueError:
        return
    for kind, body in _BLOCK.findall(text):
        lines = body.split("\n\n", 1)[-1] if ":" in body else body
        try:
            yield kind, base64.b64decode("".join(lines.split()), validate=True)
        except binascii.Error:
            continue


def _no_certificate(skipped: list[str]) -> str:
    if not skipped:
        return "tls: failed to find any PEM data in certificate input"
    if len(skipped) == 1 and skipped[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
            "PEM inputs may have been switched"
        )
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks '
        f"of the following types: [{' '.join(skipped)}]"
    )


def _no_key(skipped: list[str]) -> str:
    if not skipped:
        return "tls: failed to find any PEM data in key input"
    if skipped == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks '
        f"of the following types: [{' '.join(skipped)}]"
    )


def _mismatch(certificate: bytes, key: bytes) -> str:
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = load_der_private_key(key, password=None)
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    for its_public, its_private in _KINDS:
        if isinstance(public, its_public):
            if not isinstance(private, its_private):
                return "tls: private key type does not match public key type"
            form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            same = private.public_key().public_bytes(*form) == public.public_bytes(*form)
            return "" if same else "tls: private key does not match public key"
    return "tls: unknown public key algorithm"
