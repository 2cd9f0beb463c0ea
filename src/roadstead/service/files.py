"""Files mounted from a Secret or ConfigMap: read again when they change, and never worse than before.

The kubelet swaps such a file by renaming a symbolic link, so a change shows as another inode. Asking costs one `stat`
per `interval`, on access: no thread, no watch that could end unseen. A new version that cannot be understood keeps
the old one and says so once.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

_log = structlog.get_logger(__name__)
T = TypeVar("T")
_Version = tuple[int, int, int]


class WatchedFile(Generic[T]):
    """The parsed content of a file, kept current.

    The first read happens here and raises what `parse` raises (ValueError) or OSError: a program that starts with a
    broken file should not start. Later errors are logged, and the last good value stays.
    """

    def __init__(
        self,
        path: str | Path,
        parse: Callable[[bytes], T],
        *,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self._parse = parse
        self._interval = interval
        self._clock = clock
        self._version = self._stat()
        self._value = parse(self.path.read_bytes())
        self._next_look = clock() + interval

    def current(self) -> T:
        """Return the content, at most `interval` seconds old."""
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + self._interval
            self._look()
        return self._value

    def _look(self) -> None:
        version: _Version | None = None
        try:
            version = self._stat()
            if version == self._version:
                return
            value = self._parse(self.path.read_bytes())
        except FileNotFoundError as error:
            self._refuse(None, error)
        except (OSError, ValueError) as error:
            self._refuse(version, error)
        else:
            self._version, self._value = version, value
            _log.info("file reloaded", path=str(self.path))

    def _refuse(self, version: "_Version | None", error: Exception) -> None:
        if version is not None:
            self._version = version
        _log.error("file not reloaded: the old content stays in force", path=str(self.path), error=str(error))

    def _stat(self) -> "_Version":
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
