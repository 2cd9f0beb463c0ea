"""Logs, exec, attach and port-forward against a node agent whose containers are this machine."""

import asyncio
import json
import struct
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from apiserver_bed import PODS, Bench, HostKubelet, bench, pod
from polling import until

from roadstead.api.errors import BadRequest
from roadstead.apiserver.streams.kubelet import LogOptions
from roadstead.apiserver.streams.pod_streams import Message, exit_status, parse_message
from roadstead.apiserver.streams.port_forward import TUNNEL
from roadstead.apiserver.streams.spdy import DICTIONARY

V5 = ["v5.channel.k8s.io", "v4.channel.k8s.io"]


def talk(conversation: Callable[[Bench, HostKubelet], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        kubelet = HostKubelet()
        async with bench(kubelet=kubelet) as server, asyncio.timeout(20):
            await server.create(PODS, pod("web", node="n1"))
            await conversation(server, kubelet)

    asyncio.run(whole())


class WebSocket:
    """A client's side of one WebSocket on the application."""

    def __init__(self, server: Bench, path: str, protocols: list[str]) -> None:
        path, _, query = path.partition("?")
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        scope = {
            "type": "websocket", "path": path, "query_string": query.encode(), "subprotocols": protocols,
            "headers": [(b"authorization", b"Bearer admin-token")], "state": {},
        }  # fmt: skip
        self._incoming.put_nowait({"type": "websocket.connect"})
        serving = server.assembly.app(scope, self._incoming.get, self._outgoing.put)
        self.served = asyncio.get_running_loop().create_task(serving)

    async def next(self) -> Any:
        return await self._outgoing.get()

    async def bytes(self) -> bytes:
        message = await self.next()
        assert message["type"] == "websocket.send", message
        return bytes(message["bytes"])

    def send(self, raw: bytes) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": raw})

    async def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.served

    async def until_closed(self) -> dict[int, bytes]:
        """Return what came on each channel."""
        channels: dict[int, bytes] = {}
        while (message := await self.next())["type"] == "websocket.send":
            raw = message["bytes"]
            channels[raw[0]] = channels.get(raw[0], b"") + raw[1:]
        await self.served
        return channels


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x00hello", Message("input", b"hello")),
        (b"\xff\x00", Message("close")),
        (b'\x04{"Width":80,"Height":24}', Message("resize", size=(80, 24))),
        (b"\x04nonsense", Message("ignore")),
        (b"\xff\x07", Message("ignore")),
        (b"\x09?", Message("ignore")),
        (b"", Message("ignore")),
    ],
)
def test_messages_of_the_stream_protocol(raw: bytes, expected: Message) -> None:
    assert parse_message(raw) == expected


def test_exit_codes_become_a_status() -> None:
    assert exit_status(0)["status"] == "Success"
    failed = exit_status(3)
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


def test_exec_carries_input_both_outputs_and_the_exit_code() -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        command = "&".join(f"command={part}" for part in ("sh", "-c", "cat;echo%20oops%20%3E%262;exit%203"))
        path = f"{PODS}/web/exec?{command}&stdin=true&stdout=true&stderr=true"
        socket = WebSocket(server, path, V5)
        assert await socket.next() == {"type": "websocket.accept", "subprotocol": "v5.channel.k8s.io"}
        socket.send(b"\x00hello\n")
        assert await socket.bytes() == b"\x01hello\n"
        socket.send(b"\xff\x00")
        channels = await socket.until_closed()
        assert channels[2] == b"oops\n"
        assert json.loads(channels[3])["details"]["causes"][0]["message"] == "3"

    talk(conversation)


def test_exec_ends_with_its_client() -> None:
    async def conversation(server: Bench, kubelet: HostKubelet) -> None:
        socket = WebSocket(server, f"{PODS}/web/exec?command=sleep&command=60&stdout=true&tty=true", V5[1:])
        assert (await socket.next())["subprotocol"] == "v4.channel.k8s.io"
        await until(lambda: kubelet.sessions)
        socket.send(b'\x04{"Width":80,"Height":24}')
        await socket.leave()
        assert kubelet.sessions[0].process.returncode is not None

    talk(conversation)


