"""Container logs: files with a time and a stream on every line, as container runtimes write them for kubelets.

`2026-01-31T12:00:00.000000000Z stdout F text`; a line longer than 16 KiB is split, its parts but the last marked `P`
(CRI, cri-api's logging format). A file that has grown is rotated; readers that follow find the new one. What of a log a
client asked for is decided purely by `Selection`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from roadstead.node.times import seconds as parse_time

ROTATE_BYTES = 10 * 1024 * 1024
_KEEP_FILES = 5
_LONGEST_LINE = 16 * 1024
_READ_BYTES = 1 << 16


class LineSplitter:
    """Cuts what a program writes into lines of a log."""

    def __init__(self, stream: str) -> None:
        self._stream = stream.encode()
        self._rest = bytearray()

    def feed(self, chunk: bytes, stamp: bytes) -> bytes:
        """Return the log lines that are complete with this chunk."""
        self._rest += chunk
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        out = [self._line(line, stamp, b"F") for line in lines]
        while len(self._rest) >= _LONGEST_LINE:
            out.append(self._line(bytes(self._rest[:_LONGEST_LINE]), stamp, b"P"))
            del self._rest[:_LONGEST_LINE]
        return b"".join(out)

    def finish(self, stamp: bytes) -> bytes:
        """Return the last line if it was not ended."""
        rest, self._rest = bytes(self._rest), bytearray()
        return self._line(rest, stamp, b"F") if rest else b""

    def _line(self, text: bytes, stamp: bytes, mark: bytes) -> bytes:
        parts = [text[at : at + _LONGEST_LINE] for at in range(0, len(text), _LONGEST_LINE)] or [b""]
        marks = [b"P"] * (len(parts) - 1) + [mark]
        return b"".join(
            b" ".join((stamp, self._stream, one, part)) + b"\n" for part, one in zip(parts, marks, strict=True)
        )


class ContainerLog:
    """The log of one run of a container: written by the runtime, read and followed by clients."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._changed = asyncio.Event()

    def write(self, lines: bytes) -> None:
        """Append complete lines and wake who follows."""
        if not lines:
            return
        self._file.write(lines)
        self._size += len(lines)
        if self._size >= ROTATE_BYTES:
            self._rotate()
        self._wake()

    def close(self) -> None:
        """The run has ended and everything was written."""
        self.ended = True
        self._file.close()
        self._wake()

    async def changed(self) -> None:
        """Wait for more, or for the end."""
        if not self.ended:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(_KEEP_FILES - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        self.path.with_name(f"{self.path.name}.{_KEEP_FILES}").unlink(missing_ok=True)
        self._file, self._size = self.path.open("ab", buffering=0), 0


@dataclass(slots=True)
class Selection:
    """What part of a log is wanted: see `LogOptions` of the API server. `since` is in seconds since the epoch."""

    since: float = 0.0
    timestamps: bool = False
    limit: int | None = None

    def take(self, line: bytes) -> bytes:
        """Return what a client gets of one log line, perhaps nothing."""
        stamp, _, rest = line.partition(b" ")
        _, _, marked = rest.partition(b" ")
        mark, _, text = marked.partition(b" ")
        if self.since and _time_of(stamp) < self.since:
            return b""
        whole = text if mark == b"P" else text + b"\n"
        out = b" ".join((stamp, whole)) if self.timestamps else whole
        return self._limited(out)

    def _limited(self, out: bytes) -> bytes:
        if self.limit is None:
            return out
        out = out[: self.limit]
        self.limit -= len(out)
        return out

    @property
    def exhausted(self) -> bool:
        """Whether the client's limit is reached."""
        return self.limit == 0


def _time_of(stamp: bytes) -> float:
    try:
        return parse_time(stamp.decode())
    except ValueError:
        return 0.0


def last_lines(lines: list[bytes], count: int) -> list[bytes]:
    """Return the parts of the last `count` whole lines."""
    if count <= 0:
        return []
    ends = [index for index, line in enumerate(lines) if line.split(b" ", 3)[2:3] != [b"P"]]
    return lines if len(ends) <= count else lines[ends[-count - 1] + 1 :]


async def read_log(
    path: Path, log: ContainerLog | None, selection: Selection, *, tail: int | None, follow: bool
) -> AsyncIterator[bytes]:
    """Yield a log: the file at `path`, and with `follow` what `log`, its writer, adds until it ends."""
    file, rest = path.open("rb"), b""
    try:
        lines = _rotated(path) + file.read().splitlines()
        for line in lines if tail is None else last_lines(lines, tail):
            if out := selection.take(line):
                yield out
            if selection.exhausted:
                return
        while follow and log is not None and not selection.exhausted:
            was_ended, chunk = log.ended, file.read(_READ_BYTES)
            if not chunk and _replaced(path, file.fileno()):
                file.close()
                file = path.open("rb")
                continue
            *complete, rest = (rest + chunk).split(b"\n")
            if out := b"".join(map(selection.take, complete)):
                yield out
            elif was_ended:
                return
            elif not chunk:
                await log.changed()
    finally:
        file.close()


def _rotated(path: Path) -> list[bytes]:
    return [line for older in _older(path) for line in older.read_bytes().splitlines()]


def _older(path: Path) -> Iterator[Path]:
    for number in range(_KEEP_FILES, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            yield older


def _replaced(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
