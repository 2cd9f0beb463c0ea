"""Who may enter a cluster: its authority, the API server's certificate, and the administrator's.

Made at each start from the cluster's authority, which alone is kept: certificates that are made anew never expire in
a running cluster's first year, and nobody has to renew them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from roadstead.cluster.configuration import ClusterConfiguration
from roadstead.cluster.kubeconfig import kubeconfig
from roadstead.cluster.layout import Layout
from roadstead.lib.pki import CertificateAuthority, write_private

ADMINISTRATORS = "system:masters"


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Where the API server finds its certificate, its key, and the authority of its clients."""

    certificate: Path
    key: Path
    authority: Path


class Access:
    """Issues what is needed to serve and to enter one cluster."""

    def __init__(self, layout: Layout, now: datetime) -> None:
        """Read the cluster's authority, or make it. Raises ValueError that names damaged files."""
        self._pki, self._now = layout.pki, now
        self.authority = CertificateAuthority.load_or_create(
            layout.pki / "ca.crt", layout.pki / "ca.key", f"cluster {layout.root.name}", now
        )

    @property
    def authority_pem(self) -> bytes:
        """The authority's certificate, which pods and clients trust."""
        return self.authority.pair.certificate

    def server_files(self, addresses: list[str]) -> ServerFiles:
        """Write a certificate for the API server at these addresses and under its names in the cluster."""
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        files = ServerFiles(self._pki / "apiserver.crt", self._pki / "apiserver.key", self._pki / "ca.crt")
        pair = self.authority.issue("kube-apiserver", self._now, hosts=["localhost", *addresses, *names])
        pair.write(files.certificate, files.key)
        return files

    def write_kubeconfig(self, configuration: ClusterConfiguration, server: str, path: Path) -> None:
        """Write the administrator's kubeconfig, mode 0600."""
        pair = self.authority.issue("kubernetes-admin", self._now, organizations=[ADMINISTRATORS])
        content = kubeconfig(configuration.name, server, self.authority_pem, pair)
        write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


def access_to(layout: Layout) -> Access:
    """Return the access to a cluster as of now."""
    return Access(layout, datetime.now(UTC))
