"""A document is there in time or not at all, whatever the other side does, and wherever it begins to."""

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from roadstead.service.credentials.fetching import fetch

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
DRIPPED_HEADER = b"HTTP/1.1 200 OK\r\nX-Long: "
DRIPPED_BODY = b"HTTP/1.1 200 OK\r\n\r\n"
# The head of a record of TLS, which is to be the server's part of a handshake.
DRIPPED_HANDSHAKE = b"\x16\x03\x03\x40\x00\x02\x00\x3f\x00"

GIVEN_UP = r"timed out|not all there after"


class Peer:
    """Answers each connection with the same beginning, over TLS or not; then it may go on with single bytes."""

    def __init__(self, beginning: bytes, drips: bool, tls: ssl.SSLContext | None) -> None:
        self._beginning, self._drips, self._tls = beginning, drips, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self._ended.is_set():
                connection.close()
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
            self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as wrapped:
                wrapped.recv(4096)
                wrapped.sendall(self._beginning)
                while self._drips and not self._ended.wait(0.02):
                    wrapped.sendall(b"x")
        except OSError:
            return  # who gave up, or did not like the certificate

    def close(self) -> None:
        self._ended.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join()
        self._listening.close()


@contextmanager
def peer(beginning: bytes, *, drips: bool = False, tls: ssl.SSLContext | None = None):
    made = Peer(beginning, drips, tls)
    try:
        yield made
    finally:
        made.close()


def get(url: str, *, tls: ssl.SSLContext | None = None, limit: float = 20.0, plain: bool = True) -> bytes:
    """Fetch in a thread of its own: one that were kept for ever would not keep the test."""
    schemes = ("https", "http") if plain else ("https",)
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(
            fetch, url, tls=tls or ssl.create_default_context(), schemes=schemes, largest=1000, limit=limit
        ).result(20)
    finally:
        pool.shutdown(wait=False)


@pytest.fixture
def served(certificates) -> ssl.SSLContext:
    """What a server shows, for the name localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificates.authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusting(certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificates.ca_pem.decode())


@pytest.mark.parametrize("beginning", [DRIPPED_HEADER, DRIPPED_BODY])
def test_one_who_drips_is_given_up(beginning):
    with peer(beginning, drips=True) as other, pytest.raises(OSError, match=GIVEN_UP):
        get(f"http://127.0.0.1:{other.port}/", limit=0.2)


@pytest.mark.parametrize("beginning", [DRIPPED_HEADER, DRIPPED_BODY])
def test_one_who_drips_through_tls_is_given_up(served, trusting, beginning):
    with (
        peer(beginning, drips=True, tls=served) as other,
        pytest.raises(OSError, match=GIVEN_UP),
    ):
        get(f"https://localhost:{other.port}/", tls=trusting, limit=0.2)


def test_one_who_drips_a_handshake_is_given_up():
    with peer(DRIPPED_HANDSHAKE, drips=True) as other, pytest.raises(OSError, match="timed out"):
        get(f"https://localhost:{other.port}/", limit=0.2)


def test_one_who_drips_after_a_redirect_is_given_up():
    with peer(DRIPPED_BODY, drips=True) as last:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{last.port}/\r\nContent-Length: 0\r\n\r\n"
        with peer(redirect.encode()) as first, pytest.raises(OSError, match=GIVEN_UP):
            get(f"http://127.0.0.1:{first.port}/", limit=1.0)
        assert last.connections == 1


def test_redirects_without_end_are_given_up():
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /more\r\nContent-Length: 0\r\n\r\n"
    with peer(redirect) as other, pytest.raises(OSError, match="infinite loop"):
        get(f"http://127.0.0.1:{other.port}/")


def test_a_proxy_that_drips_is_given_up(monkeypatch):
    with peer(DRIPPED_HEADER, drips=True) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(OSError, match=GIVEN_UP):
            get("https://issuer.example.com/", limit=1.0)
        assert proxy.connections == 1


@pytest.mark.parametrize("answer", [
    ANSWER,
    b"HTTP/1.0 200 OK\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
])  # fmt: skip
def test_what_is_there_in_time(served, trusting, answer):
    with peer(answer) as plain, peer(answer, tls=served) as encrypted:
        assert get(f"http://127.0.0.1:{plain.port}/") == b"{}"
        assert get(f"https://localhost:{encrypted.port}/", tls=trusting, plain=False) == b"{}"


def test_only_who_is_trusted_by_this_name_is_believed(served, trusting):
    with peer(ANSWER, tls=served) as other:
        with pytest.raises(OSError, match="certificate verify failed"):
            get(f"https://localhost:{other.port}/")
        with pytest.raises(OSError, match="certificate verify failed"):
            get(f"https://127.0.0.1:{other.port}/", tls=trusting)


def test_more_than_is_wanted_is_refused():
    with peer(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1001) as other, pytest.raises(ValueError, match="larger than 1000"):
        get(f"http://127.0.0.1:{other.port}/")


def test_a_redirect_to_plain_text_is_not_followed(served, trusting):
    with peer(ANSWER) as plain:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{plain.port}/\r\nContent-Length: 0\r\n\r\n"
        with (
            peer(redirect.encode(), tls=served) as first,
            pytest.raises(ValueError, match="does not begin with https://"),
        ):
            get(f"https://localhost:{first.port}/", tls=trusting, plain=False)
        assert plain.connections == 0
