"""Where an issuer's keys come from: a mounted file, or the issuer's own address (`jwks_uri`).

Keys rotate: an issuer publishes a new one and then signs with it. A file is looked at every second. An address is
asked every few minutes, and at once when a token names a key that is not known yet, but not more often than `pause`
allows: else strangers could make this server ask. While it cannot be reached, or takes longer than `patience`, the keys
that were there stay in force.
"""

import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import structlog

from roadstead.service.credentials.fetching import check_scheme, fetch
from roadstead.service.credentials.key_set import KeySet, parse_key_set
from roadstead.service.files import WatchedFile

_log = structlog.get_logger(__name__)
_LARGEST = 1024 * 1024


class KeySetFile:
    """Keys of a file that is read again when it changes. Raises OSError or ValueError if it cannot be used now."""

    def __init__(self, path: str | Path) -> None:
        self._watched = WatchedFile(path, parse_key_set)

    def current(self) -> KeySet | None:
        """Return the keys in force."""
        return self._watched.current()

    def renewed(self) -> Future[KeySet | None] | None:
        """Return None: there is nothing newer than `current`."""
        return None


class KeySetUrl:
    """Keys that an issuer publishes at an `https` address (`http` only if `plain` is true: anybody could answer).

    `ca_file` names authorities to trust instead of the system's. Raises ValueError for any other address. The first
    look begins at once and in the background; a server starts also when its issuer is away. An answer has to be there
    after `patience` seconds: as long callers wait whose token names an unknown key.
    """

    def __init__(
        self,
        url: str,
        *,
        refresh: float = 300.0,
        pause: float = 10.0,
        patience: float = 10.0,
        ca_file: str | Path | None = None,
        plain: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schemes = ("https", "http") if plain else ("https",)
        check_scheme(url, self._schemes)
        self._url = url
        self._refresh = refresh
        self._pause = pause
        self._patience = patience
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._asked = clock()
        self._asking: Future[KeySet | None] | None = None
        self._ask()

    def current(self) -> KeySet | None:
        """Return the keys in force; None if there were none yet. Looks for newer ones in the background, in time."""
        if self._clock() - self._asked >= self._refresh:
            self.renewed()
        return self._keys

    def renewed(self) -> Future[KeySet | None] | None:
        """Ask the issuer again, unless that was done a moment ago; None then. The future never fails."""
        with self._lock:
            if self._asking is not None:
                return self._asking
            if self._clock() - self._asked < self._pause:
                return None
            return self._ask()

    def _ask(self) -> Future[KeySet | None]:
        answer: Future[KeySet | None] = Future()
        # Running: a caller that goes away must not cancel what others wait for.
        answer.set_running_or_notify_cancel()
        self._asking, self._asked = answer, self._clock()
        threading.Thread(target=self._fetch, args=(answer,), name="key set", daemon=True).start()
        return answer

    def _fetch(self, answer: Future[KeySet | None]) -> None:
        try:
            content = fetch(self._url, tls=self._tls, schemes=self._schemes, largest=_LARGEST, limit=self._patience)
            self._keys = parse_key_set(content)
        except Exception as error:  # noqa: BLE001  whatever goes wrong far away, the old keys stay and somebody waits
            _log.error("key set not fetched: the old keys stay in force", url=self._url, error=str(error))
        with self._lock:
            self._asking = None
        answer.set_result(self._keys)
