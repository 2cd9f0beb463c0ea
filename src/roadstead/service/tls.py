"""Certificates mounted from a Secret, taken up without a restart.

grpc asks for the certificate at each handshake; `WatchedFile` keeps that cheap. A new pair is tried out first: while
the kubelet swaps files, or when somebody stored a key that does not fit, the old pair goes on serving.
"""

import ssl
from pathlib import Path
from typing import TypeAlias

import grpc
import msgspec
import structlog

from roadstead.service.files import WatchedFile

_log = structlog.get_logger(__name__)
_Configuration: TypeAlias = grpc.ServerCertificateConfiguration


class Tls(msgspec.Struct, frozen=True):
    """Where a server's certificate is. With `client_ca`, clients must show a certificate of that authority."""

    certificate: str
    key: str
    client_ca: str | None = None

    @classmethod
    def from_directory(cls, path: str | Path, *, mutual: bool = False) -> "Tls":
        """Return the files of a mounted `kubernetes.io/tls` Secret: tls.crt, tls.key and, if mutual, ca.crt."""
        folder = Path(path)
        ca = str(folder / "ca.crt") if mutual else None
        return cls(certificate=str(folder / "tls.crt"), key=str(folder / "tls.key"), client_ca=ca)


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Return credentials for `add_secure_port` that follow the files; OSError or ValueError if they are unusable."""
    pair = _Pair(tls)
    return grpc.dynamic_ssl_server_credentials(
        pair.current(), pair.current, require_client_authentication=tls.client_ca is not None
    )


class _Pair:
    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._certificate = WatchedFile(tls.certificate, bytes)
        self._key = WatchedFile(tls.key, bytes)
        self._client_ca = WatchedFile(tls.client_ca, bytes) if tls.client_ca else None
        self._tried = self._read()
        self._good = self._configuration(*self._tried)

    def current(self) -> _Configuration:
        """Return the configuration in force; grpc calls this from a thread of its own at every handshake."""
        found = self._read()
        if found != self._tried:
            self._tried = found
            try:
                self._good = self._configuration(*found)
            except ValueError as error:
                _log.error("certificate not taken up: the old one stays", error=str(error))
            else:
                _log.info("certificate taken up", path=self._tls.certificate)
        return self._good

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        return self._certificate(), self._key(), self._client_ca() if self._client_ca else None

    def _configuration(self, certificate: bytes, key: bytes, client_ca: bytes | None) -> _Configuration:
        try:
            # The ssl module takes only paths, so the files are read once more: after a swap in between the pair is
            # judged by what comes next, and looked at again with that change.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._tls.certificate, self._tls.key)
        except (OSError, ValueError) as error:
            problem = f"{self._tls.certificate} and {self._tls.key} are no certificate and its key: {error}"
            raise ValueError(problem) from error
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)
