"""Requests that no gRPC library would send: raw HTTP/2 frames with any bytes in their headers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_HEADERS, _DATA, _SETTINGS = 1, 0, 4
_END_STREAM, _END_HEADERS = 1, 4


@contextmanager
def sent(port: int, path: bytes, *metadata: tuple[bytes, bytes], body: bytes = b"x") -> Iterator[socket.socket]:
    """Send one request, and keep the connection open as long as the block runs."""
    pseudo = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"test"))
    fields = (*pseudo, (b"content-type", b"application/grpc"), (b"te", b"trailers"), *metadata)
    message = b"\0" + len(body).to_bytes(4) + body
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        connection.sendall(_frame(_HEADERS, _END_HEADERS, 1, b"".join(_literal(*field) for field in fields)))
        connection.sendall(_frame(_DATA, _END_STREAM, 1, message))
        yield connection


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a header field in HPACK that is not indexed and not compressed."""
    return b"\0" + _text(name) + _text(value)


def _text(content: bytes) -> bytes:
    length, rest = len(content), b""
    if length >= 127:
        length -= 127
        while length >= 128:
            rest += bytes((length % 128 + 128,))
            length //= 128
        rest, length = b"\x7f" + rest + bytes((length,)), None
    return (rest if length is None else bytes((length,))) + content
