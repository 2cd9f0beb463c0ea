"""Files mounted from a Secret or ConfigMap: read again when they change, and never worse than before.

The kubelet swaps such a file by renaming a symbolic link, so a change shows as another inode. Asking costs one `stat`
per `interval`, on access: no thread, no watch that could end unseen. A new version that cannot be understood keeps
the old one and says so once. Files that belong together, a certificate and its key, are read and judged together.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import structlog

_log = structlog.get_logger(__name__)
T = TypeVar("T")
# What shows of each file: inode, time and size, or why it cannot be asked.
_Version: TypeAlias = tuple[tuple[int, int, int] | str, ...]
# A swap by the kubelet is one moment, so what was read across it is whole the next time.
_ATTEMPTS = 3


class WatchedFiles(Generic[T]):
    """What some files say together, kept current; all that is read for one answer stood there at the same time.

    `parse` is given the content of each. The first read happens here and raises what `parse` raises (ValueError) or
    OSError: a program that starts with a broken file should not start. Later errors are logged, and the last good
    value stays.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        parse: Callable[..., T],
        *,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.paths = tuple(map(Path, paths))
        self._parse = parse
        self._interval = interval
        self._clock = clock
        self._version: _Version = ()
        self._value = self._load()
        self._next_look = clock() + interval

    def current(self) -> T:
        """Return what the files say, at most `interval` seconds old; from any thread."""
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + self._interval
            if self._stat() != self._version:
                self._reload()
        return self._value

    def _reload(self) -> None:
        path = ", ".join(map(str, self.paths))
        try:
            self._value = self._load()
        except (OSError, ValueError) as error:
            _log.error("file not reloaded: the old content stays in force", path=path, error=str(error))
        else:
            _log.info("file reloaded", path=path)

    def _load(self) -> T:
        for _ in range(_ATTEMPTS):
            self._version = self._stat()
            try:
                value = self._parse(*(path.read_bytes() for path in self.paths))
            except (OSError, ValueError):
                if self._stat() == self._version:
                    raise
            else:
                if self._stat() == self._version:
                    return value
        raise ValueError("it is changed all the time while it is read")

    def _stat(self) -> _Version:
        return tuple(map(_shown, self.paths))


class WatchedFile(WatchedFiles[T]):
    """What one file says, kept current."""

    def __init__(
        self,
        path: str | Path,
        parse: Callable[[bytes], T],
        *,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__([path], parse, interval=interval, clock=clock)


def _shown(path: Path) -> tuple[int, int, int] | str:
    try:
        found = path.stat()
    except OSError as error:
        return str(error)
    return found.st_ino, found.st_mtime_ns, found.st_size
