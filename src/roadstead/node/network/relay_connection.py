"""One relayed connection: two sockets, and what goes from each to the other without being read by anybody.

Bytes move by `splice` through a pipe, one pipe's worth per turn, so that a large download takes its turn with the small
request beside it. What the target cannot take stays in the pipe, and its source is not read until it is empty: a
connection holds at most two pipes of buffer. Each direction ends by itself (half-close). Driven by `relay`.
"""

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable

_CHUNK = 1 << 16
_MOVE_NONBLOCKING = 1 | 2
_RESET = struct.pack("ii", 1, 0)


class PipePool:
    """Pipes that are not in use; a direction borrows one only while bytes are on their way."""

    def __init__(self, spare: int = 64) -> None:
        self._spare = spare
        self._free: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        """Return an empty pipe: reading and writing descriptor."""
        return self._free.pop() if self._free else os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def give_back(self, pipe: tuple[int, int], *, empty: bool) -> None:
        """Take a pipe back; one that still holds bytes is closed."""
        if empty and len(self._free) < self._spare:
            self._free.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])


class _Direction:
    """What one socket says to the other."""

    def __init__(self, source: socket.socket, target: socket.socket, pipes: PipePool) -> None:
        self._source, self._target, self._pipes = source, target, pipes
        self._pipe: tuple[int, int] | None = None
        self.waiting = 0
        """Bytes in the pipe that the target could not take yet."""
        self.ended = False

    def move(self) -> None:
        """Move one chunk, or note the end. Raises OSError when one side is gone."""
        if not self.waiting and not self.ended:
            self._read()
        if self.waiting:
            self._write()
        if not self.waiting and self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=True)
            self._pipe = None

    def _read(self) -> None:
        if self._pipe is None:
            self._pipe = self._pipes.take()
        try:
            self.waiting = os.splice(self._source.fileno(), self._pipe[1], _CHUNK, flags=_MOVE_NONBLOCKING)
        except BlockingIOError:
            return
        if self.waiting == 0:
            self.ended = True
            self._target.shutdown(socket.SHUT_WR)

    def _write(self) -> None:
        assert self._pipe is not None
        try:
            self.waiting -= os.splice(self._pipe[0], self._target.fileno(), self.waiting, flags=_MOVE_NONBLOCKING)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Let go of the pipe."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=not self.waiting)
            self._pipe = None


class Connection:
    """A client and its target; `register(connection, socket, events)` tells the poll loop what to wait for."""

    def __init__(
        self,
        client: socket.socket,
        target: socket.socket,
        pipes: PipePool,
        register: "Callable[[Connection, socket.socket, int], None]",
    ) -> None:
        self._client, self._target, self._register = client, target, register
        self._up, self._down = _Direction(client, target, pipes), _Direction(target, client, pipes)
        self._connected = self._closed = False
        self._events: dict[socket.socket, int] = {}
        for end in (client, target):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def open(self, address: tuple[str, int]) -> None:
        """Start to connect the target's socket. Raises OSError when that is impossible at once."""
        with contextlib.suppress(BlockingIOError):
            self._target.connect(address)
        self._want(self._target, select.EPOLLOUT)

    def proceed(self, end: socket.socket, events: int) -> None:
        """Do what an event allows; close the connection when both directions have ended or one side failed."""
        if self._closed:
            return  # by an earlier event of the same round
        try:
            goes_on = self._proceed(end, events)
        except OSError:
            self.abort()
        else:
            if not goes_on:
                self.close()

    def _proceed(self, end: socket.socket, events: int) -> bool:
        if not self._connected:
            error = self._target.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self._connected = True
        reading, writing = (self._up, self._down) if end is self._client else (self._down, self._up)
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            reading.move()
        if events & select.EPOLLOUT:
            writing.move()
        self._want(self._client, _interest(self._up, self._down))
        self._want(self._target, _interest(self._down, self._up))
        return not (self._up.ended and self._down.ended)

    def _want(self, end: socket.socket, events: int) -> None:
        if self._events.get(end) != events:
            self._events[end] = events
            self._register(self, end, events)

    def abort(self) -> None:
        """End both sides with a reset, as the side that failed did."""
        for end in (self._client, self._target):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close both sockets and give the pipes back."""
        self._closed = True
        for end in (self._client, self._target):
            self._want(end, 0)
            end.close()
        self._up.close()
        self._down.close()


def _interest(reading: _Direction, writing: _Direction) -> int:
    """Return what to wait for on a socket: more to read unless its reader is full or done, room if its writer waits."""
    wanted = 0 if reading.ended or reading.waiting else select.EPOLLIN
    return wanted | (select.EPOLLOUT if writing.waiting else 0)
