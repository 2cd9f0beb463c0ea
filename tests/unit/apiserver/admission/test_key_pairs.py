import base64
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roadstead.apiserver.admission.key_pairs import key_pair_problem

KEY, OTHER, ED = (
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])


def certificate():
    builder = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 1)
    builder = builder.not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2036, 1, 1))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def written(key, form=PrivateFormat.PKCS8):
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def block(kind):
    return f"-----BEGIN {kind}-----\neA==\n-----END {kind}-----\n"


CERTIFICATE = certificate()
SWITCHED = "tls: failed to find certificate PEM data in certificate input, but did find a private key"


@pytest.mark.parametrize(
    ("chain", "key", "problem"),
    [
        (CERTIFICATE, written(KEY), ""),
        (CERTIFICATE, "# a comment\n" + written(KEY, PrivateFormat.TraditionalOpenSSL), ""),
        (CERTIFICATE, written(OTHER), "tls: private key does not match public key"),
        (CERTIFICATE, written(ED), "tls: private key type does not match public key type"),
        (written(KEY), CERTIFICATE, f"{SWITCHED}; PEM inputs may have been switched"),
        ("", "", "tls: failed to find any PEM data in certificate input"),
        (CERTIFICATE, "x", "tls: failed to find any PEM data in key input"),
        (CERTIFICATE, CERTIFICATE, "tls: found a certificate rather than a key in the PEM for the private key"),
        (block("CERTIFICATE"), written(KEY), "x509: malformed certificate"),
        (CERTIFICATE, block("PRIVATE KEY"), "tls: failed to parse private key"),
    ],
)
def test_what_is_wrong_with_a_pair(chain, key, problem):
    assert key_pair_problem(*(base64.b64encode(part.encode()).decode() for part in (chain, key))) == problem


def test_other_blocks_are_named():
    odd = base64.b64encode(block("FOO").encode()).decode()
    pem = base64.b64encode(CERTIFICATE.encode()).decode()
    assert key_pair_problem(odd, odd).endswith("of the following types: [FOO]")
    assert 'ending in "PRIVATE KEY"' in key_pair_problem(pem, odd)
    assert key_pair_problem("not base64!", "") == "tls: failed to find any PEM data in certificate input"
