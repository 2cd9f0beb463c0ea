"""HTTP/1.1 to one server: keep-alive connections, TLS, bodies read whole or as they arrive.

An own client on httptools because a component makes thousands of small requests: it costs a quarter of the
processor time of httpx2 for one request, and none of its 75 ms of import (docs/client.md has the figures).
Next: `client`, which speaks of Kubernetes objects.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httptools

from roadstead.api.errors import ServiceUnavailable
from roadstead.client.requests import Request

# A body that its reader does not keep up with stops being read from the socket.
_BUFFER_LIMIT = 1 << 20
_CONCURRENT_REQUESTS = 16

Dial: TypeAlias = Callable[[], Awaitable[socket.socket]]
"""Return a new connection to the server, where it is not reached by its address. Raises OSError."""


class ServerUnreachable(ServiceUnavailable):
    """There was no answer: no connection, or it broke before the answer was complete."""


class _StaleConnection(ServerUnreachable):
    """A kept connection was closed by the server before it saw the request: try again on a new one."""


class Response:
    """An answer whose head has arrived; its body is read once, by `read` or by `chunks`."""

    def __init__(self, connection: "_Connection") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._complete = False
        self._error: ServerUnreachable | None = None
        self._wake = asyncio.get_running_loop().create_future()

    async def head(self) -> None:
        """Wait for status and headers. Raises ServerUnreachable."""
        while self.status == 0 and self._error is None:
            await self._sleep()
        if self.status == 0 and self._error is not None:
            raise self._error

    async def read(self) -> bytes:
        """Return the whole body. Raises ServerUnreachable if it is cut short."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises ServerUnreachable if it is cut short."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._buffered -= len(chunk)
                yield chunk
            if self._complete:
                return
            if self._error is not None:
                raise self._error
            self._connection.resume()
            await self._sleep()

    async def lines(self, idle_timeout: float) -> AsyncIterator[bytes]:
        """Yield the body line by line. Raises ServerUnreachable, also after `idle_timeout` seconds of silence."""
        chunks, rest = self.chunks(), b""
        while True:
            try:
                async with asyncio.timeout(idle_timeout):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise ServerUnreachable(f"the stream was silent for {idle_timeout:g} s") from error
            if chunk is None:
                break
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield line
        if rest:
            yield rest

    def close(self) -> None:
        """Give up on the rest of the body; the connection is dropped unless the answer was complete."""
        if not self._complete:
            self._connection.abort()

    @property
    def complete(self) -> bool:
        """Whether the whole body has arrived."""
        return self._complete

    async def _sleep(self) -> None:
        if self._wake.done():
            self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def _awake(self) -> None:
        if not self._wake.done():
            self._wake.set_result(None)

    def started(self, status: int) -> None:
        """Note the status; called by the connection."""
        self.status = status
        self._awake()

    def received(self, chunk: bytes) -> bool:
        """Take a piece of the body and say whether there is room for more; called by the connection."""
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        self._awake()
        return self._buffered < _BUFFER_LIMIT

    def finished(self, error: ServerUnreachable | None = None) -> None:
        """Note that the body is complete, or why it never will be; called by the connection."""
        self._complete = error is None
        self._error = error
        self._awake()


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way; its `on_*` methods are what httptools calls."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._response: Response | None = None
        self._reused = False
        self._lost = asyncio.get_running_loop().create_future()
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was closed{f': {exc}' if exc else ''}")
        self._transport = None
        if not self._lost.done():
            self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the answer is not HTTP/1.1: {error}")
            self.abort()

    def send(self, content: bytes) -> Response:
        """Send a request and return the response to wait for."""
        self._parser = httptools.HttpResponseParser(self)
        self._response = response = Response(self)
        if self._transport is None:
            response.finished(_StaleConnection("the connection was closed"))
        else:
            self._transport.write(content)
        return response

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._response is not None
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        assert self._response is not None
        status = self._parser.get_status_code()
        if status >= 200:  # 1xx announce the real answer
            self._response.started(status)

    def on_body(self, body: bytes) -> None:
        assert self._response is not None
        if not self._response.received(body) and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or response.status == 0:
            return
        self._response = None
        self._reused = True
        keep_alive = self._parser.should_keep_alive()
        response.finished()
        if not keep_alive:
            self.abort()

    def resume(self) -> None:
        """Read on after the reader has caught up."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Drop the connection and wait until it is gone."""
        self.abort()
        await self._lost

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._response is None and self._transport is not None and not self._transport.is_closing()

    def _fail(self, why: str) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        stale = self._reused and response.status == 0
        response.finished((_StaleConnection if stale else ServerUnreachable)(why))


