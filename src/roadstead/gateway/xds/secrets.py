"""SDS: certificates with their keys, and trusted authorities. A renewed one reaches Envoy without touching listeners:
new handshakes see it, open connections live on. Next: `listeners` and `clusters`, which name them.
"""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2

from roadstead.gateway.ir import Certificate, TrustBundle
from roadstead.gateway.xds.messages import ads
from roadstead.gateway.xds.resources import Ref, ResourceType


def certificate_ref(name: str) -> Ref:
    """Return the resource that holds the certificate of this name."""
    return Ref(ResourceType.SECRET, f"certificate:{name}")


def trust_ref(name: str) -> Ref:
    """Return the resource that holds the trust bundle of this name."""
    return Ref(ResourceType.SECRET, f"trust:{name}")


def certificate_secret(certificate: Certificate) -> Any:
    """Return the Secret with a chain and its private key."""
    pair = common_pb2.TlsCertificate(
        certificate_chain=base_pb2.DataSource(inline_bytes=certificate.chain),
        private_key=base_pb2.DataSource(inline_bytes=certificate.key.pem),
    )
    return secret_pb2.Secret(name=certificate_ref(certificate.name).name, tls_certificate=pair)


def trust_secret(bundle: TrustBundle) -> Any:
    """Return the Secret with the authorities that a peer's certificate may come from."""
    context = common_pb2.CertificateValidationContext(trusted_ca=base_pb2.DataSource(inline_bytes=bundle.authorities))
    return secret_pb2.Secret(name=trust_ref(bundle.name).name, validation_context=context)


def by_sds(ref: Ref) -> Any:
    """Return the reference to a secret that comes over ADS."""
    return secret_pb2.SdsSecretConfig(name=ref.name, sds_config=ads())
