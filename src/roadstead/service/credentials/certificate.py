"""Who is calling, by a certificate: its SPIFFE ID, or else its first DNS name. Pure.

The certificate is the peer's own, which TLS has verified, or the one that a trusted gateway says it has seen. Needs
mutual TLS (`Tls(client_ca=…)`), or a gateway that has it.
"""

import re
from collections.abc import Iterable, Mapping

from roadstead.service.credentials.connection import address_of
from roadstead.service.credentials.forwarded import HEADER, Names, TrustedGateways, forwarded_names
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal, unauthenticated

AuthContext = Mapping[str, Iterable[bytes]]
# SPIFFE-ID, section 2: a trust domain, and path segments that are neither empty nor dots.
_SPIFFE = re.compile(r"spiffe://(?P<domain>[a-z0-9._-]{1,255})(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)*")


class CertificateVerifier:
    """Tells callers by certificate.

    With `trust_domains`, only SPIFFE IDs of these domains count, and no DNS names. `gateways` are those whose
    `x-forwarded-client-cert` is believed; what they forward is then who calls, never they themselves.
    """

    def __init__(self, *, trust_domains: Iterable[str] = (), gateways: TrustedGateways | None = None) -> None:
        self._trust_domains = frozenset(trust_domains)
        self._gateways = gateways or TrustedGateways()

    def verify(self, connection: AuthContext, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> "_Verified":
        """Return who it is, from a context's `auth_context()` and `peer()` and the metadata; or a refusal."""
        shown = shown_names(connection)
        if not self._gateways.include(shown, address_of(peer)):
            return self._named(shown, "no credentials")
        try:
            forwarded = forwarded_names(metadata)
        except ValueError as error:
            return unauthenticated(str(error), f"unusable credentials: {error}")
        return self._named(forwarded or Names(), f"no credentials; the gateway sent no usable {HEADER}")

    def _named(self, names: Names, otherwise: str) -> "_Verified":
        spiffe = [uri for uri in names.uris if uri.startswith("spiffe:")]
        if len(spiffe) > 1:
            return unauthenticated("a certificate with more than one SPIFFE ID")
        if spiffe:
            return self._spiffe(spiffe[0])
        # A wildcard says where a server may be found, not who calls.
        host = next((name for name in names.dns if "*" not in name), None)
        if host is None or self._trust_domains:
            return unauthenticated(otherwise)
        return Identity(name=host, proof="certificate")

    def _spiffe(self, uri: str) -> "_Verified":
        found = _SPIFFE.fullmatch(uri)
        if found is None:
            return unauthenticated(f"{uri!r} is no SPIFFE ID")
        if self._trust_domains and found["domain"] not in self._trust_domains:
            return unauthenticated(f"{uri} is of another trust domain")
        return Identity(name=uri, proof="certificate")


_Verified = Identity | Refusal


def shown_names(connection: AuthContext) -> Names:
    """Return the names in the certificate that a connection's other end has shown."""
    return Names(_texts(connection, "peer_uri"), _texts(connection, "peer_dns"))


def _texts(connection: AuthContext, key: str) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in connection.get(key, ()))
