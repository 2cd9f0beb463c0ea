"""A process's place among others on one port: how it learns of it, and what it and its parent tell each other.

The parent says it in an environment variable, with its own pid: a program that a server starts inherits the variable
and is no server process. Between the two is a socket. The process writes when it serves; when it reads the end, its
parent is gone, and it leaves.
"""

import os
import re
import socket
import threading
from collections.abc import Callable, Mapping

import msgspec

VARIABLE = "ROADSTEAD_SERVER_PROCESS"
SERVING = b"serving"
_FORM = re.compile(r"(?P<number>\d+) of (?P<count>\d+), port (?P<port>\d+), parent (?P<parent>\d+), fd (?P<fd>\d+)")


class Place(msgspec.Struct, frozen=True):
    """Process `number` of `count` on `port`. `fd` is its end of the socket to its parent."""

    number: int
    count: int
    port: int
    parent: int
    fd: int

    def __str__(self) -> str:
        """The variable's value."""
        return f"{self.number} of {self.count}, port {self.port}, parent {self.parent}, fd {self.fd}"

    def tell_serving(self, on_orphaned: Callable[[], object]) -> None:
        """Tell the parent that this process serves, and call `on_orphaned`, in a thread, when the parent is gone."""
        line = socket.socket(fileno=self.fd)
        line.set_inheritable(False)
        line.sendall(SERVING)
        threading.Thread(target=_await_end, args=(line, on_orphaned), name="parent", daemon=True).start()


def _await_end(line: socket.socket, on_orphaned: Callable[[], object]) -> None:
    with line:
        try:
            while line.recv(64):
                pass
        except OSError:
            pass  # a parent that was killed may leave a reset behind: gone is gone
    on_orphaned()


def place(variables: Mapping[str, str] = os.environ) -> Place | None:
    """Return this process's place; None if it is no process of a parent that supervises."""
    found = _FORM.fullmatch(variables.get(VARIABLE, ""))
    if found is None:
        return None
    told = Place(**{name: int(value) for name, value in found.groupdict().items()})
    return told if told.parent == os.getppid() else None
