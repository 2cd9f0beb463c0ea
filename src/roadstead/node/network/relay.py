"""The way from the host into the cluster: a process that listens on the host's addresses and relays connections.

It is a process of its own, so that a busy control plane adds nothing to a request. Each connection is dialled from the
`edge` network namespace, on a socket that was made there and lent to this process ahead of time, so that policies see
outside traffic as what it is. Without a node network (isolation `none`) it makes its own sockets and stands in for
ClusterIPs. The supervisor's side is `relay_client`; what listens where is decided by `loadbalancer`.
"""

import contextlib
import errno
import os
import random
import resource
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import msgspec

from roadstead.node.network.relay_connection import Connection, PipePool
from roadstead.node.syscalls import receive

_FALLBACK = 8000
_MESSAGE_BYTES = 1 << 16
_LARGEST_LOAN = 16
_WANTED_SOCKETS = 64
_MAX_WAITING = 512
_MAX_ACCEPTS = 32
_BACKLOG = 1024


class Open(msgspec.Struct, frozen=True, tag=True):
    """Listen on a host address and relay to one of the targets, chosen at random; again: change the targets.

    With `fallback`, a port that this user may not bind becomes port + 8000.
    """

    id: int
    address: str
    port: int
    targets: list[tuple[str, int]]
    fallback: bool = True


