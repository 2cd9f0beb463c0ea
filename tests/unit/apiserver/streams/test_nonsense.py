"""Whatever comes through a stream, it ends with its client, and the server goes on."""

import asyncio
import ssl
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import PODS, Bench, HostKubelet, bench, pod, prepare, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.apiserver.streams.pod_streams import parse_message
from roadstead.apiserver.streams.port_forward import TUNNEL
from roadstead.apiserver.streams.spdy import DICTIONARY

NUMBERS = st.integers(0, 5) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1])
HEADERS = st.dictionaries(
    st.sampled_from(["streamtype", "StreamType", "port", "requestid", "x"]),
    st.sampled_from(["error", "data", "{port}", "0", "70000", "-1", "x", ""]),
    max_size=4,
)
OPENED = st.tuples(st.just("open"), NUMBERS, HEADERS)
SENT = st.tuples(st.just("data"), NUMBERS, st.binary(max_size=20), st.booleans())
RESET = st.tuples(st.just("reset"), NUMBERS)
RAW = st.tuples(st.just("raw"), st.binary(max_size=30))
PAIR = st.integers(0, 3).map(lambda n: ("pair", n))
CONVERSATIONS = st.lists(OPENED | SENT | RESET | RAW | PAIR, max_size=12)
MESSAGES = st.lists(
    st.binary(max_size=12)
    | st.binary(max_size=6).map(b"\x00".__add__)
    | st.just(b"\xff\x00")
    | st.text('{}"WidthHeight:,-0123456789e', max_size=30).map(lambda text: b"\x04" + text.encode()),
    max_size=12,
)


class Client:
    """A client of one WebSocket on the application that sends what it likes and reads nothing."""

    def __init__(self, server: Bench, path: str, protocols: list[str]) -> None:
        path, _, query = path.partition("?")
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        scope = {
            "type": "websocket", "path": path, "query_string": query.encode(), "subprotocols": protocols,
            "headers": [(b"authorization", b"Bearer admin-token")], "state": {},
        }  # fmt: skip
        self.incoming.put_nowait({"type": "websocket.connect"})

        async def keep(message: Any) -> None:
            self.sent.append(message)

        self.served = asyncio.get_running_loop().create_task(server.assembly.app(scope, self.incoming.get, keep))

    def send(self, raw: bytes) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "bytes": raw})

    async def leave(self) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await self.served


def frames(conversation: list[Any], port: int) -> bytes:
    deflate = zlib.compressobj(zdict=DICTIONARY)
    raw = b""
    for kind, *rest in conversation:
        if kind == "open":
            raw += opened(deflate, rest[0], {name: value.format(port=port) for name, value in rest[1].items()})
        elif kind == "pair":
            for at, type_ in enumerate(("error", "data")):
                headers = {"streamtype": type_, "port": str(port), "requestid": str(rest[0])}
                raw += opened(deflate, 2 * rest[0] + at, headers)
        elif kind == "data":
            raw += struct.pack(">II", rest[0] & 0x7FFFFFFF, rest[2] << 24 | len(rest[1])) + rest[1]
        elif kind == "reset":
            raw += struct.pack(">HHIII", 0x8003, 3, 8, rest[0], 5)
        else:
            raw += rest[0]
    return raw


def opened(deflate: "zlib._Compress", stream: int, headers: dict[str, str]) -> bytes:
    texts = [text.encode() for pair in headers.items() for text in pair]
    block = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(text)) + text for text in texts)
    payload = struct.pack(">IIBB", stream, 0, 0, 0) + deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return struct.pack(">HHI", 0x8003, 1, len(payload)) + payload


@settings(max_examples=60)
@given(conversation=CONVERSATIONS, size=st.integers(1, 60))
def test_any_frames_end_with_their_client(conversation: list[Any], size: int) -> None:
    async def whole() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(100))
            writer.close()

        listening = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with bench(kubelet=HostKubelet()) as server, asyncio.timeout(10):
            await server.create(PODS, pod("web", node="n1"))
            client = Client(server, f"{PODS}/web/portforward", [TUNNEL])
            raw = frames(conversation, listening.sockets[0].getsockname()[1])
            for at in range(0, len(raw), size):
                client.send(raw[at : at + size])
            await client.leave()
            assert client.sent[0] == {"type": "websocket.accept", "subprotocol": TUNNEL}
            assert (await server.send("GET", f"{PODS}/web")).code == 200
        listening.close()
        await listening.wait_closed()

    asyncio.run(whole())


