"""A server's certificate: followed without a restart, and handshakes that nothing ends."""

import itertools
import random
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate
from polling import wait_until

from roadstead.service import Tls
from roadstead.service.tls import TlsFiles, server_credentials

SERVER = """
import sys
from roadstead.service import ThreadedServer, Tls
server = ThreadedServer(port=0, address="127.0.0.1", tls=Tls.from_directory(sys.argv[1]))
server.start()
print(server.port, flush=True)
server.wait()
"""
HANDSHAKES, CALLERS = 2000, 4


def test_grpc_is_told_of_a_change_once(monkeypatch, certificates, tmp_path):
    asked, told = [], []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _first, change, **_: asked.append(change))
    mounted = tmp_path / "mounted"
    mounted.symlink_to(certificates.write("one"))
    server_credentials(Tls.from_directory(mounted))
    (change,) = asked
    assert [change(), change()] == [None, None]
    mounted.unlink()
    mounted.symlink_to(certificates.write("two"))
    wait_until(lambda: told.append(change()) or told[-1] is not None)
    assert isinstance(told[-1], grpc.ServerCertificateConfiguration)
    assert [change(), change()] == [None, None]


def test_a_certificate_is_never_taken_up_without_its_key(certificates, tmp_path):
    mounted = certificates.write("one").rename(tmp_path / "mounted")
    uneven = random.Random(1)  # so that one file would be looked at in another second than its neighbour
    ticks = itertools.accumulate(uneven.choice((0.0, 0.1, 0.7)) for _ in itertools.count())
    files = TlsFiles(*map(str, (mounted / "tls.crt", mounted / "tls.key", mounted / "ca.crt")), clock=ticks.__next__)
    seen = {files()}
    for name in ("two", "three", "four"):
        fresh = certificates.write(name)
        for file in ("tls.crt", "tls.key"):
            (fresh / file).replace(mounted / file)
        seen |= {files() for _ in range(10)}
    assert len(seen) == 4
    for content in seen:
        assert public_key(load_pem_x509_certificate(content.certificate)) == public_key(
            serialization.load_pem_private_key(content.key, None)
        )


def public_key(holder) -> bytes:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return holder.public_key().public_bytes(*form)


@pytest.fixture
def server(certificates):
    folder: Path = certificates.write("127.0.0.1")
    with subprocess.Popen([sys.executable, "-c", SERVER, folder], stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout)
        port = next(line for line in lines if line.strip().isdigit())
        yield process, int(port), folder / "ca.crt"
        process.kill()


def test_many_handshakes_at_a_time_end_no_server(server):
    process, port, authority = server
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    done = []

    def call() -> None:
        for _ in range(HANDSHAKES // CALLERS):
            with socket.create_connection(("127.0.0.1", port), 10) as plain:
                context.wrap_socket(plain, server_hostname="127.0.0.1").close()
            done.append(port)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    wait_until(lambda: process.poll() is not None or not any(thread.is_alive() for thread in threads), 60)
    assert process.poll() is None
    assert len(done) == HANDSHAKES


def test_an_encrypted_key_is_refused(certificates):
    folder = certificates.write("one")
    key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), None)
    sealed = serialization.BestAvailableEncryption(b"secret")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(*form, sealed))
    with pytest.raises(ValueError, match="are no certificate and its key"):
        server_credentials(Tls.from_directory(folder))
