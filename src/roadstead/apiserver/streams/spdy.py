"""SPDY/3.1 frames, as far as `kubectl port-forward` speaks them inside a WebSocket. No input or output.

`SpdySession.receive` takes bytes and returns what the peer did; the other methods return bytes to send. Only what
moby/spdystream sends is understood: SYN_STREAM, RST_STREAM, PING, GOAWAY and data (draft-mbelshe-httpbis-spdy-00).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_VERSION = 0x8003
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_HEADERS_LIMIT = 64 << 10
FRAME_LIMIT = 4 << 20

_DICTIONARY_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
    "allow authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_DICTIONARY_PAIRS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_DICTIONARY_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """Return the dictionary that headers are compressed with: section 2.6.10.1 of the draft, 1,423 bytes."""
    words = [word.encode() for word in (*_DICTIONARY_WORDS.split(" "), *_DICTIONARY_PAIRS)]
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + _DICTIONARY_TAIL.encode()


DICTIONARY = _dictionary()


class SpdyError(Exception):
    """The peer does not speak SPDY as it should: the connection has to end."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream; header names are lower case. `finished` says that it will send nothing on it."""

    stream: int
    headers: dict[str, str]
    finished: bool


@dataclass(frozen=True, slots=True)
class Data:
    """The peer sent a part of a stream; `finished` says that it was the last."""

    stream: int
    chunk: bytes
    finished: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave up a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """The peer wants `reply` sent back."""

    reply: bytes


Happening = Opened | Data | Reset | Pinged


class SpdySession:
    """The state of one connection: what is left of a frame, and the two header compressors."""

    def __init__(self) -> None:
        self._buffer = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def receive(self, chunk: bytes) -> Iterator[Happening]:
        """Take in bytes and yield what they complete. Raises SpdyError."""
        self._buffer += chunk
        while len(self._buffer) >= 8:
            first, second = struct.unpack(">II", self._buffer[:8])
            length, flags = second & 0xFFFFFF, second >> 24
            if length > FRAME_LIMIT:
                raise SpdyError(f"a frame of {length} bytes is too long")
            if len(self._buffer) < 8 + length:
                return
            payload, self._buffer = self._buffer[8 : 8 + length], self._buffer[8 + length :]
            if first >> 31:
                yield from self._control(first, flags, payload)
            else:
                yield Data(first, payload, bool(flags & _FIN))

    def _control(self, head: int, flags: int, payload: bytes) -> Iterator[Happening]:
        if head >> 16 != _VERSION:
            raise SpdyError(f"version {(head >> 16) & 0x7FFF} is not SPDY/3")
        kind = head & 0xFFFF
        if kind == _SYN_STREAM:
            if len(payload) < 10:
                raise SpdyError("SYN_STREAM is too short")
            (stream,) = struct.unpack(">I", payload[:4])
            yield Opened(stream & 0x7FFFFFFF, self._headers(payload[10:]), bool(flags & _FIN))
        elif kind == _RST_STREAM and len(payload) >= 4:
            yield Reset(struct.unpack(">I", payload[:4])[0] & 0x7FFFFFFF)
        elif kind == _PING:
            yield Pinged(_frame(_PING, 0, payload))

    def _headers(self, packed: bytes) -> dict[str, str]:
        try:
            raw = self._inflate.decompress(packed, _HEADERS_LIMIT)
        except zlib.error as error:
            raise SpdyError(f"headers cannot be decompressed: {error}") from None
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers are too long")
        try:
            return dict(_name_values(raw))
        except (struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"headers cannot be read: {error}") from None

    def accept(self, stream: int) -> bytes:
        """Return the reply that accepts a stream."""
        packed = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _frame(_SYN_REPLY, 0, struct.pack(">I", stream) + packed)

    def data(self, stream: int, chunk: bytes, *, finished: bool = False) -> bytes:
        """Return a part of a stream."""
        return struct.pack(">II", stream, (_FIN if finished else 0) << 24 | len(chunk)) + chunk


def _name_values(raw: bytes) -> Iterator[tuple[str, str]]:
    (count,) = struct.unpack_from(">I", raw)
    offset = 4
    for _ in range(count):
        name, offset = _text(raw, offset)
        value, offset = _text(raw, offset)
        yield name.lower(), value


def _text(raw: bytes, offset: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", raw, offset)
    end = offset + 4 + length
    if end > len(raw):
        raise struct.error("a header is cut off")
    return raw[offset + 4 : end].decode(), end


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", _VERSION, kind, flags << 24 | len(payload)) + payload
