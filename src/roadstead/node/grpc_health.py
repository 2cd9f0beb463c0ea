"""One gRPC health check on a socket that is already connected, as frames of HTTP/2 written by hand.

grpcio cannot take a socket from another network namespace, and a kubelet's probe is a single fixed request
(`grpc.health.v1.Health/Check`, plaintext), so its bytes are made here: pure, `probe_checks` moves them. Frames:
RFC 9113 section 4 and 6; header fields without compression: RFC 7541 section 6.2.2.
"""

import struct
from collections.abc import Iterator
from enum import Enum

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PADDED = 8
_STREAM = 1


class Health(Enum):
    """`grpc.health.v1.HealthCheckResponse.ServingStatus`."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


def request(service: str, authority: str) -> bytes:
    """Return all that the client says first: preface, settings, and the one request."""
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority), ("content-type", "application/grpc"), ("te", "trailers"),
        ("user-agent", "kube-probe/1.37"),
    ]  # fmt: skip
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    body = struct.pack("!BI", 0, len(message)) + message
    block = b"".join(_field(key, value) for key, value in headers)
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, block)
        + _frame(_DATA, _END_STREAM, _STREAM, body)
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def _field(name: str, value: str) -> bytes:
    """A literal header field without indexing, new name, no Huffman code."""
    return b"\x00" + _prefixed(name.encode()) + _prefixed(value.encode())


def _prefixed(text: bytes) -> bytes:
    """A length with a 7-bit prefix (RFC 7541 section 5.1) and the text."""
    if len(text) < 127:
        return bytes((len(text),)) + text
    return b"\x7f" + _varint(len(text) - 127) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class Exchange:
    """Reads the server's frames: `feed` what arrives and send what it returns, until `done`."""

    def __init__(self) -> None:
        self.done = False
        self.health: Health | None = None
        self.problem = ""
        self._buffer = bytearray()
        self._body = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the server (none: it closed) and return the acknowledgements to send."""
        if not chunk:
            self._finish("the connection was closed before an answer")
            return b""
        self._buffer += chunk
        return b"".join(self._take(kind, flags, payload) for kind, flags, payload in self._frames())

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        while len(self._buffer) >= 9 and not self.done:
            length = int.from_bytes(self._buffer[:3])
            if self._buffer[:5] == b"HTTP/":
                self._finish("the server speaks HTTP/1, not HTTP/2: is this a gRPC port?")
                return
            if len(self._buffer) < 9 + length:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            payload = bytes(self._buffer[9 : 9 + length])
            del self._buffer[: 9 + length]
            yield kind, flags, payload

    def _take(self, kind: int, flags: int, payload: bytes) -> bytes:
        if kind == _SETTINGS and not flags & _ACK:
            return _frame(_SETTINGS, _ACK, 0, b"")
        if kind == _PING and not flags & _ACK:
            return _frame(_PING, _ACK, 0, payload)
        if kind == _DATA:
            self._body += payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload
            self._read_answer()
        elif kind == _HEADERS and flags & _END_STREAM:
            self._finish("the server answered without a health status: is grpc.health.v1.Health registered for it?")
        elif kind in (_RESET, _GOAWAY):
            self._finish("the server refused the request")
        return b""

    def _read_answer(self) -> None:
        if len(self._body) < 5 or len(self._body) < 5 + int.from_bytes(self._body[1:5]):
            return
        message = self._body[5:]
        number = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
        self.health = Health(number) if number in {one.value for one in Health} else Health.UNKNOWN
        self.done = True

    def _finish(self, problem: str) -> None:
        if not self.done:
            self.done, self.problem = True, problem
