"""Tokens that somebody else issues and signs with a private key: JSON Web Tokens checked with the issuer's key set.

    expected = Expectations(issuer="https://login.example.com", audience="shop")
    JwtVerifier(KeySetUrl("https://login.example.com/keys"), expected)

Needs the extra `jwt`. Tokens of this system's own are in `token.py`. A signature costs some 60 to 140 µs to check, so a
token that was good is remembered for two minutes, at most until it expires, and not beyond a change of keys.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

import grpc
import msgspec

from roadstead.service.credentials.cache import VerifiedCache
from roadstead.service.credentials.claims import Expectations, decode_base64
from roadstead.service.credentials.key_set import ALGORITHMS, KeySet, PinnedKey, payload_signed_by
from roadstead.service.credentials.presented import Token
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal, unauthenticated

Checked = Identity | Refusal
_LONGEST_REASON = 300


class KeySource(Protocol):
    """Where keys come from (`credentials.key_sources`)."""

    def current(self) -> KeySet | None:
        """Return the keys in force, if there are any yet."""

    def renewed(self) -> "Future[KeySet | None] | None":
        """Look for newer keys; None if there can be none."""


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    crit: Any = None


class JwtVerifier:
    """Checks bearer tokens of one issuer."""

    def __init__(
        self,
        keys: KeySource,
        expected: Expectations,
        *,
        cache: VerifiedCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = keys
        self._expected = expected
        self._cache = cache or VerifiedCache()
        self._clock = clock

    def verify(self, claim: Token) -> "Checked | Future[Checked]":
        """Return whom the token speaks for, a refusal, or a future of one if its key is to be fetched first."""
        try:
            header = _header(claim.text)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            return _wrong(error)
        keys = self._source.current()
        # The issuer is asked for a key that the token names, if it can be one of its: tokens of others, which name none
        # or another sort, would have everybody wait.
        may_come = header.kid is not None and header.alg in ALGORITHMS
        if keys is not None and (keys.find(header.kid) or not may_come):
            return self._judge(claim.text, header, keys)
        pending = self._source.renewed()
        return self._judge(claim.text, header, keys) if pending is None else self._later(pending, claim.text, header)

    def _later(self, pending: "Future[KeySet | None]", text: str, header: _Header) -> "Future[Checked]":
        answer: Future[Checked] = Future()
        # Running: a caller that goes away must not cancel the callback that settles this.
        answer.set_running_or_notify_cancel()

        def settle(done: "Future[KeySet | None]") -> None:
            try:
                answer.set_result(self._judge(text, header, done.result()))
            except Exception as error:  # noqa: BLE001  somebody waits for an answer, and gets this one
                answer.set_exception(error)

        pending.add_done_callback(settle)
        return answer

    def _judge(self, text: str, header: _Header, keys: KeySet | None) -> Checked:
        if keys is None:
            reason = "token: there are no keys yet to check it with"
            return Refusal(grpc.StatusCode.UNAVAILABLE, "tokens cannot be checked now", reason, retry_after=1.0)
        now = self._clock()
        key = self._cache.key(text, (keys.version,))
        if identity := self._cache.get(key, now):
            return identity
        try:
            identity = self._expected.identity(_payload(text, header, keys), now)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            return _wrong(error)
        until = (identity.expires or now) + self._expected.skew
        self._cache.put(key, identity, now, until - now)
        return identity


def _wrong(error: Exception) -> Refusal:
    """Return a refusal whose reason, which is logged, quotes no more of a stranger's token than helps."""
    return unauthenticated(f"token: {error}"[:_LONGEST_REASON])


def _header(text: str) -> _Header:
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("not a JSON Web Token")
    header = msgspec.json.decode(decode_base64(parts[0]), type=_Header)
    if header.crit is not None:
        raise ValueError("it demands extensions ('crit') that are not known here")
    return header


def _payload(text: str, header: _Header, keys: KeySet) -> bytes:
    named = keys.find(header.kid)
    if not named:
        raise ValueError(
            f"there is no key {header.kid!r}" if header.kid else "it does not say which key it is signed with"
        )
    fit: list[PinnedKey] = [key for key in named if header.alg in key.algorithms]
    if not fit:
        raise ValueError(f"its algorithm {header.alg!r} is not what its key is for")
    for key in fit[:-1]:  # several only if the issuer has given one name to some
        with suppress(ValueError):
            return payload_signed_by(key, text)
    return payload_signed_by(fit[-1], text)