def test_attach_joins_the_process() -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        socket = WebSocket(server, f"{PODS}/web/attach?stdin=true&stdout=true", V5)
        await socket.next()
        socket.send(b"\x00to and fro")
        assert await socket.bytes() == b"\x01to and fro"
        await socket.leave()

    talk(conversation)


@pytest.mark.parametrize(
    ("path", "protocols", "code"),
    [
        ("web/exec?stdout=true", V5, 422),
        ("web/exec?command=ls", V5, 400),
        ("web/exec?command=ls&stdout=true", ["channel.k8s.io"], 400),
        ("web/exec?command=ls&stdout=true&container=other", V5, 400),
        ("none/exec?command=ls&stdout=true", V5, 404),
        ("web/portforward?ports=x", [], 400),
        ("web/log", [], 404),
    ],
)
def test_streams_that_cannot_be_are_denied_before_they_are_accepted(path: str, protocols: list[str], code: int) -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        socket = WebSocket(server, f"{PODS}/{path}", protocols)
        start = await socket.next()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", code)
        assert json.loads((await socket.next())["body"])["code"] == code

    talk(conversation)


def test_logs_are_asked_for_as_the_client_asks() -> None:
    async def conversation(server: Bench, kubelet: HostKubelet) -> None:
        query = "tailLines=5&sinceSeconds=60&timestamps=true&previous=true&limitBytes=100"
        reply = await server.good("GET", f"{PODS}/web/log?{query}")
        assert (reply.body, reply.headers["content-type"]) == (b"one\ntwo\n", "text/plain")
        expected = LogOptions(tail_lines=5, since_seconds=60, timestamps=True, previous=True, limit_bytes=100)
        assert kubelet.asked == [("default", "web", "main", expected)]

    talk(conversation)


def test_followed_logs_go_on() -> None:
    async def conversation(server: Bench, kubelet: HostKubelet) -> None:
        asking = asyncio.get_running_loop().create_task(server.send("GET", f"{PODS}/web/log?follow=true"))
        await until(lambda: kubelet.asked)
        kubelet.more.set()
        assert (await asking).body == b"one\ntwo\nthree\n"

    talk(conversation)


def test_a_refusal_of_the_agent_reaches_the_client() -> None:
    async def conversation(server: Bench, kubelet: HostKubelet) -> None:
        kubelet.refusal = BadRequest('container "main" in pod "web" is waiting to start: ContainerCreating')
        refused = await server.refused(400, "GET", f"{PODS}/web/log")
        assert "ContainerCreating" in refused["message"]

    talk(conversation)


def test_followed_logs_end_with_the_server() -> None:
    async def conversation(server: Bench, kubelet: HostKubelet) -> None:
        kubelet.log = []
        asking = asyncio.get_running_loop().create_task(server.send("GET", f"{PODS}/web/log?follow=true"))
        await until(lambda: kubelet.asked)
        await asyncio.sleep(0.6)  # the answer begins although the log is silent
        server.assembly.close_streams()
        reply = await asking
        assert (reply.code, reply.body) == (200, b"")

    talk(conversation)


def test_logs_that_cannot_be_are_refused() -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        two = pod("two", node="n1")
        two["spec"]["containers"].append({"name": "side", "image": "x"})
        await server.create(PODS, two)
        await server.create(PODS, pod("waiting"))
        which = await server.refused(400, "GET", f"{PODS}/two/log")
        assert which["message"] == "a container name must be specified for pod two, choose one of: [main side]"
        await server.good("GET", f"{PODS}/two/log?container=side")
        await server.refused(400, "GET", f"{PODS}/two/log?container=none")
        nowhere = await server.refused(400, "GET", f"{PODS}/waiting/log")
        assert "does not have a host assigned" in nowhere["message"]
        await server.refused(404, "GET", f"{PODS}/none/log")
        await server.refused(400, "GET", f"{PODS}/web/log?tailLines=-1")

    talk(conversation)


def test_without_a_node_agent_streams_say_so() -> None:
    async def conversation() -> None:
        async with bench() as server:
            await server.create(PODS, pod("web", node="n1"))
            await server.refused(503, "GET", f"{PODS}/web/log")

    asyncio.run(conversation())


