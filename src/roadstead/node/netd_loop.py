"""What netd does once it is what it should be: answers requests, starts processes, tells how they ended.

It does what it is told (`netd_protocol`) and decides nothing; no message may end it. `netd` got it here; `container` is
what a forked child does. Next: `netd_client`, the supervisor's side.
"""

import contextlib
import os
import select
import shutil
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from roadstead.node import container
from roadstead.node.netd_protocol import (
    ApplyPolicies,
    ApplyServices,
    ChangePolicies,
    CreateSandbox,
    Done,
    Execute,
    Exited,
    Failed,
    Frame,
    FrameReader,
    Lend,
    Listen,
    Measure,
    Measured,
    Mount,
    OpenSocket,
    RemoveSandbox,
    Report,
    Signal,
    StartContainer,
    decode_request,
    encode_frame,
    request_id,
)
from roadstead.node.network import namespaces
from roadstead.node.network.links import NodeNetwork
from roadstead.node.socket_loans import SocketLoans
from roadstead.node.syscalls import die_with_parent, receive
from roadstead.node.usage import by_owner, read_processes

_RECEIVE_BYTES = 1 << 18
_MAX_RECEIVED_DESCRIPTORS = 16
_ANSWERED_OTHERWISE = (StartContainer, Execute, Measure)
"""Requests whose handlers see to the answer: when the program runs, or with what was asked for."""
_SOCKET_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@dataclass(slots=True)
class Process:
    """A container's process, or a command in one; on `report` it says why it could not start, or sends its terminal.

    `container` is the id of the container's process: its own, or that of the one in which a command runs.
    """

    id: int
    pid: int
    key: str
    container: int
    report: socket.socket | None = None


@dataclass(slots=True)
class Sandbox:
    """The namespaces of one pod and where its files are."""

    key: str
    home: Path
    mounts: list[Mount] = field(default_factory=list)
    uts: int = -1
    ipc: int = -1
    removed: bool = False


