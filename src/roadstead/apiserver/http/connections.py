"""Connections: uvicorn's protocols, which do not tell an application whose certificate the client showed.

These subclasses put it into the request's `state["peer_certificate"]`, and have small answers sent at once. For
watches, `state["push"]` leads straight to the connection.
"""

import asyncio
import socket
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState


class HttpConnection(HttpToolsProtocol):
    """HTTP/1.1 of one client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the verified certificate of the client, if it showed one."""
        super().connection_made(transport)
        _send_at_once(transport)
        self.app_state = {**self.app_state, "peer_certificate": _certificate(transport), "push": self.push}

    def push(self, part: bytes) -> bool:
        """Send a part of a stream that has begun, without the way through tasks and messages; False if it cannot."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True


class WebSocketConnection(WSProtocol):
    """A connection that became a WebSocket."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the verified certificate of the client, if it showed one."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer_certificate": _certificate(transport)}


def _send_at_once(transport: asyncio.BaseTransport) -> None:
    """Switch Nagle's algorithm off: an answer's head and body are two writes, and the second must not wait 40 ms.

    asyncio does this only for sockets that were made with `proto=IPPROTO_TCP`, which ours, made by others, may not be.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _certificate(transport: asyncio.BaseTransport) -> dict[str, Any] | None:
    tls = transport.get_extra_info("ssl_object")
    return tls.getpeercert() or None if tls is not None else None
