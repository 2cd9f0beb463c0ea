"""The supervisor's side of netd: requests with answers, sockets from other namespaces, and how processes ended.

Next: `runtime`, which the agent uses and which speaks of pods instead of processes.
"""

import asyncio
import contextlib
import itertools
import os
import select
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from roadstead.node.netd_protocol import (
    MAX_DESCRIPTORS,
    ApplyPolicies,
    ApplyServices,
    ChangePolicies,
    CreateSandbox,
    Done,
    Execute,
    Exited,
    Failed,
    FrameReader,
    Lend,
    Listen,
    Measure,
    Measured,
    OpenSocket,
    Ready,
    RemoveSandbox,
    Report,
    Request,
    Signal,
    StartContainer,
    Transport,
    Unavailable,
    decode_report,
    encode_frame,
)
from roadstead.node.network.services import ServiceTable
from roadstead.node.policy.table import PolicyChange, PolicyTable
from roadstead.node.syscalls import receive
from roadstead.node.usage import Usage

_RECEIVE_BYTES = 1 << 16


class NetdError(Exception):
    """netd did not do what it was asked to; the message says why."""


class NetdUnavailable(NetdError):
    """netd cannot work on this machine, or is gone."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that netd started: its id there, how it ended, and its terminal's controlling side, or -1."""

    id: int
    ended: "asyncio.Future[Exited]"
    terminal: int = -1


def wait_ready(control: socket.socket, timeout: float = 10.0) -> list[str]:
    """Wait, blocking, for netd's first word and return what this machine lacks.

    Raises NetdUnavailable that says why there can be no namespaces here.
    """
    reader, deadline = FrameReader(), timeout
    while select.select([control], [], [], deadline)[0]:
        chunk = control.recv(_RECEIVE_BYTES)
        if not chunk:
            raise NetdUnavailable("netd ended while it started; see netd.log in the node's folder")
        reader.feed(chunk)
        for frame in reader.frames():
            report = decode_report(frame.body)
            if isinstance(report, Ready):
                return report.limitations
            raise NetdUnavailable(report.message if isinstance(report, Unavailable) else f"netd said {report}")
    raise NetdUnavailable(f"netd did not start within {timeout:g} s; see netd.log in the node's folder")