class SpdyClient:
    """What kubectl sends and understands of SPDY."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def open(self, stream: int, **headers: str) -> None:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        raw = struct.pack(">I", len(pairs)) + b"".join(
            struct.pack(">I", len(name)) + name + struct.pack(">I", len(value)) + value for name, value in pairs
        )
        packed = self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">IIBB", stream, 0, 0, 0) + packed
        self.socket.send(struct.pack(">HHI", 0x8003, 1, len(payload)) + payload)

    def data(self, stream: int, chunk: bytes, *, finished: bool = False) -> None:
        self.socket.send(struct.pack(">II", stream, (1 if finished else 0) << 24 | len(chunk)) + chunk)

    async def frames(self, streams: set[int]) -> dict[int, bytes]:
        """Return what each stream carried, once all of these were finished."""
        carried: dict[int, bytes] = {}
        while streams:
            raw = await self.socket.bytes()
            first, second = struct.unpack(">II", raw[:8])
            if first >> 31:
                continue
            carried[first] = carried.get(first, b"") + raw[8:]
            if second >> 24 & 1:
                streams.discard(first)
        return carried


async def echo_server() -> asyncio.Server:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read())[::-1])
        await writer.drain()
        writer.close()

    return await asyncio.start_server(echo, "127.0.0.1", 0)


def test_port_forward_carries_several_connections_in_spdy() -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        listening = await echo_server()
        port = str(listening.sockets[0].getsockname()[1])
        socket = WebSocket(server, f"{PODS}/web/portforward", [TUNNEL])
        assert (await socket.next())["subprotocol"] == TUNNEL
        client = SpdyClient(socket)
        for request in range(3):
            client.open(4 * request + 1, streamtype="error", port=port, requestid=str(request))
            client.open(4 * request + 3, streamtype="data", port=port, requestid=str(request))
        for request in range(3):
            client.data(4 * request + 3, b"x" * 200_000)
            client.data(4 * request + 3, f"end {request}".encode(), finished=True)
        carried = await client.frames({1, 3, 5, 7, 9, 11})
        for request in range(3):
            assert carried[4 * request + 3] == f"end {request}".encode()[::-1] + b"x" * 200_000
            assert carried[4 * request + 1] == b""
        await socket.leave()
        listening.close()

    talk(conversation)


def test_a_port_that_nobody_listens_on_is_an_error_of_that_connection() -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        listening = await echo_server()
        port = str(listening.sockets[0].getsockname()[1])
        listening.close()
        await listening.wait_closed()
        socket = WebSocket(server, f"{PODS}/web/portforward", [TUNNEL])
        await socket.next()
        client = SpdyClient(socket)
        client.open(1, streamtype="error", port=port, requestid="0")
        client.open(3, streamtype="data", port=port, requestid="0")
        carried = await client.frames({1, 3})
        assert f"error forwarding port {port} to pod web".encode() in carried[1]
        await socket.leave()

    talk(conversation)


@pytest.mark.parametrize("raw", [b"\x80\x02\x00\x01\x00\x00\x00\x00", b"\x80\x03\x00\x01\x00\x00\x00\x0c" + b"x" * 12])
def test_broken_spdy_ends_the_connection(raw: bytes) -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        socket = WebSocket(server, f"{PODS}/web/portforward", [TUNNEL])
        await socket.next()
        socket.send(raw)
        assert await socket.next() == {"type": "websocket.close", "code": 1002}
        await socket.served

    talk(conversation)


def test_port_forward_by_channels() -> None:
    async def conversation(server: Bench, _: HostKubelet) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello " + await reader.read(4))
            await writer.drain()
            writer.close()

        listening = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        socket = WebSocket(server, f"{PODS}/web/portforward?ports={port}", [])
        assert (await socket.next())["subprotocol"] is None
        assert await socket.bytes() == b"\x00" + struct.pack("<H", port)
        assert await socket.bytes() == b"\x01" + struct.pack("<H", port)
        socket.send(b"\x00you!")
        assert await socket.bytes() == b"\x00hello you!"
        assert (await socket.next())["type"] == "websocket.close"
        await socket.leave()
        listening.close()

    talk(conversation)
