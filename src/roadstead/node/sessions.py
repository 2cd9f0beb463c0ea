"""The standard streams of processes: a container's, which go to its log and to whoever is attached, and a command's.

netd gets one end of each pipe or terminal, the event loop has the other. `ProcessSession` is what the API server's
`ExecSession` asks for.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.container_logs import ContainerLog, LineSplitter
from roadstead.node.netd_client import Process
from roadstead.node.times import precise_timestamp

STDOUT, STDERR = 1, 2
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}
_READ_BYTES = 1 << 16
_BACKLOG = 64
_END_OF_TRANSMISSION = b"\x04"
_TERMINAL_CLOSES = 0.1


@dataclass(slots=True)
class Ends:
    """Our ends of a process's streams; `terminal` is the controlling side of its terminal, or -1."""

    stdin: int = -1
    outputs: dict[int, int] = field(default_factory=dict)
    terminal: int = -1


def open_streams(*, stdin: bool) -> tuple[Ends, list[int]]:
    """Return our ends and the three descriptors for the process, which whoever passes them on closes."""
    out_reader, out_writer = os.pipe()
    error_reader, error_writer = os.pipe()
    if stdin:
        in_reader, in_writer = os.pipe()
    else:
        in_reader, in_writer = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1
    return Ends(in_writer, {STDOUT: out_reader, STDERR: error_reader}), [in_reader, out_writer, error_writer]


def terminal_ends(terminal: int, *, stdin: bool) -> Ends:
    """Return our ends of a terminal: all output is one stream."""
    return Ends(os.dup(terminal) if stdin else -1, {STDOUT: os.dup(terminal)}, terminal)


def close_ends(ends: Ends) -> None:
    """Close what `open_streams` gave us, when the process could not be started."""
    for descriptor in (ends.stdin, ends.terminal, *ends.outputs.values()):
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Input:
    """A process's standard input; without one, what is written goes nowhere."""

    def __init__(self, descriptor: int, terminal: int) -> None:
        self._descriptor, self._terminal = descriptor, terminal
        if descriptor >= 0:
            os.set_blocking(descriptor, False)

    async def write(self, chunk: bytes) -> None:
        """Write all of it, waiting while the pipe is full; a process that no longer reads is ignored."""
        view = memoryview(chunk)
        while view and self._descriptor >= 0:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await _writable(self._descriptor)
            except OSError:
                self.release()

    async def close(self) -> None:
        """Let the process read end-of-file."""
        if self._terminal >= 0:
            await self.write(_END_OF_TRANSMISSION)
        else:
            self.release()

    def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size."""
        if self._terminal >= 0:
            size = struct.pack("HHHH", height, width, 0, 0)
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def release(self) -> None:
        """Close our end."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def release_terminal(self) -> None:
        """Close our ends of pipe and terminal."""
        self.release()
        terminal, self._terminal = self._terminal, -1
        if terminal >= 0:
            os.close(terminal)


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)


