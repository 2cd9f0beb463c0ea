import asyncio

import grpc
import grpc.aio
import pytest
from echo_service import async_handlers, sync_handlers
from raw_http2 import sent

from roadstead.service import Server, ThreadedServer
from roadstead.service.interceptors import Authentication, Errors
from roadstead.service.refusal import unauthenticated
from roadstead.service.undecodable_paths import survive_undecodable_paths


class Passwords:
    """Knows nobody, and notes who came."""

    def __init__(self) -> None:
        self.claims = []

    def verify(self, claim, client):
        self.claims.append((claim.name, claim.password))
        return unauthenticated("unknown user")


@pytest.fixture(params=["async", "threads"])
def server(request, loop_thread, recorder):
    """A server of our own of either sort; its passwords let nobody in."""
    passwords = Passwords()
    stages = (recorder, Errors(), Authentication(passwords))
    threaded = request.param == "threads"
    server = (ThreadedServer if threaded else Server)(port=0, address="127.0.0.1", stages=stages)
    handlers = sync_handlers() if threaded else async_handlers()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    server.passwords = passwords
    server.start() if threaded else loop_thread.run(server.start())
    yield server
    server.stop() if threaded else loop_thread.run(server.stop())


def is_serving(server) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        return check(b"", timeout=10, wait_for_ready=True) == b"\x08\x01"


@pytest.mark.parametrize("path", [
    b"/test.Echo/\xff\xfe", b"/\xff", b"\xff\xff\xff", b"/test.Echo/\xc3", b"/\xf0\x9f\x9a", b"/\xed\xa0\x80/M",
    b"/", b"", b"//", b"x", b"/a/b/c/d", b"/test.Echo/\x00", b"/test.Echo/" + b"x" * 5000,
])  # fmt: skip
def test_a_path_that_is_no_method_is_refused_and_the_server_goes_on(server, recorder, path):
    with sent(server.port, path) as connection:
        if path:
            ((method, code),) = recorder.wait(1)
            assert code == "UNAUTHENTICATED"
            assert isinstance(method, str)
        else:
            assert connection.recv(1), "grpc itself has an answer to no path at all"
    assert is_serving(server)


@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
@pytest.mark.parametrize("metadata", [
    ((b"username", b"al\xff"), (b"password", b"secret\xfe")),
    ((b"username", b"a\x00b"), (b"password", b"x")),
    ((b"authorization", b"Basic \xff\xfe"),),
    ((b"authorization", b"Basic /w=="),),
    ((b"authorization", b"\xff"),),
    ((b"username", b"alice"), (b"password", b"w" * 9000)),
    ((b"username", b"a"),) * 50,
    ((b"username", b""), (b"password", b"")),
    ((b"traceparent", b"\xff"), (b"grpc-timeout", b"9999999H")),
])  # fmt: skip
def test_whatever_bytes_credentials_are_they_are_refused(server, recorder, metadata, kind):
    with sent(server.port, b"/test.Echo/" + kind.encode(), *metadata):
        assert recorder.wait(1) == [(f"test.Echo/{kind}", "UNAUTHENTICATED")]
    assert is_serving(server)


def test_elsewhere_bytes_that_are_no_text_are_an_error_as_ever():
    survive_undecodable_paths()

    async def within_a_task() -> None:
        with pytest.raises(UnicodeDecodeError, match="invalid start byte"):
            b"\xff".decode()

    asyncio.run(within_a_task())
    with pytest.raises(UnicodeDecodeError):
        str(b"\xff", "utf-8")
    with pytest.raises(UnicodeEncodeError):
        "\udc80".encode()
