import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jwt_keys import key_set, signed
from structlog.testing import capture_logs

from roadstead.service.credentials.claims import Expectations
from roadstead.service.credentials.jwt import JwtVerifier
from roadstead.service.credentials.key_sources import KeySetFile, KeySetUrl
from roadstead.service.interceptors import Authentication


class Issuer(ThreadingHTTPServer):
    """Publishes what a test puts into `content`; counts who asks."""

    def __init__(self) -> None:
        self.content = key_set("ec-1")
        self.status, self.location = 200, ""
        self.asked = 0
        self.drips = False
        self.ended = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                if issuer.location:
                    self.send_header("Location", issuer.location)
                self.send_header("Content-Length", str(len(issuer.content) + 1_000_000 * issuer.drips))
                self.end_headers()
                while issuer.drips and not issuer.ended.wait(0.02):
                    self.wfile.write(b" ")
                self.wfile.write(issuer.content)

            def log_message(self, *_arguments) -> None:
                pass

            def handle(self) -> None:
                with suppress(ConnectionError):  # one who gave up
                    super().handle()

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/keys"


@pytest.fixture
def issuer():
    server = Issuer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settled(source: KeySetUrl):
    """Wait until nothing is being fetched."""
    deadline = time.monotonic() + 10
    while source._asking is not None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return source


def names(source) -> list[str]:
    keys = source.current()
    return [key.kid for key in keys.keys] if keys else []


def test_keys_of_an_address(issuer, clock):
    source = settled(KeySetUrl(issuer.url, plain=True, clock=clock))
    assert names(source) == ["ec-1"]
    issuer.content = key_set("ec-2")
    clock.now += 299
    assert names(settled(source)) == ["ec-1"]
    clock.now += 1
    source.current()
    assert names(settled(source)) == ["ec-2"]
    assert issuer.asked == 2


def test_an_early_look_is_shared_and_not_repeated_soon(issuer, clock):
    source = settled(KeySetUrl(issuer.url, plain=True, pause=10, clock=clock))
    assert source.renewed() is None
    clock.now += 10
    issuer.content = key_set("ec-1", "ec-2")
    pending = [source.renewed() for _ in range(5)]
    assert [key.kid for key in pending[0].result(10).keys] == ["ec-1", "ec-2"]
    settled(source)
    assert source.renewed() is None
    assert issuer.asked <= 2 + sum(found is not pending[0] and found is not None for found in pending)


@pytest.mark.parametrize(("content", "status"), [(b"oops", 200), (key_set("ec-2"), 503), (b"x" * 1_100_000, 200)])
def test_what_cannot_be_used_leaves_the_old_keys(issuer, clock, content, status):
    source = settled(KeySetUrl(issuer.url, plain=True, clock=clock))
    issuer.content, issuer.status = content, status
    clock.now += 300
    with capture_logs() as logs:
        source.current()
        settled(source)
    assert names(source) == ["ec-1"]
    assert any("key set not fetched" in log["event"] for log in logs)


def test_an_issuer_that_comes_later(clock):
    source = settled(KeySetUrl("http://127.0.0.1:1/keys", plain=True, clock=clock))
    assert source.current() is None
    clock.now += 10
    assert source.renewed().result(10) is None


@pytest.mark.parametrize("url", ["http://a/keys", "file:///etc/passwd", "keys", "ftp://a/keys"])
def test_only_https_unless_it_is_said(url):
    with pytest.raises(ValueError, match="does not begin with https"):
        KeySetUrl(url)


def test_an_issuer_that_drips_is_given_up(issuer, clock):
    source = settled(KeySetUrl(issuer.url, plain=True, pause=0, patience=0.2, clock=clock))
    issuer.content, issuer.drips = key_set("ec-2"), True
    with capture_logs() as logs:
        pending = [source.renewed() for _ in range(3)]
        assert {each.result(20).keys[0].kid for each in pending} == {"ec-1"}
        settled(source)
    assert {log["url"] for log in logs if "the old keys stay in force" in log["event"]} == {issuer.url}
    issuer.drips = False
    assert [key.kid for key in source.renewed().result(20).keys] == ["ec-2"]


def test_a_redirect_leads_nowhere_else(issuer, clock, tmp_path):
    (tmp_path / "keys").write_bytes(key_set("ec-2"))
    issuer.status, issuer.location = 302, (tmp_path / "keys").as_uri()
    with capture_logs() as logs:
        source = settled(KeySetUrl(issuer.url, plain=True, clock=clock))
    assert source.current() is None
    assert any("key set not fetched" in log["event"] for log in logs)


def test_keys_of_a_file(tmp_path):
    path = Path(tmp_path / "keys.json")
    path.write_bytes(key_set("ec-1"))
    source = KeySetFile(path)
    assert names(source) == ["ec-1"]
    assert source.renewed() is None
    with pytest.raises(OSError, match="absent"):
        KeySetFile(tmp_path / "absent")


def test_over_the_wire_with_a_key_that_has_to_be_fetched_first(serving, server_sort, kind, issuer, clock):
    source = settled(KeySetUrl(issuer.url, plain=True, pause=0, clock=clock))
    issuer.content = key_set("ec-1", "ec-2")
    tokens = JwtVerifier(source, Expectations(issuer="us", audience="shop"))
    claims = {"sub": "alice", "exp": time.time() + 60, "iss": "us", "aud": "shop"}
    with serving(server_sort, Authentication(tokens=tokens)) as client:
        for name in ("ec-2", "ec-1"):
            metadata = (("authorization", f"Bearer {signed(claims, name, 'ES256')}"),)
            assert set(client.call(kind, b"who", metadata=metadata).replies) == {b"alice"}
        stranger = (("authorization", f"Bearer {signed(claims, 'ec-3', 'ES256')}"),)
        assert client.call(kind, b"who", metadata=stranger).code == "UNAUTHENTICATED"
    assert 2 <= issuer.asked <= 3
