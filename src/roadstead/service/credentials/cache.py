"""Credentials that were right a moment ago: found again in a microsecond, without being kept.

The key is a BLAKE2s hash under a key that this process made up, so neither the table nor the time of a look-up tells
anything about a password. Only successes are here: a wrong guess leaves no trace and is never answered from memory.
"""

import hashlib
import secrets
import threading

from roadstead.service.identity import Identity


class VerifiedCache:
    """At most `capacity` verified credentials, each for `lifetime` seconds. Time is an argument."""

    def __init__(self, lifetime: float = 120.0, capacity: int = 10_000) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        # Its blocks are half of BLAKE2b's: less work for short texts.
        self._keyed = hashlib.blake2s(key=secrets.token_bytes(32), digest_size=32)
        # For changes; a look takes none.
        self._lock = threading.Lock()
        self._entries: dict[bytes, tuple[Identity, float]] = {}

    def key(self, *parts: str) -> bytes:
        """Return the key of a credential. What is hashed is unambiguous: ("ab", "c") is not ("a", "bc").

        What verified the credential (the stored hash) should be a part: after a rotation nothing old is found.
        """
        keyed = self._keyed.copy()
        keyed.update(_told_apart(parts))
        return keyed.digest()

    def get(self, key: bytes, now: float) -> Identity | None:
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

    def put(self, key: bytes, identity: Identity, now: float, lifetime: float | None = None) -> None:
        """Remember a success for `lifetime` seconds, or the usual time if that is shorter."""
        spent = self._lifetime if lifetime is None else min(lifetime, self._lifetime)
        with self._lock:
            if key not in self._entries and len(self._entries) >= self._capacity:
                self._entries.pop(next(iter(self._entries)), None)
            self._entries[key] = (identity, now + spent)


def _told_apart(parts: tuple[str, ...]) -> bytes:
    """Return bytes that no other parts have: with NUL between them, unless there is one within."""
    text = "\0".join(parts)
    if text.count("\0") == len(parts) - 1:
        return text.encode("utf-8", "surrogatepass")
    # No text has this byte in UTF-8.
    return b"\xff" + repr(parts).encode()