class HttpClient:
    """Requests to one server over a pool of connections."""

    def __init__(
        self,
        server: str,
        tls: ssl.SSLContext | None,
        *,
        server_name: str = "",
        user_agent: str,
        dial: Dial | None = None,
    ) -> None:
        url = urlsplit(server)
        self._dial = dial
        self._host = url.hostname or ""
        self._tls = tls if url.scheme == "https" else None
        self._port = url.port or (443 if self._tls else 80)
        self._server_name = server_name or self._host
        self._prefix = url.path.rstrip("/")
        self._fixed = f"Host: {url.netloc}\r\nUser-Agent: {user_agent}\r\nAccept: application/json\r\n"
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._slots = asyncio.Semaphore(_CONCURRENT_REQUESTS)
        self._closed = False

    async def request(self, request: Request, token: str, timeout: float) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body. Raises ServerUnreachable, also when `timeout` seconds pass first."""
        async with self._slots:
            try:
                async with asyncio.timeout(timeout):
                    response = await self.stream(request, token)
                    try:
                        body = await response.read()
                    finally:
                        self.release(response)
            except TimeoutError as error:
                raise ServerUnreachable(f"{self._name()}: no answer within {timeout:g} s") from error
        return response.status, response.headers, body

    async def stream(self, request: Request, token: str) -> Response:
        """Return the response when its head has arrived; hand it to `release` afterwards. Raises ServerUnreachable."""
        content = self._encode(request, token)
        try:
            return await self._attempt(await self._connection(), content)
        except _StaleConnection:
            # Nothing of an answer arrived. Only a read is safe to repeat: a write may have been carried out.
            if request.method != "GET":
                raise
            return await self._attempt(await self._connect(), content)

    def release(self, response: Response) -> None:
        """Return a response's connection to the pool, or drop it if its body was not read to the end."""
        response.close()
        connection = response._connection
        if connection.reusable and not self._closed:
            self._idle.append(connection)

    async def aclose(self) -> None:
        """Close every connection, those under way too."""
        self._closed = True
        self._idle.clear()
        await asyncio.gather(*(connection.close() for connection in list(self._all)))

    async def _attempt(self, connection: _Connection, content: bytes) -> Response:
        response = connection.send(content)
        try:
            await response.head()
        except BaseException:
            connection.abort()
            raise
        return response

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return await self._connect()

    async def _connect(self) -> _Connection:
        if self._closed:
            raise ServerUnreachable("the client is closed")
        try:
            connection = await self._open()
        except OSError as error:  # ssl.SSLError is one
            raise ServerUnreachable(f"cannot connect to {self._name()}: {error}") from error
        self._all.add(connection)
        connection._lost.add_done_callback(lambda _: self._all.discard(connection))
        return connection

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._dial is not None:
            return (await loop.create_connection(_Connection, sock=await self._dial()))[1]
        name = self._server_name if self._tls else None
        made = loop.create_connection(_Connection, self._host, self._port, ssl=self._tls, server_hostname=name)
        return (await made)[1]

    def _encode(self, request: Request, token: str) -> bytes:
        head = f"{request.method} {self._prefix}{request.target} HTTP/1.1\r\n{self._fixed}"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        if request.content_type:
            head += f"Content-Type: {request.content_type}\r\n"
        if request.body or request.method not in ("GET", "HEAD"):
            head += f"Content-Length: {len(request.body)}\r\n"
        return head.encode("latin-1") + b"\r\n" + request.body

    def _name(self) -> str:
        return f"{self._host}:{self._port}"
