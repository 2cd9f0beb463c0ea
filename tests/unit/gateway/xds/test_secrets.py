from roadstead.gateway import ir
from roadstead.gateway.xds.secrets import certificate_secret, trust_secret


def test_a_certificate_and_a_bundle_of_one_name_do_not_collide():
    certificate = certificate_secret(ir.Certificate("ns/a", b"chain", ir.PrivateKey(b"key")))
    bundle = trust_secret(ir.TrustBundle("ns/a", b"authorities"))
    assert (certificate.name, bundle.name) == ("certificate:ns/a", "trust:ns/a")
    assert certificate.tls_certificate.certificate_chain.inline_bytes == b"chain"
    assert certificate.tls_certificate.private_key.inline_bytes == b"key"
    assert bundle.validation_context.trusted_ca.inline_bytes == b"authorities"
