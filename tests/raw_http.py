"""A client of the API server that is as polite or as rude as a test wants: one TLS connection, bytes of its own."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from pathlib import Path
from typing import Any


def request(method: str, path: str, *fields: str, body: bytes | None = None) -> bytes:
    """Return a request as the admin of `apiserver_bed`; without a body it has no content-length either."""
    named = ["host: x", "authorization: Bearer admin-token", *fields]
    if body is not None:
        named.append(f"content-length: {len(body)}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *named, "", ""]).encode() + (body or b"")


def trusting(ca: Path) -> ssl.SSLContext:
    """Return TLS settings that trust an authority; make them once for many connections."""
    return ssl.create_default_context(cafile=ca)


class RawConnection:
    """One keep-alive connection that speaks just enough HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, tls: ssl.SSLContext, port: int, *, receive_buffer: int = 0) -> "RawConnection":
        """Connect; a small `receive_buffer` makes the server notice soon that nobody reads."""
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
        limit = max(1 << 16, receive_buffer) if receive_buffer else 1 << 26
        return cls(*await asyncio.open_connection(sock=plain, ssl=tls, server_hostname="127.0.0.1", limit=limit))

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask and wait for the answer."""
        raw = json.dumps(body).encode() if body is not None else b""
        self.writer.write(request(method, path, body=raw))
        return await self.answer()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers of the next answer."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        fields = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(first.split()[1]), fields

    async def answer(self) -> tuple[int, Any]:
        """Return status and body of the next answer, which has a length."""
        code, fields = await self.head()
        body = await self.reader.readexactly(int(fields["content-length"]))
        return code, json.loads(body) if body else None

    async def ended(self) -> bool:
        """Read until the server ends the connection, in whatever way; returns True for `assert`."""
        with contextlib.suppress(OSError):
            while await self.reader.read(1 << 16):
                continue
        return True

    async def close(self) -> None:
        """End the connection properly."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def vanish(self) -> None:
        """End the connection as a machine does that loses power, but audibly: by a reset."""
        plain = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
