"""Getting a small document from an address, in a time that whoever answers has no say in.

A socket's time limit is one for each operation, so a byte now and then would keep a reader for ever: in the headers as
well as in the body. Here each operation gets what is left of the time for all of them.
"""

import http.client
import io
import ssl
import time
import urllib.request
from collections.abc import Collection
from functools import partial
from typing import Any
from urllib.parse import urlsplit

# Connecting to one address, a handshake, one more piece of the answer: if that takes longer, nobody is there. (How long
# finding the addresses of a name may take, the system's resolver says.)
_PATIENCE = 5.0


def check_scheme(url: str, schemes: Collection[str]) -> None:
    """Raise ValueError unless an address has one of these schemes."""
    if urlsplit(url).scheme not in schemes:
        raise ValueError(f"{url!r} does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")


def fetch(url: str, *, tls: ssl.SSLContext, schemes: Collection[str], largest: int, limit: float) -> bytes:
    """Return what is to be had at `url`, also after redirects, none of which leads to other `schemes`.

    Raises OSError or http.client.HTTPException if nothing comes, TimeoutError if that is not all there within `limit`
    seconds, ValueError if it is more than `largest` bytes.
    """
    with _opener(_Handler(tls, schemes, _TimeLeft(limit))).open(url, timeout=min(_PATIENCE, limit)) as response:
        content: bytes = response.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest} bytes")
    return content


class _TimeLeft:
    """The time that is left of `limit` seconds from now on."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._end = time.monotonic() + limit

    def for_one_step(self) -> float:
        """Return how long the next operation may take; raises TimeoutError if there is no time left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"it is not all there after {self._limit:g} s")
        return min(_PATIENCE, left)


class _Bytes(io.RawIOBase):
    """What comes in from a socket while there is time left."""

    def __init__(self, sock: Any, time_left: _TimeLeft) -> None:
        self._sock = sock
        self._time_left = time_left
        # This keeps the socket open when its connection is closed, as that of an answer is once it has begun.
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._time_left.for_one_step())
        count: int | None = self._bytes.readinto(buffer)
        return count

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _Source:
    """The part of a socket that an HTTPResponse needs."""

    def __init__(self, sock: Any, time_left: _TimeLeft) -> None:
        self._sock = sock
        self._time_left = time_left

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Bytes(self._sock, self._time_left))


class _Timed(http.client.HTTPConnection):
    """A connection each step of which takes no more than the time that is left, also those with a proxy."""

    time_left: _TimeLeft

    def response_class(  # type: ignore[override]  # it is only ever called
        self, sock: Any, *arguments: Any, **settings: Any
    ) -> http.client.HTTPResponse:
        source: Any = _Source(sock, self.time_left)
        return http.client.HTTPResponse(source, *arguments, **settings)

    def connect(self) -> None:
        self.timeout = self.time_left.for_one_step()
        super().connect()
        # For the handshake, if there is one: this is what HTTPSConnection connects by.
        self.sock.settimeout(self.time_left.for_one_step())


class _TimedTls(http.client.HTTPSConnection, _Timed):
    """The same with TLS."""


def _made(kind: type[_Timed], time_left: _TimeLeft, host: str, **settings: Any) -> _Timed:
    connection = kind(host, **settings)
    connection.time_left = time_left
    return connection


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Opens addresses by such connections, each one that a redirect leads to as well."""

    def __init__(self, tls: ssl.SSLContext, schemes: Collection[str], time_left: _TimeLeft) -> None:
        super().__init__(context=tls)
        self._tls = tls
        self._schemes = schemes
        self._time_left = time_left

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        check_scheme(request.full_url, self._schemes)
        return self.do_open(partial(_made, _Timed, self._time_left), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        check_scheme(request.full_url, self._schemes)
        return self.do_open(partial(_made, _TimedTls, self._time_left), request, context=self._tls)


def _opener(handler: _Handler) -> Any:
    # Made by hand: the default one would also read files and speak FTP, wherever a redirect leads.
    opener = urllib.request.OpenerDirector()
    for each in (
        urllib.request.ProxyHandler(),
        handler,
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(each)
    return opener
