"""The parent of several server processes: starts them, replaces those that end, passes signals on, and ends last.

One plain loop over one selector: signals, children that end and children that say they serve all arrive there. As a
container's first process it also takes leave of orphans, which nobody else would.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from roadstead.service.processes.place import SERVING, VARIABLE, Place
from roadstead.service.processes.replacement import Seat, is_hopeless
from roadstead.service.processes.shared_metrics import forget, shared_metrics

_log = structlog.get_logger(__name__)
_LEAVING = (signal.SIGTERM, signal.SIGINT)


def supervise(count: int, host: str, port: int, variables: Mapping[str, str] = os.environ) -> int:
    """Run this program `count` times on one port until SIGTERM or SIGINT. Returns an exit code: 0 if all ended well.

    `host` is "" for all addresses; `port` 0 picks one. Raises RuntimeError if the port is taken. Only a process's main
    thread may call it.
    """
    with (
        reserve(host, port) as reserved,
        shared_metrics(variables) as shared,
        _Parent(count, reserved.getsockname()[1], own_command(), shared) as parent,
    ):
        return parent.run()


def own_command() -> list[str]:
    """Return the command that started this program."""
    return [sys.executable, *sys.orig_argv[1:]]


def reserve(host: str, port: int) -> socket.socket:
    """Bind a port without listening on it: it stays this program's, also while no process of it runs.

    Raises RuntimeError if somebody listens on it already; the kernel itself would let a second program join.
    """
    family, *_, address = _resolved(host, port)
    try:
        with socket.socket(family) as probe:
            # With this, connections that have ended count for nothing, and listeners for what they are.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            taken = probe.getsockname()
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(taken)
    except OSError as error:
        raise RuntimeError(f"cannot listen on port {port} of {host or 'all addresses'}: {error.strerror}") from error
    return reserved


def _resolved(host: str, port: int) -> tuple[Any, ...]:
    if not host and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"
    try:
        return socket.getaddrinfo(host or "::", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise RuntimeError(f"{host!r} is no address on which several processes could listen: {error}") from error


class _Child:
    """A running process with the parent's end of the socket between them."""

    def __init__(self, process: "subprocess.Popen[bytes]", line: socket.socket) -> None:
        self.process = process
        self.line = line


class _Parent:
    def __init__(self, count: int, port: int, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._port = port
        self._command = command
        self._variables = variables
        self._seats = [Seat() for _ in range(count)]
        self._children: dict[int, _Child] = {}
        self._leaving = False
        self._hurried = False
        self._exit_code = 0
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> "_Parent":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():  # only after an error of ours: none may stay
            child.process.kill()
            child.process.wait()
            child.line.close()
        self._selector.close()

    def run(self) -> int:
        """Run until asked to leave and all have left, or until it is hopeless."""
        with _signals_to_a_socket((*_LEAVING, signal.SIGCHLD)) as signals:
            self._selector.register(signals, selectors.EVENT_READ, None)
            while self._children or not self._leaving:
                self._start_due()
                for key, _ in self._selector.select(self._timeout()):
                    if key.data is None:
                        self._on_signals(signals.recv(4096))
                    else:
                        self._on_word(key.data)
                self._take_leave()
        _log.info("all processes have ended", exit_code=self._exit_code)
        return self._exit_code

    def _timeout(self) -> float | None:
        if self._leaving:
            return None
        waiting = [seat.due for seat in self._seats if not seat.running]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _start_due(self) -> None:
        now = time.monotonic()
        for number, seat in enumerate(self._seats):
            if not self._leaving and not seat.running and seat.due <= now:
                self._start(number, now)

    def _start(self, number: int, now: float) -> None:
        ours, theirs = socket.socketpair()
        told = Place(number + 1, len(self._seats), self._port, os.getpid(), theirs.fileno())
        environment = {**self._variables, VARIABLE: str(told)}
        with theirs:
            process = subprocess.Popen(self._command, env=environment, pass_fds=[theirs.fileno()])
        self._children[number] = _Child(process, ours)
        self._seats[number].start(now)
        self._selector.register(ours, selectors.EVENT_READ, number)

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in _LEAVING:
                self._leave()

    def _leave(self) -> None:
        """Ask every process to leave, at once: they are one pod. Asked again, they hurry."""
        self._hurried = self._leaving
        self._leaving = True
        for child in self._children.values():
            child.process.send_signal(signal.SIGTERM)

    def _on_word(self, number: int) -> None:
        line = self._children[number].line
        word = line.recv(64)
        if word.startswith(SERVING):
            self._seats[number].serving = True
        else:
            self._selector.unregister(line)  # the end is told by SIGCHLD, with its exit code

    def _take_leave(self) -> None:
        """Look which children have ended."""
        for number, child in tuple(self._children.items()):
            code = child.process.poll()
            if code is not None:
                self._ended(number, code)
        if os.getpid() == 1:
            _reap_orphans({child.process.pid for child in self._children.values()})

    def _ended(self, number: int, code: int) -> None:
        child, seat = self._children.pop(number), self._seats[number]
        if child.line in self._selector.get_map():
            self._selector.unregister(child.line)
        child.line.close()
        forget(child.process.pid)
        # One that is asked to leave while it is starting, or again while it is exiting, is ended by the signal itself.
        unheard = self._hurried or (self._leaving and not seat.serving)
        well = code == 0 or (unheard and code == -signal.SIGTERM)
        if self._leaving:
            self._exit_code = self._exit_code if well else 1
            return
        if is_hopeless(self._seats, seat):
            _log.error("a process ended before it served, and no other serves: giving up", number=number + 1, code=code)
            self._exit_code = 1
            self._leave()
            return
        seat.end(time.monotonic())
        wait = max(0.0, seat.due - time.monotonic())
        _log.error("a process ended and is replaced", number=number + 1, code=code, wait=round(wait, 1))


@contextmanager
def _signals_to_a_socket(numbers: Sequence[int]) -> Iterator[socket.socket]:
    """Turn signals into bytes on a socket, whatever threads there are; undone at the end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = {number: signal.signal(number, _noticed) for number in numbers}
    previous = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        with ours, theirs:
            yield ours
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)


def _noticed(_number: int, _frame: Any) -> None:
    """Do nothing: a handler must be there for the number to be written to the socket."""


def _reap_orphans(own: set[int]) -> None:
    """Take leave of ended processes that are nobody's: they are handed to a container's first process."""
    try:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in own:
                return  # it ended just now, and its signal wakes the loop once more
            os.waitpid(ended.si_pid, 0)
    except ChildProcessError:
        return