class Netd:
    """The command loop. `network` is None without isolation: then sockets and processes are this machine's own."""

    def __init__(self, control: socket.socket, home: Path, network: NodeNetwork | None) -> None:
        self._control, self._home, self._network = control, home, network
        self._machine = container.Machine((), rootless=False)
        self._sandboxes: dict[str, Sandbox] = {}
        self._processes: dict[int, Process] = {}
        self._starting: dict[int, Process] = {}
        self._loans = SocketLoans(lambda source: self._socket(source, socket.SOCK_STREAM))
        self._handlers: dict[type, Callable[[Any, Sequence[int]], Sequence[int] | None]] = {
            CreateSandbox: self._create_sandbox,
            StartContainer: self._start_container,
            Execute: self._execute,
            Signal: self._signal,
            RemoveSandbox: self._remove_sandbox,
            OpenSocket: self._open_socket,
            Lend: self._lend,
            Listen: self._listen,
            Measure: self._measure,
            ApplyServices: lambda request, _: self._need_network().apply_services(request.table),
            ApplyPolicies: lambda request, _: self._need_network().apply_policies(request.table),
            ChangePolicies: lambda request, _: self._need_network().change_policies(request.change),
        }

    def serve(self, machine: container.Machine) -> NoReturn:
        """Answer until the control socket ends, then end."""
        self._machine = machine
        wakeup, poll = _child_alarm(), select.poll()
        self._poll = poll
        poll.register(self._control, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        reader = FrameReader()
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._control.fileno():
                    self._receive(reader)
                elif descriptor == wakeup:
                    _drain(wakeup)
                    self._reap()
                elif (process := self._starting.get(descriptor)) is not None and process.report is not None:
                    self._started(process, process.report)
                elif descriptor in self._loans and not self._loans.serve(descriptor):
                    poll.unregister(descriptor)

    def send(self, report: Report, descriptors: Sequence[int] = ()) -> None:
        """Write one report; an end of the supervisor is noticed by the next read."""
        frame = memoryview(encode_frame(report, descriptors))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sent = socket.send_fds(self._control, [frame], list(descriptors))
            self._control.sendall(frame[sent:])

    def _receive(self, reader: FrameReader) -> None:
        try:
            chunk, descriptors = receive(self._control, _RECEIVE_BYTES, _MAX_RECEIVED_DESCRIPTORS)
        except ConnectionResetError:
            chunk, descriptors = b"", []
        if not chunk:
            self._end()
        reader.feed(chunk, descriptors)
        for frame in reader.frames():
            self._answer(frame)

    def _answer(self, frame: Frame) -> None:
        identity = request_id(frame.body)
        try:
            request = decode_request(frame.body)
            passed = self._handlers[type(request)](request, frame.descriptors)
            if passed is not None:
                self.send(Done(identity), passed)
                for descriptor in passed:
                    os.close(descriptor)
            elif not isinstance(request, _ANSWERED_OTHERWISE):
                self.send(Done(identity))
        except Exception as error:  # noqa: BLE001 (no message may end netd; the supervisor gets the reason)
            if not isinstance(error, (OSError, KeyError)):
                traceback.print_exc()
            self.send(Failed(identity, words_of(error)))
        finally:
            for descriptor in frame.descriptors:
                os.close(descriptor)

    def _end(self) -> NoReturn:
        if self._network is None:
            _kill_descendants()
        os._exit(0)

    def _need_network(self) -> NodeNetwork:
        if self._network is None:
            raise OSError("there is no node network: this cluster runs without isolation")
        return self._network

    def _create_sandbox(self, request: CreateSandbox, _: Sequence[int]) -> None:
        if request.key in self._sandboxes:
            raise OSError(f"sandbox {request.key} exists already")
        home = self._home / request.key.replace("/", "_")
        sandbox = Sandbox(request.key, home)
        (home / "shm").mkdir(parents=True)
        (home / "files").mkdir()
        sandbox.mounts.append(Mount(str(home / "shm"), "/dev/shm"))  # noqa: S108 (the container's, not the machine's)
        for number, (path, text) in enumerate(sorted(request.files.items())):
            source = home / "files" / str(number)
            source.write_text(text)
            sandbox.mounts.append(Mount(str(source), path))
        try:
            if self._network is not None:
                self._network.attach(request.key, request.address)
                sandbox.uts, sandbox.ipc = _new_uts_and_ipc(request.hostname)
        except BaseException:
            if self._network is not None:
                self._network.detach(request.key)
            self._dispose(sandbox)
            raise
        self._sandboxes[request.key] = sandbox

    def _start_container(self, request: StartContainer, descriptors: Sequence[int]) -> None:
        sandbox = self._sandboxes[request.key]
        home = sandbox.home / str(request.id)
        mounts = [*sandbox.mounts, *(_in_memory(sandbox, entry) for entry in request.mounts)]
        network = self._network
        if network is None:
            self._fork(request.id, request.key, lambda report: _plain(request, descriptors, report))
            return
        joined = (
            (network.namespace(request.key), namespaces.NEW_NETWORK),
            (sandbox.uts, namespaces.NEW_UTS),
            (sandbox.ipc, namespaces.NEW_IPC),
        )

        def become(report: socket.socket) -> None:
            for descriptor, kind in joined:
                namespaces.enter(descriptor, kind)
            take = partial(_take_streams, request, descriptors, report)
            container.become_container(home, request, mounts, self._machine, take)

        with _new_process_namespace():
            self._fork(request.id, request.key, become)

    def _execute(self, request: Execute, descriptors: Sequence[int]) -> None:
        target = self._processes.get(request.process)
        if target is None:
            raise OSError("the container is not running")

        def become(report: socket.socket) -> None:
            container.become_visitor(target.pid, namespaced=self._network is not None)
            if (child := os.fork()) > 0:
                _wait_for_visitor(child)
            die_with_parent(signal.SIGKILL)
            _take_streams(request, descriptors, report)
            container.execute(request.argv, request.environment, request.directory)

        self._fork(request.id, target.key, become, container=target.container)

    def _fork(self, identity: int, key: str, become: Callable[[socket.socket], None], *, container: int = 0) -> None:
        """Fork a child that becomes something else; until it has, its end of a socket stays open for the reason."""
        reader, writer = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            try:
                become(writer)
            except BaseException as error:  # noqa: BLE001 (the child has nobody else to tell)
                writer.send(words_of(error).encode(errors="replace")[:4000])
            os._exit(127)
        writer.close()
        process = Process(identity, pid, key, container or identity, reader)
        self._processes[identity] = process
        self._starting[reader.fileno()] = process
        self._poll.register(reader, select.POLLIN)

    def _started(self, process: Process, report: socket.socket) -> bool:
        """Read the report to its end: no word means that the program runs. Says whether it does."""
        self._poll.unregister(report)
        del self._starting[report.fileno()]
        process.report = None
        with report:
            reason, terminal = _read_report(report)
        if reason:
            self._processes.pop(process.id, None)
            self.send(Failed(process.id, reason))
        else:
            self.send(Done(process.id), terminal)
        for descriptor in terminal:
            os.close(descriptor)
        return not reason

    def _reap(self) -> None:
        by_pid = {process.pid: process for process in self._processes.values()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (process := by_pid.get(pid)) is not None:
                self._ended(process, status)

    def _ended(self, process: Process, status: int) -> None:
        if process.report is not None and not self._started(process, process.report):
            return
        self._processes.pop(process.id, None)
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = 128 + killed_by if killed_by else os.WEXITSTATUS(status)
        self.send(Exited(process.id, code, killed_by, time.time()))
        sandbox = self._sandboxes.get(process.key)
        if sandbox is not None and sandbox.removed:
            self._dispose_if_empty(sandbox)

    def _signal(self, request: Signal, _: Sequence[int]) -> None:
        process = self._processes.get(request.process)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                _deliver(process.pid, request.signal, group=self._network is None)

    def _remove_sandbox(self, request: RemoveSandbox, _: Sequence[int]) -> None:
        sandbox = self._sandboxes.get(request.key)
        if sandbox is None:
            return
        for process in self._processes.values():
            if process.key == request.key:
                _deliver(process.pid, signal.SIGKILL, group=self._network is None)
        sandbox.removed = True
        if self._network is not None:
            self._network.detach(request.key)
        self._dispose_if_empty(sandbox)

    def _dispose_if_empty(self, sandbox: Sandbox) -> None:
        if not any(process.key == sandbox.key for process in self._processes.values()):
            self._sandboxes.pop(sandbox.key, None)
            self._dispose(sandbox)

    def _dispose(self, sandbox: Sandbox) -> None:
        for descriptor in (sandbox.uts, sandbox.ipc):
            if descriptor >= 0:
                os.close(descriptor)
        shutil.rmtree(sandbox.home, ignore_errors=True)

    def _open_socket(self, request: OpenSocket, _: Sequence[int]) -> Sequence[int]:
        return [self._socket(request.source, _SOCKET_KINDS[request.transport]).detach()]

    def _lend(self, request: Lend, descriptors: Sequence[int]) -> None:
        if not descriptors:
            raise OSError("a loan needs the channel on which to ask for it")
        self._poll.register(self._loans.add(os.dup(descriptors[0]), request.source), select.POLLIN)

    def _listen(self, request: Listen, _: Sequence[int]) -> Sequence[int]:
        opened = self._socket(request.source, _SOCKET_KINDS[request.transport])
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((request.host, request.port))
            if request.transport == "tcp":
                opened.listen(1024)
        except BaseException:
            opened.close()
            raise
        return [opened.detach()]

    def _measure(self, request: Measure, _: Sequence[int]) -> None:
        if str(os.getpid()) != Path("/proc/self").readlink().name:
            raise OSError("/proc shows another PID namespace than that of the pods")
        owners = {process.pid: process.container for process in self._processes.values()}
        self.send(Measured(request.id, by_owner(read_processes(), owners)))

    def _socket(self, source: str, kind: int) -> socket.socket:
        if self._network is None or source == "node":
            return socket.socket(socket.AF_INET, kind)
        with namespaces.inside(self._network.namespace(source)):
            return socket.socket(socket.AF_INET, kind)


def words_of(error: BaseException) -> str:
    """Return an error in words for whoever asked."""
    if isinstance(error, KeyError):
        return f"{error.args[0] if error.args else 'it'} does not exist"
    return str(error) or type(error).__name__


def _in_memory(sandbox: Sandbox, entry: Mount) -> Mount:
    if not entry.memory:
        return entry
    folder = sandbox.home / "memory" / entry.source
    folder.mkdir(parents=True, exist_ok=True)
    return Mount(str(folder), entry.target, entry.read_only)


def _plain(request: StartContainer, descriptors: Sequence[int], report: socket.socket) -> None:
    _take_streams(request, descriptors, report)
    container.become_plain_process(request)


def _take_streams(request: StartContainer | Execute, descriptors: Sequence[int], report: socket.socket) -> None:
    if request.terminal:
        container.take_terminal(report)
    else:
        container.take_descriptors(descriptors)


def _read_report(report: socket.socket) -> tuple[str, list[int]]:
    """Return the words of a child that could not become what it should, and its terminal if it made one."""
    words, terminal = b"", list[int]()
    while True:
        chunk, descriptors = receive(report, 4096, 1)
        terminal += descriptors
        if not chunk:
            return words.lstrip(b"\0").decode(errors="replace"), terminal
        words += chunk


def _wait_for_visitor(child: int) -> NoReturn:
    """Stay outside as the parent of a command in a container, hold nothing open, and end as it ends."""
    os.closerange(0, 4096)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        os._exit(128 + os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _deliver(pid: int, number: int, *, group: bool) -> None:
    if group:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)


@contextlib.contextmanager
def _new_process_namespace() -> Any:
    """Let the children forked in this block be process 1 of a new PID namespace."""
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.unshare(namespaces.NEW_PID)
        yield
    finally:
        namespaces.enter(home, namespaces.NEW_PID)
        os.close(home)


def _new_uts_and_ipc(hostname: str) -> tuple[int, int]:
    names = ("uts", "ipc")
    kinds = (namespaces.NEW_UTS, namespaces.NEW_IPC)
    home = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names]
    try:
        namespaces.unshare(namespaces.NEW_UTS | namespaces.NEW_IPC)
        socket.sethostname(hostname)
        uts, ipc = (os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names)
    finally:
        for descriptor, kind in zip(home, kinds, strict=True):
            namespaces.enter(descriptor, kind)
            os.close(descriptor)
    return uts, ipc


def _child_alarm() -> int:
    """Return a descriptor that becomes readable when a child ends."""
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def _kill_descendants() -> None:
    """Kill everything that descends from this process, which adopted its orphans (isolation `none`)."""
    while children := Path("/proc/thread-self/children").read_text().split():
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
