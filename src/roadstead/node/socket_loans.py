"""Sockets of a pod's or the edge's network, lent in packets to a process that is not in that network.

The relay needs one for each connection and must not wait for a busy supervisor, so netd answers it directly. A borrower
asks with one byte, a number, and gets that byte back with as many sockets. Called by `netd_loop`.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator

MakeSocket = Callable[[str], socket.socket]
"""Returns a TCP socket of a source's network that is not connected. Raises OSError, or KeyError for no such source."""


class SocketLoans:
    """The borrowers, by the descriptor of the channel on which each asks."""

    def __init__(self, make: MakeSocket) -> None:
        self._make = make
        self._borrowers: dict[int, tuple[socket.socket, str]] = {}

    def add(self, descriptor: int, source: str) -> int:
        """Lend sockets of `source` to the other end of this packet socket; return the descriptor to watch."""
        channel = socket.socket(fileno=descriptor)
        channel.setblocking(False)
        self._borrowers[channel.fileno()] = channel, source
        return channel.fileno()

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._borrowers

    def serve(self, descriptor: int) -> bool:
        """Answer one request; false when the borrower is gone: then its descriptor is closed and must not be watched.

        Where fewer sockets can be had than are asked for, the borrower gets those.
        """
        channel, source = self._borrowers[descriptor]
        with contextlib.ExitStack() as made, contextlib.suppress(OSError):
            if count := channel.recv(1):
                lent = [made.enter_context(entry).fileno() for entry in self._sockets(source, count[0])]
                socket.send_fds(channel, [count], lent) if lent else channel.send(count)
                return True
        del self._borrowers[descriptor]
        channel.close()
        return False

    def _sockets(self, source: str, count: int) -> Iterator[socket.socket]:
        for _ in range(count):
            try:
                yield self._make(source)
            except (OSError, KeyError):
                return
