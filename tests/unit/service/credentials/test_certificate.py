import pytest

from roadstead.service.credentials.certificate import CertificateVerifier
from roadstead.service.credentials.forwarded import HEADER, TrustedGateways
from roadstead.service.identity import Identity

PEER = "ipv4:10.0.0.7:40000"
ID = "spiffe://cluster.local/ns/user-platform/sa/client"
GATEWAY = "spiffe://cluster.local/ns/user-platform/sa/gateway"


def tls(*uris: str, dns: tuple[str, ...] = ()) -> dict:
    return {"peer_uri": [uri.encode() for uri in uris], "peer_dns": [name.encode() for name in dns]}


def told(verifier: CertificateVerifier, connection: dict, *metadata, peer: str = PEER) -> str:
    result = verifier.verify(connection, peer, metadata)
    return result.name if isinstance(result, Identity) else result.reason


@pytest.mark.parametrize(("connection", "answer"), [
    (tls(ID), ID),
    (tls(ID, dns=("a.example.com",)), ID),
    (tls("https://example.com/x", dns=("a.example.com", "b.example.com")), "a.example.com"),
    (tls(dns=("*.example.com",)), "no credentials"),
    (tls(dns=("*.example.com", "a.example.com")), "a.example.com"),
    (tls(ID, GATEWAY), "a certificate with more than one SPIFFE ID"),
    (tls("spiffe://cluster.local"), "spiffe://cluster.local"),
    (tls("spiffe://cluster.local/../x"), "'spiffe://cluster.local/../x' is no SPIFFE ID"),
    (tls("spiffe://cluster.local/"), "'spiffe://cluster.local/' is no SPIFFE ID"),
    (tls("spiffe:cluster.local"), "'spiffe:cluster.local' is no SPIFFE ID"),
    (tls("spiffe://user@x/y"), "'spiffe://user@x/y' is no SPIFFE ID"),
    ({}, "no credentials"),
])  # fmt: skip
def test_names_of_a_certificate(connection, answer):
    assert told(CertificateVerifier(), connection) == answer


def test_it_is_a_proof_of_its_own():
    assert CertificateVerifier().verify(tls(ID), PEER, ()) == Identity(name=ID, proof="certificate")


@pytest.mark.parametrize(("connection", "answer"), [
    (tls(ID), ID),
    (tls("spiffe://elsewhere/x"), "spiffe://elsewhere/x is of another trust domain"),
    (tls(dns=("a.example.com",)), "no credentials"),
])  # fmt: skip
def test_trust_domains(connection, answer):
    assert told(CertificateVerifier(trust_domains=["cluster.local"]), connection) == answer


HEADER_OF_CLIENT = (HEADER, f"Hash=1;URI={ID}")


@pytest.mark.parametrize(("connection", "metadata", "answer"), [
    (tls(GATEWAY), [HEADER_OF_CLIENT], ID),
    (tls(GATEWAY), [], f"no credentials; the gateway sent no usable {HEADER}"),
    (tls(GATEWAY), [(HEADER, "Hash=1")], f"no credentials; the gateway sent no usable {HEADER}"),
    (tls("spiffe://cluster.local/liar"), [HEADER_OF_CLIENT], "spiffe://cluster.local/liar"),
    ({}, [HEADER_OF_CLIENT], "no credentials"),
    (tls(GATEWAY), [HEADER_OF_CLIENT] * 2, f"metadata {HEADER!r} is binary or there more than once"),
])  # fmt: skip
def test_only_a_trusted_gateways_word_counts(connection, metadata, answer):
    verifier = CertificateVerifier(gateways=TrustedGateways.of([GATEWAY]))
    assert told(verifier, connection, *metadata) == answer


def test_a_gateway_by_network():
    verifier = CertificateVerifier(gateways=TrustedGateways.of(networks=["10.0.0.0/24"]))
    assert told(verifier, {}, HEADER_OF_CLIENT) == ID
    assert told(verifier, {}, HEADER_OF_CLIENT, peer="ipv4:10.0.1.7:40000") == "no credentials"