def test_data_without_the_other_stream_is_not_waited_for() -> None:
    async def whole() -> None:
        async with bench(kubelet=HostKubelet()) as server, asyncio.timeout(10):
            await server.create(PODS, pod("web", node="n1"))
            client = Client(server, f"{PODS}/web/portforward", [TUNNEL])
            pair = opened(zlib.compressobj(zdict=DICTIONARY), 3, {"streamtype": "data", "port": "80"})
            client.send(pair + b"".join(struct.pack(">II", 3, 1) + b"x" for _ in range(200)))
            await client.leave()
            assert client.sent[-1] == {"type": "websocket.close", "code": 1002}

    asyncio.run(whole())


@settings(max_examples=25)
@given(MESSAGES)
def test_any_messages_to_a_process_end_with_their_client(messages: list[bytes]) -> None:
    async def whole() -> None:
        async with bench(kubelet=HostKubelet()) as server, asyncio.timeout(10):
            await server.create(PODS, pod("web", node="n1"))
            path = f"{PODS}/web/exec?command=cat&stdin=true&stdout=true&tty=true"
            client = Client(server, path, ["v5.channel.k8s.io"])
            for raw in messages:
                client.send(raw)
            await client.leave()
            assert (await server.send("GET", f"{PODS}/web")).code == 200

    asyncio.run(whole())


@pytest.mark.parametrize("size", ['{"Width":-1,"Height":5}', '{"Width":65536,"Height":5}', '{"Width":1e400}'])
def test_sizes_that_no_terminal_has_are_ignored(size: str) -> None:
    assert parse_message(b"\x04" + size.encode()).action == "ignore"


def test_more_ports_than_there_are_channels_are_refused() -> None:
    async def whole() -> None:
        async with bench(kubelet=HostKubelet()) as server:
            await server.create(PODS, pod("web", node="n1"))
            ports = ",".join(str(number) for number in range(1, 129))
            client = Client(server, f"{PODS}/web/portforward?ports={ports}", [])
            await client.served
            assert client.sent[0]["status"] == 400

    asyncio.run(whole())


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=4))
def test_any_bytes_after_the_handshake_harm_nobody_else(tmp_path: Path, chunks: list[bytes]) -> None:
    async def whole() -> None:
        site = prepare(tmp_path, durable=False)
        async with serving(site, HostKubelet()), asyncio.timeout(20):
            tls = ssl.create_default_context(cafile=site.config.client_ca)
            head = [
                "GET /api/v1/namespaces/default/pods/web/exec?command=cat&stdin=true HTTP/1.1", "host: localhost",
                "authorization: Bearer admin-token", "connection: Upgrade", "upgrade: websocket",
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 13",
                "sec-websocket-protocol: v5.channel.k8s.io", "", "",
            ]  # fmt: skip
            reader, writer = await asyncio.open_connection("localhost", site.port, ssl=tls)
            await post_pod(site.port, tls)
            writer.write("\r\n".join(head).encode())
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            for chunk in chunks:
                writer.write(chunk)
            await writer.drain()
            writer.transport.abort()
            assert await answers(site.port, tls)

    asyncio.run(whole())


async def post_pod(port: int, tls: ssl.SSLContext) -> None:
    body = b'{"metadata":{"name":"web"},"spec":{"nodeName":"n1","containers":[{"name":"main","image":"web:1"}]}}'
    head = f"POST /api/v1/namespaces/default/pods HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    assert b" 201 " in await _exchange(port, tls, head, body)


async def answers(port: int, tls: ssl.SSLContext) -> bool:
    return b" 200 " in await _exchange(
        port, tls, "GET /api/v1/namespaces/default/pods/web HTTP/1.1\r\nhost: x\r\n", b""
    )


async def _exchange(port: int, tls: ssl.SSLContext, head: str, body: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("localhost", port, ssl=tls)
    writer.write(head.encode() + b"authorization: Bearer admin-token\r\n\r\n" + body)
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    return answer
