"""Credentials: whom we trust and who we are, and the TLS context that follows from it.

They come from a kubeconfig (`kubeconfig.py`), from a pod's service account, or from the cluster that makes them.
Secrets stay out of `repr`, and so out of logs.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


class CredentialsError(Exception):
    """Credentials cannot be used; the message names the file or field and the remedy."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The server's authority and the caller's identity: a token, a token file that is rotated, or a certificate."""

    ca_pem: bytes = b""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    certificate_pem: bytes = field(default=b"", repr=False)
    key_pem: bytes = field(default=b"", repr=False)
    insecure_skip_tls_verify: bool = False
    server_name: str = ""

    def bearer(self) -> str:
        """Return the token of the moment, `""` if there is none. Raises CredentialsError if its file is unreadable."""
        if self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text().strip()
        except OSError as error:
            raise CredentialsError(f"cannot read the token file {self.token_file}: {error.strerror}") from error

    def ssl_context(self) -> ssl.SSLContext:
        """Return the client's TLS context. Raises CredentialsError for certificates or keys that cannot be used."""
        # The machine's own authorities take tens of milliseconds to read: only where they are needed.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca_pem:
                context.load_verify_locations(cadata=self.ca_pem.decode())
            else:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            if self.certificate_pem:
                _load_certificate(context, self.certificate_pem + b"\n" + self.key_pem)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise CredentialsError(f"the CA, client certificate or client key is not usable PEM: {error}") from error
        if self.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _load_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    with _in_memory(pem) as path:
        context.load_cert_chain(path)


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    # `ssl` reads keys from files only; a memory file never reaches a disk.
    descriptor = os.memfd_create("client-certificate")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
