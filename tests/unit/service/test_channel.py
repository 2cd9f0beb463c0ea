import asyncio
from collections import Counter

import grpc
import pytest
from echo_service import async_handlers, serving

from roadstead.service import Server, Tls
from roadstead.service.channel import bearer, channel, password, service_config
from roadstead.service.credentials.certificate import CertificateVerifier
from roadstead.service.interceptors import Authentication, Call, Stage
from roadstead.service.refusal import unauthenticated


class Seen(Stage):
    """Remembers metadata and deadlines; refuses if told to."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.metadata: list[dict] = []
        self.remaining: list[float | None] = []

    def admit(self, call: Call):
        self.metadata.append(dict(call.metadata))
        return unauthenticated("told to") if self.refuse else None

    def enter(self, call: Call) -> None:
        self.remaining.append(call.context.time_remaining())


def serve(loop_thread, echo, *stages: Stage, **settings) -> Server:
    server = Server(port=0, address="127.0.0.1", stages=stages, **settings)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", echo),))
    loop_thread.run(server.start())
    return server


@pytest.fixture
def served(loop_thread):
    servers = []

    def served(*stages: Stage, **settings) -> str:
        servers.append(serve(loop_thread, async_handlers(), *stages, **settings))
        return f"127.0.0.1:{servers[-1].port}"

    yield served
    for server in servers:
        loop_thread.run(server.stop())


async def call(opened: grpc.aio.Channel, kind: str, *words: bytes, **settings) -> str:
    invoke = getattr(opened, kind)(f"/test.Echo/{kind}")
    request = iter(words) if kind.startswith("stream") else words[0]
    try:
        if kind.endswith("unary"):
            await invoke(request, **settings)
        else:
            async for _ in invoke(request, **settings):
                pass
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def test_credentials_go_with_every_kind(loop_thread, served, kind):
    seen = Seen()

    async def scenario(target: str) -> None:
        async with channel(target, credentials=password("alice", "wonderland")) as opened:
            assert await call(opened, kind, b"hello") == "OK"
            assert await call(opened, kind, b"hello", metadata=(("username", "bob"), ("x", "y"))) == "OK"
        async with channel(target, credentials=bearer(lambda: "fresh")) as opened:
            assert await call(opened, kind, b"hello") == "OK"

    loop_thread.run(scenario(served(seen)))
    first, second, third = seen.metadata
    assert (first["username"], first["password"]) == ("alice", "wonderland")
    assert (second["username"], second["x"]) == ("bob", "y"), "a call's own metadata wins"
    assert third["authorization"] == "Bearer fresh"


def test_unary_requests_have_a_deadline_and_streams_have_not(loop_thread, served, kind):
    seen = Seen()

    async def scenario(target: str) -> None:
        async with channel(target, timeout=7) as opened:
            await call(opened, kind, b"hello")
            await call(opened, kind, b"hello", timeout=3)

    loop_thread.run(scenario(served(seen)))
    default, own = seen.remaining
    if kind == "unary_unary":
        assert 5 < default < 7.5
    else:
        assert default is None or default > 1e6
    assert 1 < own < 3.5  # grpc rounds up on the wire


@pytest.mark.parametrize("words", [1, 3, 50])
def test_a_refused_stream_tells_the_servers_status(loop_thread, served, kind, words):
    async def scenario(target: str) -> Counter:
        async with channel(target) as opened:
            return Counter([await call(opened, kind, *[b"hello"] * words) for _ in range(40)])

    assert loop_thread.run(scenario(served(Seen(refuse=True)))) == {"UNAUTHENTICATED": 40}


def test_a_deadline_while_requests_are_sent_is_told_as_one(loop_thread, served, kind):
    # A CancelledError instead would end the caller's task, which nobody has cancelled.
    async def scenario(target: str) -> Counter:
        ends: Counter = Counter()
        for _ in range(10):
            async with channel(target) as opened:
                calls = [call(opened, kind, *[b"sleep"] * 3, timeout=0.0005 * turn) for turn in range(1, 41)]
                ends.update(map(str, await asyncio.gather(*calls, return_exceptions=True)))
        return ends

    assert loop_thread.run(scenario(served())) == {"DEADLINE_EXCEEDED": 400}


def test_an_idempotent_call_waits_for_a_server_and_others_do_not(loop_thread):
    async def scenario() -> tuple[str, str]:
        gone = Server(port=0, address="127.0.0.1")
        await gone.start()
        await gone.stop()
        target = f"127.0.0.1:{gone.port}"
        async with channel(target, idempotent=["test.Echo/unary_unary"]) as patient, channel(target) as hasty:
            waiting = asyncio.get_running_loop().create_task(call(patient, "unary_unary", b"hello"))
            refused = await call(hasty, "unary_unary", b"hello")
            late = Server(port=gone.port, address="127.0.0.1")
            late.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", async_handlers()),))
            await late.start()
            answered = await waiting
            await late.stop()
            return refused, answered

    assert loop_thread.run(scenario()) == ("UNAVAILABLE", "OK")


def test_tls_for_a_host_name(loop_thread, served, certificates, tmp_path):
    (tmp_path / "ca.pem").write_bytes(certificates.ca_pem)
    target = served(tls=Tls.from_directory(certificates.write("foo.example.com")))

    async def scenario() -> list[str]:
        hosts = ("foo.example.com", "bar.example.com")
        ends = []
        for host in hosts:
            async with channel(target, ca_file=tmp_path / "ca.pem", authority=host) as opened:
                ends.append(await call(opened, "unary_unary", b"hello", timeout=3))
        return ends

    assert loop_thread.run(scenario()) == ["OK", "UNAVAILABLE"]


def test_a_client_shows_its_certificate(loop_thread, served, certificates):
    mounted = certificates.write("client.example.com")
    target = served(
        Authentication(certificates=CertificateVerifier()),
        tls=Tls.from_directory(certificates.write("localhost"), mutual=True),
    )

    async def scenario() -> list:
        ends = []
        for shown in (Tls.from_directory(mounted, mutual=True), None):
            settings = {"certificate": shown} if shown else {"ca_file": mounted / "ca.crt"}
            async with channel(target, authority="localhost", **settings) as opened:
                ends.append(await call(opened, "unary_unary", b"who", timeout=3))
                if shown:
                    ends.append(await opened.unary_unary("/test.Echo/unary_unary")(b"who", timeout=3))
        return ends

    assert loop_thread.run(scenario()) == ["OK", b"client.example.com", "UNAVAILABLE"]


@pytest.mark.parametrize(("method", "name"), [
    ("a.B/C", {"service": "a.B", "method": "C"}), ("a.B", {"service": "a.B"}), ("a.B/*", {"service": "a.B"}),
])  # fmt: skip
def test_service_config(method, name):
    config = service_config([method], balance=True)
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["methodConfig"][0]["name"] == [name]
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert service_config([], balance=False) == {}


@pytest.mark.parametrize(("idempotent", "problem"), [
    ("test.Echo", r"idempotent must be a list of names, not one: \['test.Echo'\]"),
    ([5], "idempotent must be a list of names, not of int"),
    ([""], "idempotent: '' is neither package.Service nor package.Service/Method"),
    (["/test.Echo/unary_unary"], "idempotent: '/test.Echo/unary_unary' is neither"),
    (["test.Echo/"], "idempotent: 'test.Echo/' is neither"),
])  # fmt: skip
def test_names_that_are_none(idempotent, problem):
    with pytest.raises((ValueError, TypeError), match=problem):
        channel("127.0.0.1:1", idempotent=idempotent)


def test_a_name_may_be_given_twice(loop_thread):
    with serving("async") as client:

        async def call():
            names = ["test.Echo", "test.Echo/*", "test.Echo/unary_unary"]
            async with channel(f"127.0.0.1:{client.port}", idempotent=names) as one:
                return await one.unary_unary("/test.Echo/unary_unary")(b"hello")

        assert loop_thread.run(call()) == b"re:hello"
