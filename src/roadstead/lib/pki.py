"""A small certificate authority: for the API server and its clients, and for the TLS Secrets of a system on a laptop.

Keys are ECDSA P-256: quick to make, and every gRPC and Kubernetes client takes them. Time is an argument.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LIFE = timedelta(days=3650)
_CERTIFICATE_LIFE = timedelta(days=397)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM; the key does not show in a repr."""

    certificate: bytes
    key: bytes = field(repr=False)

    def write(self, certificate: Path, key: Path) -> None:
        """Write both files, the key readable by its owner alone from its first byte on."""
        certificate.write_bytes(self.certificate)
        write_private(key, self.key)


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600, replacing what was there in one step."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_bytes(content)
    draft.replace(path)


class CertificateAuthority:
    """Signs certificates for servers and clients."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair
        self._certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"the authority's key is {type(key).__name__}; Roadstead makes EC keys")
        self._key = key

    @classmethod
    def create(cls, common_name: str, now: datetime) -> "CertificateAuthority":
        """Make a new self-signed authority, valid for ten years from `now` (aware datetime)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(common_name)
        builder = (
            _builder(subject, subject, key.public_key(), now, _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(key, hashes.SHA256())
        return cls(KeyPair(_pem(certificate), _key_pem(key)))

    @classmethod
    def load_or_create(cls, certificate: Path, key: Path, common_name: str, now: datetime) -> "CertificateAuthority":
        """Return the authority in these files, made and written first if they are missing.

        Raises ValueError that names the file when it is there and cannot be read as what it should be.
        """
        if not certificate.exists() or not key.exists():
            authority = cls.create(common_name, now)
            certificate.parent.mkdir(parents=True, exist_ok=True)
            authority.pair.write(certificate, key)
            return authority
        try:
            return cls(KeyPair(certificate.read_bytes(), key.read_bytes()))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{certificate} and {key} are not a certificate authority ({error}); remove both"
            ) from error

    def issue(
        self,
        common_name: str,
        now: datetime,
        *,
        hosts: Sequence[str] = (),
        organizations: Sequence[str] = (),
        life: timedelta = _CERTIFICATE_LIFE,
    ) -> KeyPair:
        """Return a new key and a certificate for it.

        With `hosts` (DNS names, wildcards, IP addresses as text) it is for a server, without for a client;
        Kubernetes reads `common_name` as the user and `organizations` as its groups.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(_name(common_name, organizations), self._certificate.subject, key.public_key(), now, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_alternative_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return KeyPair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


def covered_names(certificate_pem: bytes) -> list[str]:
    """Return the DNS names and IP addresses that a certificate is valid for. Raises ValueError if it is not PEM."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def expiry(certificate_pem: bytes) -> datetime:
    """Return when the certificate stops being valid (aware datetime). Raises ValueError if it is not PEM."""
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
