"""`kubectl port-forward`: connections to a pod's ports, many in one WebSocket, in either of two ways.

kubectl tunnels SPDY (`SPDY/3.1+portforward.k8s.io`): per connection a pair of streams, `error` and `data`, that share a
`requestid`. The Python clients use channels: `?ports=80,443`, channel 2i for the bytes and 2i+1 for the error of the
i-th port, each opened by a message with the port's number.
"""

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field

import structlog
from starlette.types import Receive, Send

from roadstead.api.errors import ApiError, BadRequest
from roadstead.apiserver.calls import Call
from roadstead.apiserver.http.parameters import Query
from roadstead.apiserver.store import Store
from roadstead.apiserver.streams.kubelet import Kubelet
from roadstead.apiserver.streams.pod_logs import agent, pod_on_node
from roadstead.apiserver.streams.spdy import Data, Happening, Opened, Pinged, Reset, SpdyError, SpdySession
from roadstead.lib.tasks import cancel_all, spawn

_log = structlog.get_logger(__name__)
TUNNEL = "SPDY/3.1+portforward.k8s.io"
_CHANNELS = ("v4.channel.k8s.io", "portforward.k8s.io")
_PIECE = 32 << 10
_CONNECTIONS = 1000
_CHANNEL_PORTS = 127  # two channels each, and a channel is one byte
_PROTOCOL_ERROR = 1002


@dataclass(slots=True)
class _Connection:
    """One forwarded connection: its two streams, and the bytes on their way to the pod (None ends them)."""

    port: int
    data: int = 0
    error: int = 0
    upstream: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(maxsize=64))


class PortForwards:
    """Serves port forwarding from a node agent."""

    def __init__(self, store: Store, kubelet: Kubelet | None) -> None:
        self._store = store
        self._kubelet = kubelet

    async def serve(self, call: Call, offered: list[str], receive: Receive, send: Send) -> None:
        """Serve one WebSocket. Raises ApiError before it is accepted."""
        pod_on_node(self._store, call)
        kubelet = agent(self._kubelet)
        if TUNNEL in offered:
            await send({"type": "websocket.accept", "subprotocol": TUNNEL})
            await _Tunnel(kubelet, call, send).run(receive)
            return
        ports = ports_of(call.query)
        protocol = next((name for name in _CHANNELS if name in offered), None)
        await send({"type": "websocket.accept", "subprotocol": protocol})
        await _Channels(kubelet, call, ports, send).run(receive)


def ports_of(query: Query) -> list[int]:
    """Return the ports that a client of the channel protocol names. Raises BadRequest."""
    texts = [text for value in query.get("ports", ()) for text in value.split(",")]
    if not texts or not all(text.isdecimal() and 0 < int(text) < 65536 for text in texts):
        raise BadRequest(f"ports: {','.join(texts)!r} is not a list of port numbers")
    if len(texts) > _CHANNEL_PORTS:
        raise BadRequest(f"ports: may not be more than {_CHANNEL_PORTS}")
    return [int(text) for text in texts]