async def _read_all(descriptor: int, take: Callable[[bytes], Awaitable[None]]) -> None:
    """Give every chunk of a pipe or terminal to `take` until its end, then close it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", buffering=0))
    try:
        while chunk := await reader.read(_READ_BYTES):
            await take(chunk)
    except OSError as error:
        if error.errno != errno.EIO:  # how a terminal says that nobody has it open any more
            raise
    finally:
        transport.close()


class ProcessSession:
    """A command that runs in a container, with its streams."""

    def __init__(self, process: Process, ends: Ends, kill: Callable[[], Awaitable[None]]) -> None:
        self._process, self._kill = process, kill
        self._input = Input(ends.stdin, ends.terminal)
        self._chunks: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(_BACKLOG)
        self._open = len(ends.outputs)
        self._finished = False
        self._readers = [
            spawn(self._follow(stream, descriptor), name="exec output") for stream, descriptor in ends.outputs.items()
        ]

    async def _follow(self, stream: int, descriptor: int) -> None:
        async def take(chunk: bytes) -> None:
            await self._chunks.put((stream, chunk))

        await _read_all(descriptor, take)
        self._open -= 1
        if not self._open:
            await self._chunks.put(None)

    async def write_stdin(self, chunk: bytes) -> None:
        """Give the process input."""
        await self._input.write(chunk)

    async def close_stdin(self) -> None:
        """Let the process read end-of-file."""
        await self._input.close()

    async def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size in characters."""
        self._input.resize(width, height)

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next output, or None once all was read."""
        if self._finished:
            return None
        chunk = await self._chunks.get()
        self._finished = chunk is None
        return chunk

    async def wait(self) -> int:
        """Return the exit code once the process has ended."""
        return (await asyncio.shield(self._process.ended)).code

    async def close(self) -> None:
        """Kill the process if it still runs, and let go of its streams."""
        self._finished = True
        if not self._process.ended.done():
            await self._kill()
        await cancel_all(self._readers)
        self._input.release_terminal()


class RunningContainer:
    """A container's process: its output goes to its log and to everybody attached."""

    def __init__(self, process: Process, ends: Ends, log: ContainerLog) -> None:
        self.id, self.ended, self.log = process.id, process.ended, log
        self.terminal = ends.terminal >= 0
        self.input = Input(ends.stdin, ends.terminal)
        self._attached: set[Attachment] = set()
        self._readers = [spawn(self._follow(one, ends.outputs[one]), name="container output") for one in ends.outputs]
        self.drained = spawn(self._finish(), name="container log")
        """Done when all output is in the log."""

    async def _follow(self, stream: int, descriptor: int) -> None:
        splitter = LineSplitter(_NAMES[stream])

        async def take(chunk: bytes) -> None:
            self.log.write(splitter.feed(chunk, _stamp()))
            for attachment in list(self._attached):
                attachment.offer((stream, chunk))

        await _read_all(descriptor, take)
        self.log.write(splitter.finish(_stamp()))

    async def _finish(self) -> None:
        """Close the log when the process has ended and its pipes are empty, whoever else still holds them."""
        await asyncio.shield(self.ended)
        await asyncio.wait(self._readers, timeout=_TERMINAL_CLOSES)
        await cancel_all(self._readers)
        self.log.close()
        self.input.release_terminal()
        for attachment in list(self._attached):
            attachment.offer(None)

    def attach(self, *, stdin_once: bool = False) -> "Attachment":
        """Return a session that has the output from now on, and the input.

        With `stdin_once` the container reads end-of-file when the session's input ends; without, its input stays open
        for the next session (`stdinOnce` of a container, core/v1 types.go).
        """
        attachment = Attachment(self, stdin_once=stdin_once)
        self._attached.add(attachment)
        return attachment

    def detach(self, attachment: "Attachment") -> None:
        """Forget a session."""
        self._attached.discard(attachment)


class Attachment:
    """A client that looks on a container's main process."""

    def __init__(self, container: RunningContainer, *, stdin_once: bool) -> None:
        self._container, self._stdin_once = container, stdin_once
        self._chunks: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(_BACKLOG)
        self._finished = container.drained.done()

    def offer(self, chunk: tuple[int, bytes] | None) -> None:
        """Queue output; a client too slow for the container is let go rather than waited for."""
        try:
            self._chunks.put_nowait(chunk)
        except asyncio.QueueFull:
            self._container.detach(self)
            self._chunks.get_nowait()
            self._chunks.put_nowait(None)

    async def write_stdin(self, chunk: bytes) -> None:
        """Give the container input."""
        await self._container.input.write(chunk)

    async def close_stdin(self) -> None:
        """Let the container read end-of-file, if this session's input is the only one it is to have."""
        if self._stdin_once:
            await self._container.input.close()

    async def resize(self, width: int, height: int) -> None:
        """Tell the container's terminal its size."""
        self._container.input.resize(width, height)

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next output, or None once the container has ended."""
        if self._finished:
            return None
        chunk = await self._chunks.get()
        self._finished = chunk is None
        return chunk

    async def wait(self) -> int:
        """Return the container's exit code once it has ended."""
        return (await asyncio.shield(self._container.ended)).code

    async def close(self) -> None:
        """Let go of the container, which runs on."""
        self._finished = True
        self._container.detach(self)


def _stamp() -> bytes:
    return precise_timestamp(time.time()).encode()
