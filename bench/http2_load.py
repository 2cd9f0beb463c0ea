"""A gRPC load generator and a gRPC backend that do as little as possible, so that what stands between them is measured.

Both speak raw HTTP/2 with messages that are encoded beforehand and look at frame headers only: some 50,000 calls a
second on one core, where a client on grpcio reaches 3,000. One call is one HEADERS and one DATA frame; its answer is
HEADERS, DATA and trailers. Nothing is verified here: make one real call first.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_ENDING, _ANSWERED = (DATA, HEADERS), (SETTINGS, PING)
_WINDOW = 0x7FFFFFFF
_MESSAGE = b"\0\0\0\0\x10" + b"x" * 16


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return an HTTP/2 frame."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def header(name: str, value: str) -> bytes:
    """Return a header field in HPACK, as a literal that nobody indexes."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


def block(*fields: tuple[str, str]) -> bytes:
    """Return an HPACK header block."""
    return b"".join(header(name, value) for name, value in fields)


def opening() -> bytes:
    """Return SETTINGS and a WINDOW_UPDATE that take flow control out of the way."""
    settings = b"".join(key.to_bytes(2) + value.to_bytes(4) for key, value in ((3, 100_000), (4, _WINDOW)))
    return frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, (_WINDOW - 65535).to_bytes(4))


def message(count: int) -> bytes:
    """Return gRPC messages of sixteen bytes each, one after the other."""
    return _MESSAGE * count


def encrypted() -> ssl.SSLContext:
    """Return what speaks HTTP/2 by TLS to whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


class Frames(asyncio.Protocol):
    """Cuts a connection's bytes into frames and answers what every peer must answer."""

    transport: asyncio.Transport
    greeting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.rest = b""
        self.skip = len(PREFACE) if not self.greeting else 0
        transport.write(self.greeting + opening())

    def data_received(self, received: bytes) -> None:
        """Cut what has come into frames and keep an unfinished one."""
        buffer = self.rest + received
        if len(buffer) < self.skip:
            self.rest = buffer
            return
        at, self.skip = self.skip, 0
        replies = []
        while len(buffer) - at >= 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3])
            if end > len(buffer):
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            if (kind in _ENDING and flags & END_STREAM) or kind == RESET:
                replies.append(self.ended(int.from_bytes(buffer[at + 5 : at + 9]), kind))
            elif kind in _ANSWERED and not flags & ACK:
                replies.append(frame(kind, ACK, 0, buffer[at + 9 : end] if kind == PING else b""))
            at = end
        self.rest = buffer[at:]
        if replies:
            self.transport.write(b"".join(replies))

    def ended(self, stream: int, kind: int) -> bytes:
        """Return what to send when the peer has ended a stream."""
        raise NotImplementedError


class Backend(Frames):
    """Answers every call with messages of sixteen bytes, a frame each, and OK."""

    _head = block((":status", "200"), ("content-type", "application/grpc"))
    _trailers = block(("grpc-status", "0"))

    def __init__(self, messages: int = 1) -> None:
        self._messages = messages

    def ended(self, stream: int, kind: int) -> bytes:
        """Return a whole answer."""
        if kind == RESET:
            return b""
        return (
            frame(HEADERS, END_HEADERS, stream, self._head)
            + frame(DATA, 0, stream, _MESSAGE) * self._messages
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, self._trailers)
        )


@dataclass
class Result:
    """What a run has seen: calls, their latencies in seconds, and streams that were reset."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    resets: int = 0

    @property
    def rps(self) -> float:
        """Calls a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds below which this share of calls lies."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


class Client(Frames):
    """Keeps a number of calls open on one connection until it is told to stop."""

    greeting = PREFACE

    def __init__(self, authority: str, path: str, calls: int, result: Result, scheme: str = "http") -> None:
        self._head = block(
            (":method", "POST"), (":scheme", scheme), (":path", path), (":authority", authority),
            ("te", "trailers"), ("content-type", "application/grpc"),
        )  # fmt: skip
        self._calls, self._result = calls, result
        self._next, self._started = 1, {}
        self.stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the connection and the first calls."""
        super().connection_made(transport)
        self.transport.write(b"".join(self._call() for _ in range(self._calls)))

    def _call(self) -> bytes:
        stream, self._next = self._next, self._next + 2
        self._started[stream] = time.perf_counter()
        return frame(HEADERS, END_HEADERS, stream, self._head) + frame(DATA, END_STREAM, stream, _MESSAGE)

    def ended(self, stream: int, kind: int) -> bytes:
        """Note the latency and return the next call."""
        started = self._started.pop(stream, None)
        if kind == RESET:
            self._result.resets += 1
        elif started is not None:
            self._result.latencies.append(time.perf_counter() - started)
        return b"" if self.stopping else self._call()


async def load(
    port: int,
    *,
    seconds: float,
    authority: str,
    path: str,
    connections: int = 8,
    calls: int = 8,
    tls: ssl.SSLContext | None = None,
) -> Result:
    """Call without pause for some seconds and return what was seen."""
    result, loop = Result(), asyncio.get_running_loop()
    clients = [Client(authority, path, calls, result, "https" if tls else "http") for _ in range(connections)]
    name = authority if tls else None
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port, ssl=tls, server_hostname=name)
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    result.seconds = time.perf_counter() - started
    for client in clients:
        client.stopping = True
        client.transport.abort()
    return result
