"""Certificates mounted from a Secret, taken up without a restart: by servers, and by channels that show one.

A server's grpc asks for the certificate at each handshake, a channel of ours at each call; `WatchedFiles` keeps that
cheap. New files are tried out first: while the kubelet swaps them, or when somebody stored a key that does not fit, the
old ones go on serving.
"""

import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import grpc
import msgspec

from roadstead.service.files import WatchedFiles

T = TypeVar("T")
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


class Content(NamedTuple, Generic[T]):
    """Of each file its PEM, or its path; None for a file that is not named."""

    certificate: T | None = None
    key: T | None = None
    authorities: T | None = None


class TlsFiles:
    """The content of the files that was last found usable.

    Raises OSError or ValueError if it is not usable at first. A certificate comes with its key, or neither is there.
    """

    def __init__(
        self,
        certificate: str | None,
        key: str | None,
        authorities: str | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = Content(certificate, key, authorities)
        named = [path for path in self._paths if path is not None]
        # Together: a new certificate with an old key would be worse than either pair.
        self._files = WatchedFiles(named, self._checked, clock=clock)

    def __call__(self) -> Content[bytes]:
        """Return the content in force, at most a second old; from any thread."""
        return self._files.current()

    def _checked(self, *read: bytes) -> Content[bytes]:
        contents = iter(read)
        content = Content(*(None if path is None else next(contents) for path in self._paths))
        certificate, key, authorities = self._paths
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate is not None:
            try:
                # The ssl module takes only paths, so the files are read once more: they are taken up only if they are
                # the same before and after. With a password, though it has none: else OpenSSL would ask for that of an
                # encrypted key, where there is a terminal, and wait.
                context.load_cert_chain(certificate, key, password="")
            except (OSError, ValueError) as error:
                raise ValueError(f"{certificate} and {key} are no certificate and its key: {error}") from error
        if content.authorities is not None:
            try:
                context.load_verify_locations(cadata=content.authorities.decode("ascii", "replace"))
            except (OSError, ValueError) as error:
                raise ValueError(f"{authorities} has no certificates of authorities: {error}") from error
        return content


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Return credentials for one `add_secure_port` that follow the files; OSError or ValueError if they are unusable.

    grpc asks at every handshake. It must be told of a change once and of nothing else: it puts what it is told in the
    place of what other handshakes use at that moment, without a lock (1.85), and a few concurrent ones end the process.
    """
    files = TlsFiles(tls.certificate, tls.key, tls.client_ca)
    told, lock = files(), threading.Lock()

    def change() -> _Configuration | None:
        nonlocal told
        found = files()
        with lock:
            if found == told:
                return None
            told = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(told),
        change,  # type: ignore[arg-type]  # None is "unchanged" to grpc, which its types do not know
        require_client_authentication=tls.client_ca is not None,
    )


def _configuration(content: Content[bytes]) -> _Configuration:
    pair = (content.key or b"", content.certificate or b"")  # both are named, so both are there
    return grpc.ssl_server_certificate_configuration([pair], content.authorities)
