"""What clients are told when Envoy itself ends a call: a status and a message for every way in which that happens."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping

import grpc
import http2_frames as http2
import pytest
from envoy_bed import HERE, Backend, call, channel, cluster, forward, host, http_get, http_listener, proxy, run, running
from free_ports import free_port

from roadstead.gateway import ir

pytestmark = pytest.mark.e2e


def resets(code: int) -> Callable[..., Awaitable[None]]:
    """Return an HTTP/2 server that answers every request with RST_STREAM and this code."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for found in http2.accept(reader, writer):
            if found.kind == http2.HEADERS:
                writer.write(http2.frame(http2.RESET, 0, found.stream, struct.pack(">I", code)))
        writer.close()

    return handle


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take requests and never answer: a backend that reads `grpc-timeout` might end the call before Envoy does."""
    async for _ in http2.accept(reader, writer):
        pass
    writer.close()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def speaks_http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await reader.read()
    writer.close()


FAULTY = {
    "closes": closes,
    "http1": speaks_http1,
    "mute": mute,
    "refuses": resets(http2.REFUSED_STREAM),
    "resets": resets(http2.ENHANCE_YOUR_CALM),
}

EXPECTED = {
    "closes": "UNAVAILABLE: closes/h2 closed the connection before it answered (closes)",
    "http1": "UNAVAILABLE: http1/h2 does not speak the protocol that the route expects of it (http1)",
    "refuses": "UNAVAILABLE: refuses/h2 reset the request before it answered (refuses)",
    "resets": "UNAVAILABLE: resets/h2 reset the request before it answered (resets)",
    "nobody": "UNAVAILABLE: no connection to nobody/h2 could be made: "
    "delayed_connect_error:_Connection_refused (nobody)",
    "plain": "UNAVAILABLE: no connection to plain/h2 could be made: "
    "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end (plain)",
    "empty": "UNAVAILABLE: no endpoint of empty/h2 is ready (empty)",
    "few": "UNAVAILABLE: few/h2 has as many requests as it may have at once (few)",
    "missing": "UNAVAILABLE: the backend of this route is not known to the proxy yet",
    "limited": "DEADLINE_EXCEEDED: it took longer than the client or the route allows (limited)",
    "capped": "DEADLINE_EXCEEDED",
    "each try": "UNAVAILABLE: mute/h2 did not answer within the time that the route allows (each try)",
    "silent": "UNAVAILABLE: for as long as the route allows no byte came or went (silent)",
    "no route": "UNIMPLEMENTED: no route of this gateway matches the request",
    "no host": "UNIMPLEMENTED: no route of this gateway matches the request",
    "limited by the client": "DEADLINE_EXCEEDED",
    "too many headers": "INTERNAL",
}
"""By case. A code alone: metadata that is too large is reset, because HTTP/2 knows no other answer to it; and where
the client or the backend knows the deadline too, it is a matter of chance whose clock is first."""


def timed(**timeouts: float) -> ir.Forward:
    return forward("mute", timeouts=ir.Timeouts(**timeouts))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return what clients were told in every case."""
    told: dict[str, str] = {}

    async def test() -> None:
        port, ok = free_port(), await Backend("ok").start()
        servers = {name: await asyncio.start_server(handle, HERE, 0) for name, handle in FAULTY.items()}
        ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()} | {"nobody": free_port()}
        services = [
            *((ir.Cluster(f"{name}/h2", name, "h2"), endpoints(name, number)) for name, number in ports.items()),
            (ir.Cluster("plain/h2", "plain", "h2", tls=ir.UpstreamTls("ok")), endpoints("plain", ok.port)),
            cluster("ok", ok),
            cluster("empty"),
            cluster("few", ok, max_requests=1),
        ]
        actions = {name: forward(name) for name in (*ports, "plain", "empty", "few", "missing", "ok")}
        actions |= {"limited": timed(request=0.2), "capped": timed(maximum_grpc=0.2), "silent": timed(idle=0.2)}
        actions |= {"each try": timed(backend_request=0.2)}
        lines = tuple(ir.Route(name, asked(name), action) for name, action in actions.items())
        served = proxy([http_listener(port)], [ir.VirtualHost("foo", ("foo.example.com",), lines)], services)
        try:
            async with running(tmp_path_factory.mktemp("envoy"), served):
                told.update(await _told(port))
        finally:
            for server in servers.values():
                server.close()

    run(test)
    return told


def asked(name: str) -> ir.Match:
    return ir.Match(ir.PathMatch("prefix", "/"), headers=(ir.ValueMatch("case", "exact", name),), grpc=True)


def endpoints(name: str, port: int) -> ir.EndpointSet:
    return ir.EndpointSet(name, (ir.Endpoint(HERE, port),))


METADATA: Mapping[str, list[tuple[str, str]]] = {
    "capped": [("case", "capped"), ("grpc-timeout", "9S")],
    "limited by the client": [("case", "ok"), ("grpc-timeout", "200m")],
    "too many headers": [(f"h{number}", "") for number in range(210)],
}


async def _told(port: int) -> dict[str, str]:
    """Make a call for every case; those about time sleep longer than they may."""
    async with channel(port) as over, channel(port, "other.example.com") as elsewhere:
        only = over.unary_stream("/com.example.User/Stream")(b"", metadata=[("case", "few")])
        assert await only.read() == b"ok"
        told = {}
        for case in EXPECTED:
            metadata = METADATA.get(case, [("case", case)])
            told[case] = await answer(elsewhere if case == "no host" else over, case, b"2", *metadata)
        only.cancel()
    return told


async def answer(over: grpc.aio.Channel, case: str, request: bytes, *metadata: tuple[str, str]) -> str:
    try:
        await call(over, "Sleep", request, metadata=metadata or [("case", case)], timeout=None)
    except grpc.aio.AioRpcError as error:
        told = f"{error.code().name}: {error.details()}"
        return told if ":" in EXPECTED.get(case, told) else error.code().name
    return "OK"


@pytest.mark.parametrize("case", EXPECTED)
def test_the_client_is_told(case: str, answers: Mapping[str, str]) -> None:
    assert answers[case] == EXPECTED[case]


def test_http_clients_read_the_same_words(tmp_path) -> None:
    async def test() -> None:
        port = free_port()
        table = [host((ir.Match(ir.PathMatch("prefix", "/")), forward("empty")))]
        async with running(tmp_path, proxy([http_listener(port)], table, [cluster("empty")])):
            status, text = await http_get(port, "/")
            assert (status, text.splitlines()[-1]) == (503, "no endpoint of empty/h2 is ready (route-0)")
            status, _ = await http_get(port, "/" + "x" * 70_000)
            assert status == 431

    run(test)
