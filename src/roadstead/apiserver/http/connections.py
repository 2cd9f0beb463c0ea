"""Connections: uvicorn's protocols, with what an application cannot see, and with bounds on what a client may do.

They put the certificate that a client showed into the request's `state["peer_certificate"]`, and have small answers
sent at once. On connections inside this process `state["user"]` says from the beginning who calls. For watches,
`state["push"]` leads straight to the connection.

Nobody may hold more of the server than its share: heads and bodies have sizes and times within which they must arrive,
answers must be read, and as many connections are let in as files can be open. The times are kube-apiserver's where it
has them (`ReadHeaderTimeout` and `MaxHeaderBytes` in apiserver's pkg/server/secure_serving.go).
"""

import asyncio
import asyncio.sslproto
import math
import resource
import socket
from collections.abc import Iterable
from typing import Any

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState

from roadstead.apiserver.http.exchange import BODY_SECONDS

_log = structlog.get_logger(__name__)
HEAD_BYTES = 1 << 20
HEAD_SECONDS = 32.0
REQUEST_BYTES = 16 << 20
"""Beyond what any body may have: a client that sends too much can still read why, unless it sends far too much."""
STALL_SECONDS = 60.0
"""How long an answer may wait for a client that reads nothing of it."""
_GRACE_SECONDS = 5.0  # a client whose body was too slow reads that before its connection ends
_WRITE_BUFFER = 64 << 10
_TLS_READ_BUFFER = 16 << 10  # one record
_LEAST_RESERVE = 64


def prepare_process() -> None:
    """Make this process fit for many connections: as many open files as it may have, and little memory for each.

    asyncio keeps 256 KiB for each TLS connection to read into, which ten thousand idle watches would pay for.
    """
    asyncio.sslproto.SSLProtocol.max_size = _TLS_READ_BUFFER
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def most_connections() -> int:
    """Return how many connections there may be: an eighth of the files that may be open is left to everything else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return files - max(_LEAST_RESERVE, files // 8)


class GatheringTransport(asyncio.Transport):
    """Sends what is written in one turn of the event loop together.

    An answer's head and body are two writes, and each would be encrypted and handed to the kernel for itself, which
    costs more than everything else about a small answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep something until this turn ends."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def ungathered(self) -> asyncio.Transport:
        """Return the transport itself, after what is kept."""
        self._send()
        return self._transport

    def write_now(self, data: bytes) -> None:
        """Send something without waiting for more, after what is kept."""
        self._send()
        self._transport.write(data)

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Send what is kept, and close."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Forget what is kept, and close at once."""
        self._parts.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Say whether it closes."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what is received to another protocol from now on."""
        self._transport.set_protocol(protocol)

    def pause_reading(self) -> None:
        """Receive nothing for a while."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._transport.resume_reading()


class HttpConnection(HttpToolsProtocol):
    """HTTP/1.1 of one client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the verified certificate of the client, if it showed one; end it if there are too many."""
        self._gathering = GatheringTransport(transport, self.loop)
        super().connection_made(self._gathering)
        _prepare_socket(transport)
        transport.set_write_buffer_limits(_WRITE_BUFFER)
        self.app_state = {**self.app_state, "peer_certificate": _certificate(transport), "push": self.push}
        self._in_head = True
        self._received = 0
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._stalled_at = math.inf
        if len(self.connections) > most_connections():
            _log.warning("too many connections", most=most_connections())
            transport.abort()

    def push(self, part: bytes) -> bool:
        """Send a part of a stream that has begun, without the way through tasks and messages; False if it cannot."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self._gathering.write_now(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request, within bounds."""
        if not self._received and self._deadline == math.inf:
            self._deadline = self.loop.time() + HEAD_SECONDS
        self._received += len(data)
        if self._in_head and self._received > HEAD_BYTES:
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
        elif self._received > REQUEST_BYTES:
            self.transport.abort()
        else:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """Begin to wait for the body."""
        self._in_head = False
        self._deadline = self.loop.time() + BODY_SECONDS + _GRACE_SECONDS
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for nothing but an answer, and for the next request."""
        super().on_message_complete()
        self._in_head = True
        self._received = 0
        self._deadline = math.inf

    def cut_off_if_late(self, now: float) -> None:
        """End a connection whose client does not send what it began, or does not read."""
        self._stalled_at = min(self._stalled_at, now) if self.flow.write_paused else math.inf
        if now > self._deadline or now > self._stalled_at + STALL_SECONDS:
            self.transport.abort()


def cut_off_late(connections: Iterable[object], now: float) -> None:
    """End the connections of clients that keep the server waiting; to be called about once a second."""
    for connection in list(connections):
        if isinstance(connection, HttpConnection):
            connection.cut_off_if_late(now)


class WebSocketConnection(WSProtocol):
    """A connection that became a WebSocket."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the verified certificate of the client, if it showed one.

        Each frame is sent for itself: clients that wait for the socket and then read one frame would not see a second
        one that came in the same TLS record (the Python client of Kubernetes is one).
        """
        super().connection_made(transport.ungathered() if isinstance(transport, GatheringTransport) else transport)
        self.app_state = {**self.app_state, "peer_certificate": _certificate(transport)}


def _prepare_socket(transport: asyncio.BaseTransport) -> None:
    """Switch Nagle's algorithm off, and have the kernel notice clients whose machine has gone.

    An answer's head and body are two writes, and the second must not wait 40 ms for the first to be acknowledged.
    asyncio does this only for sockets that were made with `proto=IPPROTO_TCP`, which ours, made by others, may not be.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _certificate(transport: asyncio.BaseTransport) -> dict[str, Any] | None:
    tls = transport.get_extra_info("ssl_object")
    return tls.getpeercert() or None if tls is not None else None
