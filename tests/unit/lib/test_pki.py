"""The authority makes certificates that real TLS accepts for the names that were asked for, and no others."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest

from roadstead.lib.pki import CertificateAuthority, covered_names, expiry

NOW = datetime.now(UTC)


def handshake(authority: CertificateAuthority, tmp_path, hosts: list[str], asked: str) -> None:
    """Shake hands over a socket pair; raises ssl.SSLError as a client would see it."""
    authority.issue("server", NOW, hosts=hosts).write(tmp_path / "tls.crt", tmp_path / "tls.key")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    trusting = ssl.create_default_context(cadata=authority.pair.certificate.decode())
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(far, server_side=True).close()
        except (ssl.SSLError, OSError):
            far.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with near, trusting.wrap_socket(near, server_hostname=asked):
            pass
    finally:
        server.join()


@pytest.mark.parametrize(
    ("hosts", "asked"),
    [(["foo.example.com"], "foo.example.com"), (["*.example.com"], "bar.example.com"), (["127.0.0.1"], "127.0.0.1")],
)
def test_a_client_accepts_the_names_that_were_asked_for(tmp_path, hosts, asked) -> None:
    handshake(CertificateAuthority.create("test", NOW), tmp_path, hosts, asked)


def test_a_client_refuses_a_name_that_the_certificate_does_not_cover(tmp_path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(CertificateAuthority.create("test", NOW), tmp_path, ["foo.example.com"], "bar.example.com")


def test_names_and_expiry_are_read_back() -> None:
    pair = CertificateAuthority.create("test", NOW).issue(
        "server", NOW, hosts=["foo.example.com", "10.0.0.1"], life=timedelta(days=7)
    )
    assert covered_names(pair.certificate) == ["foo.example.com", "10.0.0.1"]
    assert expiry(pair.certificate) == (NOW + timedelta(days=7)).replace(microsecond=0)


def test_an_authority_is_made_once_and_its_key_is_private(tmp_path) -> None:
    certificate, key = tmp_path / "pki" / "ca.crt", tmp_path / "pki" / "ca.key"
    first = CertificateAuthority.load_or_create(certificate, key, "test", NOW)
    again = CertificateAuthority.load_or_create(certificate, key, "test", NOW)
    assert again.pair == first.pair
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_damaged_authority_is_named_and_kept(tmp_path) -> None:
    certificate, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    certificate.write_text("not PEM")
    key.write_text("not PEM")
    with pytest.raises(ValueError, match=str(certificate)):
        CertificateAuthority.load_or_create(certificate, key, "test", NOW)
    assert certificate.read_text() == "not PEM"


def test_a_key_never_shows_in_a_repr() -> None:
    assert b"PRIVATE" not in repr(CertificateAuthority.create("test", NOW).pair).encode()
