"""HTTP/2 by hand, for what no gRPC library does: thousands of streams at once, pings without end, resets."""

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11
_LARGEST_WINDOW = 0x7FFFFFFF
_INITIAL_WINDOW = 65_535
_MAX_STREAMS, _WINDOW_SIZE = 3, 4


class Frame(NamedTuple):
    """A frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*fields: tuple[str, str]) -> bytes:
    """Return header fields in HPACK, each a literal that nobody indexes; names and values up to 126 bytes."""
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
    )


def opening() -> bytes:
    """Return settings that let the peer send as much as it likes."""
    settings = struct.pack(">HIHI", _MAX_STREAMS, 100_000, _WINDOW_SIZE, _LARGEST_WINDOW)
    more = struct.pack(">I", _LARGEST_WINDOW - _INITIAL_WINDOW)
    return frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more)


async def frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Frame]:
    """Yield the peer's frames until it is gone; settings and pings are answered."""
    while True:
        try:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        found = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
        if found.kind in (SETTINGS, PING) and not found.flags & ACK:
            writer.write(frame(found.kind, ACK, 0, payload if found.kind == PING else b""))
        yield found


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Frame]:
    """Begin a connection as its server, and yield the client's frames."""
    await reader.readexactly(len(PREFACE))
    writer.write(opening())
    async for each in frames(reader, writer):
        yield each


async def connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin a connection as its client."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    writer.write(PREFACE + opening())
    return reader, writer