class Close(msgspec.Struct, frozen=True, tag=True):
    """Stop to listen; connections that are open go on."""

    id: int
    address: str
    port: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The relay listens on `port`, which is the asked one or its fallback."""

    id: int
    port: int


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The relay does not listen there (any more)."""

    id: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The relay cannot listen there; the message names address, port and remedy."""

    id: int
    message: str


Command: TypeAlias = Open | Close
Answer: TypeAlias = Opened | Closed | Refused


class _Listener:
    def __init__(self, opened: socket.socket, targets: list[tuple[str, int]]) -> None:
        self.socket, self.targets = opened, targets
        self.port: int = opened.getsockname()[1]


class Relay:
    """The loop of the relay process: commands, listeners, connections. `loan` is None where sockets are made here."""

    def __init__(self, control: socket.socket, loan: socket.socket | None) -> None:
        self._control, self._loan = control, loan
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._pipes = PipePool()
        self._sockets: deque[socket.socket] = deque()
        self._asked = 0
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._waiting: deque[tuple[socket.socket, tuple[str, int]]] = deque()
        self._decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)

    def serve(self) -> None:
        """Relay until the control socket ends."""
        self._watch(self._control.fileno(), select.EPOLLIN, self._command)
        if self._loan is not None:
            self._watch(self._loan.fileno(), select.EPOLLIN, self._lent)
            self._borrow()
        with contextlib.suppress(EOFError):
            while True:
                # Handlers are looked up before any runs: one may close a descriptor whose number the next one gets.
                round_ = [(self._handlers[descriptor], events) for descriptor, events in self._epoll.poll()]
                for handler, events in round_:
                    handler(events)

    def _watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        if descriptor in self._handlers:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _command(self, _: int) -> None:
        packet = self._control.recv(_MESSAGE_BYTES)
        if not packet:
            raise EOFError
        command = self._decoder.decode(packet)
        answer = self._open(command) if isinstance(command, Open) else self._close(command)
        self._control.send(msgspec.msgpack.encode(answer))

    def _open(self, command: Open) -> Answer:
        key = command.address, command.port
        listener = self._listeners.get(key)
        if listener is None:
            try:
                listener = _Listener(bind(command.address, command.port, fallback=command.fallback), [])
            except OSError as error:
                return Refused(command.id, error.strerror or str(error))
            self._listeners[key] = listener
            self._watch(listener.socket.fileno(), select.EPOLLIN, lambda _: self._accept(listener))
        listener.targets = command.targets
        return Opened(command.id, listener.port)

    def _close(self, command: Close) -> Answer:
        listener = self._listeners.pop((command.address, command.port), None)
        if listener is not None:
            self._unwatch(listener.socket.fileno())
            listener.socket.close()
        return Closed(command.id)

    def _accept(self, listener: _Listener) -> None:
        for _ in range(_MAX_ACCEPTS):
            try:
                client, _ = listener.socket.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._turn_away(listener)
                return  # else nobody is left, or the client has gone again
            if not listener.targets or len(self._waiting) >= _MAX_WAITING:
                _reset(client)
                continue
            self._relay(client, random.choice(listener.targets))  # noqa: S311 - spreads load, guards nothing

    def _turn_away(self, listener: _Listener) -> None:
        """Refuse one client with the descriptor kept for this: left in the queue, it would wake the loop for ever."""
        os.close(self._spare)
        with contextlib.suppress(OSError):
            _reset(listener.socket.accept()[0])
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _relay(self, client: socket.socket, address: tuple[str, int]) -> None:
        if self._loan is None:
            self._connect(client, socket.socket(socket.AF_INET, socket.SOCK_STREAM), address)
        elif self._sockets:
            self._connect(client, self._sockets.popleft(), address)
            self._borrow()
        else:
            self._waiting.append((client, address))
            self._borrow()

    def _connect(self, client: socket.socket, target: socket.socket, address: tuple[str, int]) -> None:
        connection = Connection(client, target, self._pipes, self._register)
        try:
            connection.open(address)
        except OSError:
            connection.abort()

    def _register(self, connection: Connection, end: socket.socket, events: int) -> None:
        if events:
            self._watch(end.fileno(), events, lambda happened: connection.proceed(end, happened))
        else:
            self._unwatch(end.fileno())

    def _borrow(self) -> None:
        """Ask for sockets, so that the next connections find one ready."""
        assert self._loan is not None
        while len(self._sockets) + self._asked <= _WANTED_SOCKETS - _LARGEST_LOAN:
            try:
                self._loan.send(bytes([_LARGEST_LOAN]))
            except OSError:
                return  # the lender is slow or gone; what it owes still comes, or the control socket ends
            self._asked += _LARGEST_LOAN

    def _lent(self, _: int) -> None:
        assert self._loan is not None
        packet, descriptors = receive(self._loan, 1, _LARGEST_LOAN)
        if not packet:
            self._unwatch(self._loan.fileno())
            return
        self._asked -= packet[0]
        self._sockets.extend(socket.socket(fileno=descriptor) for descriptor in descriptors)
        while self._waiting and self._sockets:
            client, address = self._waiting.popleft()
            self._connect(client, self._sockets.popleft(), address)
        if len(descriptors) == packet[0]:
            self._borrow()  # else there are no more: the next client asks again


def bind(address: str, port: int, *, fallback: bool = True) -> socket.socket:
    """Return a listening socket on an address of the host. Raises OSError that names the port and a remedy."""
    try:
        return _listen(address, port)
    except PermissionError as error:
        if not fallback or port + _FALLBACK > 65535:
            raise PermissionError(error.errno, _not_permitted(address, port)) from error
    try:
        return _listen(address, port + _FALLBACK)
    except PermissionError as error:
        raise PermissionError(error.errno, _not_permitted(address, port)) from error


def _not_permitted(address: str, port: int) -> str:
    return (
        f"port {port} on {address} may not be bound by this user; use a port from 1024 up, "
        f"or allow it with `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
    )


def _listen(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            remedy = f"stop that program (`ss -ltnp 'sport = :{port}'` names it) or use another port"
            raise OSError(error.errno, f"port {port} on {address} is in use by another program; {remedy}") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise OSError(error.errno, f"{address} is not an address of this machine; use one that is") from error
        raise
    return opened


def _reset(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def fork_relay(*, lent_sockets: bool = True) -> tuple[socket.socket, socket.socket | None]:
    """Fork the relay process; call it before any thread exists. Return its control socket and the one for loans.

    `RelayClient` takes both. The process ends when its control socket does, so it never outlives the supervisor.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lender, borrower = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            _become_relay(there, borrower if lent_sockets else None)
        os._exit(0)
    os.waitpid(child, 0)  # the relay is nobody's child: nobody has to wait for it
    there.close()
    borrower.close()
    if lent_sockets:
        return here, lender
    lender.close()
    return here, None


def _become_relay(control: socket.socket, loan: socket.socket | None) -> NoReturn:
    status = 1
    try:
        kept = sorted({0, 1, 2, control.fileno(), *([loan.fileno()] if loan is not None else [])})
        for first, following in zip(kept, [*kept[1:], 1 << 16], strict=True):
            os.closerange(first + 1, following)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # whoever asks the supervisor to stop ends this process too
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if loan is not None:
            loan.setblocking(False)
        Relay(control, loan).serve()
        status = 0
    finally:
        os._exit(status)