class NetdClient:
    """Asks netd and waits for answers. Create it in the event loop, after `wait_ready`."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control, self._loop = control, asyncio.get_running_loop()
        self._numbers, self._reader = itertools.count(1), FrameReader()
        self._answers: dict[int, asyncio.Future[tuple[int, ...]]] = {}
        self._running: dict[int, asyncio.Future[Exited]] = {}
        self._measured: dict[int, Mapping[int, Usage]] = {}
        self._outgoing: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._why = ""
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when netd has ended, and every pod with it."""
        self._loop.add_reader(control, self._readable)

    async def create_sandbox(self, key: str, hostname: str, address: str, files: dict[str, str]) -> None:
        """Make a pod's namespaces. Raises NetdError."""
        await self._ask(CreateSandbox(next(self._numbers), key, hostname, address, files))

    async def start_container(self, request: StartContainer, descriptors: Sequence[int]) -> Process:
        """Start a container; its `id` is set here. The three descriptors are closed. Raises NetdError."""
        return await self._start(request, descriptors)

    async def execute(self, request: Execute, descriptors: Sequence[int]) -> Process:
        """Start a command in a container; its `id` is set here. The descriptors are closed. Raises NetdError."""
        return await self._start(request, descriptors)

    async def _start(self, request: StartContainer | Execute, descriptors: Sequence[int]) -> Process:
        request = msgspec.structs.replace(request, id=next(self._numbers))
        ended = self._running[request.id] = self._loop.create_future()
        try:
            terminal = await self._ask(request, descriptors)
        except BaseException:
            self._running.pop(request.id, None)
            raise
        return Process(request.id, ended, terminal[0] if terminal else -1)

    async def signal(self, process: int, number: int) -> None:
        """Send a signal; a process that has ended is no error."""
        await self._ask(Signal(next(self._numbers), process, number))

    async def remove_sandbox(self, key: str) -> None:
        """Kill what runs in a sandbox and take it off the network."""
        await self._ask(RemoveSandbox(next(self._numbers), key))

    async def open_socket(self, source: str, transport: Transport = "tcp") -> socket.socket:
        """Return a non-blocking socket that belongs to `node`, `edge` or a sandbox. Raises NetdError."""
        return _received(await self._ask(OpenSocket(next(self._numbers), source, transport)))

    async def lend(self, source: str, channel: socket.socket) -> None:
        """Let netd lend TCP sockets of `source` to the other end of this packet socket, which it takes over.

        So whoever borrows (the relay) never waits for this process. Raises NetdError.
        """
        await self._ask(Lend(next(self._numbers), source), (channel.detach(),))

    async def listen(self, source: str, host: str, port: int, transport: Transport = "tcp") -> socket.socket:
        """Return a non-blocking socket that is bound in the network of `source`. Raises NetdError."""
        return _received(await self._ask(Listen(next(self._numbers), source, host, port, transport)))

    async def connect(self, source: str, host: str, port: int) -> socket.socket:
        """Return a connected TCP socket. Raises NetdError, or OSError as connecting does."""
        opened = await self.open_socket(source)
        try:
            await self._loop.sock_connect(opened, (host, port))
        except BaseException:
            opened.close()
            raise
        return opened

    async def measure(self) -> Mapping[int, Usage]:
        """Return what each container uses, by its process's id. Raises NetdError."""
        request = Measure(next(self._numbers))
        await self._ask(request)
        return self._measured.pop(request.id)

    async def apply_services(self, table: ServiceTable) -> None:
        """Make the kernel serve exactly these Services. Raises NetdError."""
        await self._ask(ApplyServices(next(self._numbers), table))

    async def apply_policies(self, table: PolicyTable) -> None:
        """Make the kernel enforce exactly these policies. Raises NetdError."""
        await self._ask(ApplyPolicies(next(self._numbers), table))

    async def change_policies(self, change: PolicyChange) -> None:
        """Apply the difference to the last policy table. Raises NetdError."""
        await self._ask(ChangePolicies(next(self._numbers), change))

    def close(self) -> None:
        """Let go of netd: it ends, and every pod with it."""
        if not self.gone.done():
            self._lost("closed")

    async def _ask(self, request: Request, descriptors: Sequence[int] = ()) -> tuple[int, ...]:
        if self.gone.done():
            _close(descriptors)
            raise NetdUnavailable(f"netd has ended, and every pod with it: {self._why}")
        assert len(descriptors) <= MAX_DESCRIPTORS
        answer: asyncio.Future[tuple[int, ...]] = self._loop.create_future()
        self._answers[request.id] = answer
        self._outgoing.append((memoryview(encode_frame(request, descriptors)), tuple(descriptors)))
        self._writable()
        try:
            return await answer
        finally:
            self._answers.pop(request.id, None)

    def _writable(self) -> None:
        """Send what waits; the rest when the socket can take it."""
        while self._outgoing:
            frame, descriptors = self._outgoing[0]
            try:
                sent = (
                    socket.send_fds(self._control, [frame], list(descriptors))
                    if descriptors
                    else self._control.send(frame)
                )
            except BlockingIOError:
                self._loop.add_writer(self._control, self._writable)
                return
            except OSError as error:
                self._lost(str(error))
                return
            _close(descriptors)
            self._outgoing.popleft()
            if sent < len(frame):
                self._outgoing.appendleft((frame[sent:], ()))
        self._loop.remove_writer(self._control)

    def _readable(self) -> None:
        try:
            chunk, descriptors = receive(self._control, _RECEIVE_BYTES, MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(str(error))
            return
        if not chunk:
            self._lost("it closed its control socket")
            return
        self._reader.feed(chunk, descriptors)
        for frame in self._reader.frames():
            self._take(decode_report(frame.body), frame.descriptors)

    def _take(self, report: Report, descriptors: tuple[int, ...]) -> None:
        if isinstance(report, Exited):
            ended = self._running.pop(report.process, None)
            if ended is not None and not ended.done():
                ended.set_result(report)
        elif isinstance(report, (Done, Measured, Failed)):
            answer = self._answers.get(report.id)
            if answer is None or answer.done():
                _close(descriptors)  # whoever asked was cancelled
            elif isinstance(report, Failed):
                answer.set_exception(NetdError(report.message))
            else:
                if isinstance(report, Measured):
                    self._measured[report.id] = report.processes
                answer.set_result(descriptors)

    def _lost(self, reason: str) -> None:
        self._why = reason
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        while self._outgoing:
            _close(self._outgoing.popleft()[1])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(NetdUnavailable(f"netd has ended: {reason}"))
        for identity, ended in self._running.items():
            if not ended.done():
                ended.set_result(Exited(identity, 137, 9, 0.0))
        self._running.clear()
        if not self.gone.done():
            self.gone.set_result(None)


def _received(descriptors: Sequence[int]) -> socket.socket:
    received = socket.socket(fileno=descriptors[0])
    received.setblocking(False)
    return received


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
