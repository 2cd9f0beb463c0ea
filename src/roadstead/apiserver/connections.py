"""Connections: uvicorn's protocols, which do not tell an application whose certificate the client showed.

These subclasses put it into the request's `state["peer_certificate"]`. Nothing else of uvicorn is changed.
"""

import asyncio
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
        self.app_state = {**self.app_state, "peer_certificate": _certificate(transport)}


class WebSocketConnection(WSProtocol):
    """A connection that became a WebSocket."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the verified certificate of the client, if it showed one."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer_certificate": _certificate(transport)}


def _certificate(transport: asyncio.BaseTransport) -> dict[str, Any] | None:
    tls = transport.get_extra_info("ssl_object")
    return tls.getpeercert() or None if tls is not None else None