class _Tunnel:
    """SPDY inside a WebSocket: reads frames, and has a task per forwarded connection."""

    def __init__(self, kubelet: Kubelet, call: Call, send: Send) -> None:
        self._kubelet = kubelet
        self._call = call
        self._send = send
        self._session = SpdySession()
        self._pairs: dict[str, _Connection] = {}
        self._by_stream: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, receive: Receive) -> None:
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                for happening in self._session.receive(message.get("bytes") or b""):
                    await self._handle(happening)
        except SpdyError as error:
            _log.warning("port-forward ended", pod=self._call.name, error=str(error))
            await self._send({"type": "websocket.close", "code": _PROTOCOL_ERROR})
        finally:
            await cancel_all(self._tasks)

    async def _handle(self, happening: Happening) -> None:
        if isinstance(happening, Opened):
            await self._opened(happening)
        elif isinstance(happening, Pinged):
            await self._send_bytes(happening.reply)
        elif isinstance(happening, Reset):
            await self._finish(happening.stream)
        else:
            await self._received(happening)

    async def _opened(self, opened: Opened) -> None:
        kind, request, port = (opened.headers.get(name, "") for name in ("streamtype", "requestid", "port"))
        if kind not in {"data", "error"} or not port.isdecimal() or not 0 < int(port) < 65536:
            raise SpdyError("a stream needs a streamtype and a port")
        if len(self._tasks) >= _CONNECTIONS or len(self._pairs) >= _CONNECTIONS:
            raise SpdyError("too many connections")
        await self._send_bytes(self._session.accept(opened.stream))
        connection = self._pairs.setdefault(request, _Connection(int(port)))
        if kind == "error":
            connection.error = opened.stream
        else:
            connection.data = opened.stream
            self._by_stream[opened.stream] = connection
        if connection.data and connection.error:
            del self._pairs[request]
            task = spawn(self._forward(connection), name=f"port-forward {self._call.name}:{port}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _received(self, data: Data) -> None:
        connection = self._by_stream.get(data.stream)
        if connection is not None and data.chunk:
            if not connection.error and connection.upstream.full():
                # Nobody takes them before the connection has both of its streams; waiting here would be for ever.
                raise SpdyError("too much data on a connection without its error stream")
            await connection.upstream.put(data.chunk)
        if data.finished:
            await self._finish(data.stream)

    async def _finish(self, stream: int) -> None:
        connection = self._by_stream.pop(stream, None)
        if connection is not None:
            if not connection.error and connection.upstream.full():
                raise SpdyError("too much data on a connection without its error stream")
            await connection.upstream.put(None)

    async def _forward(self, connection: _Connection) -> None:
        place = (self._call.namespace, self._call.name, connection.port)
        try:
            reader, writer = await self._kubelet.dial(*place)
        except (ApiError, OSError) as error:
            problem = f"error forwarding port {connection.port} to pod {self._call.name}: {error}"
            await self._end(connection, problem.encode())
            return
        up = spawn(_copy_up(connection.upstream, writer), name="port-forward up")
        try:
            while chunk := await _read(reader):
                await self._send_bytes(self._session.data(connection.data, chunk))
            await self._end(connection, b"")
        finally:
            writer.close()  # at once: a cancelled task may not get to what comes after the next await
            await cancel_all([up])
            await _close(writer)

    async def _end(self, connection: _Connection, problem: bytes) -> None:
        self._by_stream.pop(connection.data, None)
        _drain(connection.upstream)
        await self._send_bytes(self._session.data(connection.error, problem, finished=True))
        await self._send_bytes(self._session.data(connection.data, b"", finished=True))

    async def _send_bytes(self, raw: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": raw})


class _Channels:
    """The older protocol: one connection per named port, opened at once."""

    def __init__(self, kubelet: Kubelet, call: Call, ports: list[int], send: Send) -> None:
        self._kubelet = kubelet
        self._call = call
        self._ports = ports
        self._send = send
        self._writers: dict[int, asyncio.StreamWriter] = {}

    async def run(self, receive: Receive) -> None:
        tasks: list[asyncio.Task[None]] = []
        try:
            for index, port in enumerate(self._ports):
                for channel in (2 * index, 2 * index + 1):
                    await self._tell(channel, struct.pack("<H", port))
                tasks += await self._dial(2 * index, port)
            while (message := await receive())["type"] != "websocket.disconnect":
                await self._received(message.get("bytes") or b"")
        finally:
            await cancel_all(tasks)
            for writer in self._writers.values():
                await _close(writer)

    async def _dial(self, channel: int, port: int) -> list[asyncio.Task[None]]:
        try:
            reader, writer = await self._kubelet.dial(self._call.namespace, self._call.name, port)
        except (ApiError, OSError) as error:
            await self._tell(channel + 1, f"error forwarding port {port} to pod {self._call.name}: {error}".encode())
            return []
        self._writers[channel] = writer
        return [spawn(self._copy_down(channel, reader), name=f"port-forward {self._call.name}:{port}")]

    async def _copy_down(self, channel: int, reader: asyncio.StreamReader) -> None:
        while chunk := await _read(reader):
            await self._tell(channel, chunk)
        if len(self._ports) == 1:
            await self._send({"type": "websocket.close", "code": 1000})

    async def _received(self, raw: bytes) -> None:
        writer = self._writers.get(raw[0]) if raw else None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.write(raw[1:])
                await writer.drain()

    async def _tell(self, channel: int, chunk: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": bytes([channel]) + chunk})


async def _copy_up(chunks: asyncio.Queue[bytes | None], writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while (chunk := await chunks.get()) is not None:
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    # The pod may close before the client has said everything: what comes now goes nowhere, but it must be taken.
    while await chunks.get() is not None:
        continue


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_PIECE)
    except OSError:
        return b""


def _drain(chunks: asyncio.Queue[bytes | None]) -> None:
    while not chunks.empty():
        chunks.get_nowait()
