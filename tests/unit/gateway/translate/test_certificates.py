import base64
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_objects import NOW, key_pair, secret

from roadstead.gateway.translate.certificates import (
    UnusableSecret,
    chain_problem,
    server_certificate,
    uncovered_problem,
    validity_problem,
)
from roadstead.lib.pki import CertificateAuthority, KeyPair

FOO = key_pair("foo.example.com", "*.bar.example.com", "10.0.0.1")


def refusal(obj: dict) -> str:
    with pytest.raises(UnusableSecret) as refused:
        server_certificate(obj)
    return str(refused.value)


def test_names_and_times_are_read_from_the_first_certificate() -> None:
    found = server_certificate(secret("edge", FOO))
    assert found.names == ("foo.example.com", "*.bar.example.com", "10.0.0.1")
    assert found.certificate.name == "user-platform/edge"
    assert found.not_before < NOW < found.not_after


def test_the_key_does_not_show() -> None:
    found = server_certificate(secret("edge", FOO))
    assert "PRIVATE" not in repr(found)


def test_a_chain_is_kept_whole() -> None:
    pair = KeyPair(FOO.certificate + key_pair("other.example.com").certificate, FOO.key)
    assert server_certificate(secret("edge", pair)).certificate.chain.count(b"BEGIN CERTIFICATE") == 2


def test_a_wrong_type_is_named() -> None:
    message = refusal(secret("edge", FOO, type_="Opaque"))
    assert message == "Secret user-platform/edge has type 'Opaque'; a certificate needs kubernetes.io/tls"


@pytest.mark.parametrize("field", ["tls.crt", "tls.key"])
def test_an_empty_field_is_named(field: str) -> None:
    obj = secret("edge", FOO)
    del obj["data"][field]
    assert refusal(obj) == f"Secret user-platform/edge has no {field}, or it is empty"


def test_what_is_not_base64_is_named() -> None:
    obj = secret("edge", FOO)
    obj["data"]["tls.key"] = "%%%"
    assert refusal(obj) == "Secret user-platform/edge: tls.key is not base64"


def test_what_is_not_pem_is_named() -> None:
    obj = secret("edge", FOO)
    obj["data"]["tls.crt"] = base64.b64encode(b"Hello world").decode()
    assert refusal(obj) == "Secret user-platform/edge: tls.crt holds no PEM certificate"


def test_a_key_that_is_not_pem_is_named() -> None:
    assert refusal(secret("edge", KeyPair(FOO.certificate, b"nothing"))).endswith("tls.key holds no PEM private key")


def test_a_key_of_another_certificate_is_told() -> None:
    message = refusal(secret("edge", KeyPair(FOO.certificate, key_pair("bar.example.com").key)))
    assert message == (
        "Secret user-platform/edge: tls.key is not the key of the certificate in tls.crt "
        "(CN=foo.example.com, for foo.example.com, *.bar.example.com, 10.0.0.1)"
    )


def test_a_chain_in_the_wrong_order_is_told() -> None:
    turned = KeyPair(key_pair("other.example.com").certificate + FOO.certificate, FOO.key)
    assert refusal(secret("edge", turned)) == (
        "Secret user-platform/edge: tls.crt is in the wrong order: the certificate of tls.key (CN=foo.example.com, for "
        "foo.example.com, *.bar.example.com, 10.0.0.1) is number 2, it must be the first, before that of "
        "CN=other.example.com, for other.example.com"
    )


def test_an_authority_that_did_not_sign_is_told_and_the_certificate_is_served() -> None:
    found = server_certificate(
        secret("edge", KeyPair(FOO.certificate + key_pair("x.example.com").certificate, FOO.key))
    )
    problem = chain_problem(found)
    assert problem is not None
    assert (problem.reason, problem.message) == (
        "ChainDisordered",
        "Secret user-platform/edge (foo.example.com, *.bar.example.com, 10.0.0.1): certificate 1 of tls.crt "
        "(CN=foo.example.com, for foo.example.com, *.bar.example.com, 10.0.0.1) was issued by CN=tests, but "
        "certificate 2 is CN=x.example.com, for x.example.com; put each before the one that issued it",
    )


def test_a_chain_with_its_authority_is_in_order() -> None:
    authority = CertificateAuthority.create("root", NOW)
    pair = authority.issue("leaf.example.com", NOW, hosts=["leaf.example.com"])
    whole = KeyPair(pair.certificate + authority.pair.certificate, pair.key)
    assert chain_problem(server_certificate(secret("edge", whole))) is None


def test_a_certificate_made_against_the_standard_is_told() -> None:
    """A certificate of version 2 (which has the number 1): the parser takes it for none."""
    der = x509.load_pem_x509_certificate(FOO.certificate).public_bytes(serialization.Encoding.DER)
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1
    odd = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(odd) + b"-----END CERTIFICATE-----\n"
    assert "tls.crt" in refusal(secret("edge", KeyPair(pem, FOO.key)))


def test_an_encrypted_key_is_told() -> None:
    key = serialization.load_pem_private_key(FOO.key, None)
    sealed = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass phrase"),
    )
    assert "tls.key is encrypted" in refusal(secret("edge", KeyPair(FOO.certificate, sealed)))


def test_a_key_that_envoy_refuses_is_told() -> None:
    weak = rsa.generate_private_key(65537, 1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert "must be RSA of at least 2048 bits" in refusal(secret("edge", KeyPair(FOO.certificate, weak)))


def test_expiry_is_told_with_its_time() -> None:
    found = server_certificate(secret("edge", key_pair("old.example.com", age_days=400)))
    problem = validity_problem(found, NOW)
    assert problem is not None
    assert problem.reason == "Expired"
    assert "Secret user-platform/edge (old.example.com) expired at 2026-11-19T12:00:00Z" in problem.message


def test_a_certificate_of_the_future_is_told() -> None:
    found = server_certificate(secret("edge", FOO))
    problem = validity_problem(found, NOW - timedelta(days=2))
    assert problem is not None
    assert problem.reason == "NotYetValid"


def test_hosts_that_no_certificate_covers_are_named_with_the_names_found() -> None:
    problem = uncovered_problem(
        [server_certificate(secret("edge", FOO))], ["foo.example.com", "a.bar.example.com", "baz.example.com", "*"]
    )
    assert problem is not None
    assert problem.message.startswith("clients of baz.example.com will refuse")
    assert "Secret user-platform/edge (foo.example.com, *.bar.example.com, 10.0.0.1)" in problem.message
