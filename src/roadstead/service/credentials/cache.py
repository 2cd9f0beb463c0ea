"""Credentials that were right a moment ago: found again in a microsecond, without being kept.

The key is a BLAKE2s hash under a key that this process made up, so neither the table nor the time of a look-up tells
anything about a password. Only successes are here: a wrong guess leaves no trace and is never answered from memory.
"""

import secrets
import threading
from hashlib import blake2s

from roadstead.service.identity import Identity

Key = tuple[bytes, tuple[str, ...]]


class VerifiedCache:
    """At most `capacity` verified credentials, each for `lifetime` seconds. Time is an argument."""

    def __init__(self, lifetime: float = 120.0, capacity: int = 10_000) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._secret = secrets.token_bytes(32)
        # For changes; a look takes none.
        self._lock = threading.Lock()
        self._entries: dict[Key, tuple[Identity, float]] = {}

    def key(self, credential: str, proved_by: tuple[str, ...]) -> Key:
        """Return the key of a credential, of which nothing can be told without this cache.

        `proved_by` is no secret: what it was compared with. When that is another one, nothing old is found.
        """
        # BLAKE2 with a secret before the text is a MAC, as RFC 7693 makes one of it, only without filling up the block:
        # a password then fits into the same one. BLAKE2s has the smaller blocks.
        return blake2s(self._secret + credential.encode("utf-8", "surrogatepass")).digest(), proved_by

    def get(self, key: Key, now: float) -> Identity | None:
        """Return the identity that this credential proved, if that was not too long ago."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        identity, until = entry
        if now < until:
            return identity
        with self._lock:
            self._entries.pop(key, None)
        return None

    def put(self, key: Key, identity: Identity, now: float, lifetime: float | None = None) -> None:
        """Remember a success for `lifetime` seconds, or the usual time if that is shorter."""
        spent = self._lifetime if lifetime is None else min(lifetime, self._lifetime)
        with self._lock:
            if key not in self._entries and len(self._entries) >= self._capacity:
                self._entries.pop(next(iter(self._entries)), None)
            self._entries[key] = (identity, now + spent)
