"""Makes the TLS Secrets that a project lists in `[certificates]`, signed by an authority of the project's own.

Keys never enter version control, so what a manifest refers to has to be made on each machine: `certs/ca.crt` is what
clients trust, and each Secret becomes a manifest that kubectl can apply. A certificate that is still good is kept.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from roadstead.api.objects import Object
from roadstead.lib.pki import CertificateAuthority, KeyPair, covered_names, expiry, write_private
from roadstead.lib.yaml_depth import load_yaml
from roadstead.node.project import Certificate, Project

RENEW_BEFORE = timedelta(days=30)
AUTHORITY_NAME = "Roadstead project authority"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one certificate; `reason` says why it was made anew, and is empty when it was kept."""

    certificate: Certificate
    expires: datetime
    reason: str


def authority_files(project_file: Path) -> tuple[Path, Path]:
    """Return where the project's authority has its certificate and its key."""
    folder = project_file.parent / "certs"
    return folder / "ca.crt", folder / "ca.key"


def ensure_certificates(project: Project, now: datetime, *, renew: bool = False) -> Iterator[Outcome]:
    """Make or keep every certificate of a project, writing its Secret manifest.

    Raises ValueError naming the file when the project's authority is damaged, OSError when a file cannot be written.
    """
    if project.file is None or not project.certificates:
        return
    authority = CertificateAuthority.load_or_create(*authority_files(project.file), AUTHORITY_NAME, now)
    for certificate in project.certificates.values():
        reason = "renewal was asked for" if renew else reason_to_issue(certificate, authority, now)
        if reason:
            pair = authority.issue(certificate.hosts[0], now, hosts=certificate.hosts)
            _write_manifest(certificate, pair, authority)
        else:
            pair = _read_manifest(certificate.manifest)
        yield Outcome(certificate, expiry(pair.certificate), reason)


def reason_to_issue(certificate: Certificate, authority: CertificateAuthority, now: datetime) -> str:
    """Say why the certificate in the manifest cannot be used as it is, or return an empty string."""
    if not certificate.manifest.exists():
        return "there was none"
    try:
        manifest = load_yaml(certificate.manifest.read_text())
        pair, trusted = _pair_in(manifest), base64.b64decode(manifest["data"]["ca.crt"])
        names, expires = covered_names(pair.certificate), expiry(pair.certificate)
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        return "its manifest was damaged"
    if trusted != authority.pair.certificate:
        return "the authority is new"
    if set(names) != set(certificate.hosts):
        return f"its names were {', '.join(names)}"
    if expires - now < RENEW_BEFORE:
        return f"it expires on {expires:%Y-%m-%d}"
    return ""


def secret_manifest(certificate: Certificate, pair: KeyPair, authority_pem: bytes) -> Object:
    """Return the `kubernetes.io/tls` Secret of a certificate; `ca.crt` beside it is what its clients trust."""

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": certificate.name, "namespace": certificate.namespace},
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": encoded(pair.certificate),
            "tls.key": encoded(pair.key),
            "ca.crt": encoded(authority_pem),
        },
    }


def _write_manifest(certificate: Certificate, pair: KeyPair, authority: CertificateAuthority) -> None:
    manifest = secret_manifest(certificate, pair, authority.pair.certificate)
    text = "# Made by `roadstead cert`; holds a private key, do not commit.\n" + yaml.safe_dump(
        manifest, sort_keys=False
    )
    certificate.manifest.parent.mkdir(parents=True, exist_ok=True)
    write_private(certificate.manifest, text.encode())


def _read_manifest(path: Path) -> KeyPair:
    return _pair_in(load_yaml(path.read_text()))


def _pair_in(manifest: Object) -> KeyPair:
    data = manifest["data"]
    return KeyPair(base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"]))
