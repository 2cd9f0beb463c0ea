"""Checking a password on every RPC, and paying for the slow hash once in a while.

A pair that was right within the last two minutes is found in `VerifiedCache`. Otherwise one thread hashes it: equal
requests share one calculation, the queue is bounded, failures are throttled per name and client, and all names cost the
same time, known or not. The result is a `concurrent.futures.Future`, which asyncio and threads can both wait for.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import grpc

from roadstead.service.credentials.cache import Key, VerifiedCache
from roadstead.service.credentials.client import current_client
from roadstead.service.credentials.guesses import Guesses
from roadstead.service.credentials.presented import NamePassword
from roadstead.service.credentials.throttle import Throttle
from roadstead.service.identity import Identity
from roadstead.service.passwords import PasswordFile
from roadstead.service.refusal import Refusal, Refused, unauthenticated

Checked = Identity | Refusal


class _Attempt(NamedTuple):
    key: Key
    claim: NamePassword
    client: str
    file: PasswordFile


class PasswordVerifier:
    """Checks names and passwords against the records that `records()` returns at that moment.

    `threads` hash at a time and `queue` more may wait; beyond that callers get RESOURCE_EXHAUSTED.
    """

    def __init__(
        self,
        records: Callable[[], PasswordFile],
        *,
        cache: VerifiedCache | None = None,
        throttle: Throttle | None = None,
        clients: Throttle | None = None,
        threads: int = 1,
        queue: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._cache = cache or VerifiedCache()
        self._throttle = throttle or Throttle()
        # Many people may come from one address, and each of them may mistype.
        self._clients = clients or Throttle(burst=30, seconds_per_attempt=0.25)
        self._guesses = Guesses()
        self._most_pending = threads + queue
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[Key, Future[Checked]] = {}

    def verify(self, claim: NamePassword, client: Callable[[], str] = str) -> Checked | Future[Checked]:
        """Return the identity, a refusal, or a future of one of them if the password has to be hashed.

        Failures count for the name and for the client that `client()` returns (`credentials.client`), unless that is
        empty. It is asked only when that matters: not for a name that was proved and that nobody guesses at.
        """
        file, now = self._records(), self._clock()
        record = file.records.get(claim.name)
        # No identity is ever under that of an unknown name.
        key = self._cache.key(claim.password, (claim.name, "" if record is None else record.hash))
        identity = self._cache.get(key, now)
        if identity is not None and not self._guesses.is_guessed_at(claim.name, now):
            return identity
        attempt = _Attempt(key, claim, client(), file)
        with self._lock:
            if attempt.client:
                if wait := self._guesses.wait(claim.name, attempt.client, now):
                    return _busy(f"too many failed attempts at {claim.name!r} from {attempt.client}", wait)
                # Also before a right one is found: who has nothing left must not be told of it, nor fill the table of
                # guesses with names that he has made up until his own is forgotten.
                if wait := self._clients.wait(attempt.client, now):
                    return _busy(f"too many failed attempts from {attempt.client}", wait)
            return identity or self._pending.get(key) or self._start(attempt, now)

    async def identify(self, name: str, password: str) -> Identity:
        """Return who it is, for a handler that takes a password in its request; raises `Refused` if it is wrong."""
        result = self.verify(NamePassword(name, password), current_client)
        if isinstance(result, Future):
            result = await asyncio.wrap_future(result)
        if isinstance(result, Refusal):
            raise Refused(result)
        return result

    def close(self) -> None:
        """Stop hashing; what waits is not calculated any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, attempt: _Attempt, now: float) -> Refusal | Future[Checked]:
        if attempt.client:
            self._guesses.charge(attempt.claim.name, attempt.client, now)
        if len(self._pending) >= self._most_pending:
            return _busy("too many passwords are being checked", 1.0)
        if refusal := self._charge(attempt, now):
            return refusal
        future: Future[Checked] = Future()
        # Marked as running: a caller that goes away must not cancel what others wait for.
        future.set_running_or_notify_cancel()
        self._pending[attempt.key] = future
        self._pool.submit(self._check, future, attempt)
        return future

    def _charge(self, attempt: _Attempt, now: float) -> Refusal | None:
        """Take what an attempt costs its client and its name; neither, if one of them has nothing left.

        The client pays first: one that guesses must not use up what the name's owner has elsewhere.
        """
        client, name = attempt.client, attempt.claim.name
        if client and (wait := self._clients.charge(client, now)):
            return _busy(f"too many failed attempts from {client}", wait)
        if wait := self._throttle.charge(name, now):
            if client:
                self._clients.refund(client, now)
            return _busy(f"too many failed attempts for {name!r}", wait)
        return None

    def _check(self, future: Future[Checked], attempt: _Attempt) -> None:
        try:
            result = self._judge(attempt)
        except BaseException as error:
            self._forget(attempt.key)
            future.set_exception(error)
            raise
        self._forget(attempt.key)
        future.set_result(result)

    def _judge(self, attempt: _Attempt) -> Checked:
        name, file = attempt.claim.name, attempt.file
        if not file.matches(name, attempt.claim.password):
            return unauthenticated("wrong password" if name in file.records else "unknown user")
        identity = Identity(name=name, proof="password")
        with self._lock:
            now = self._clock()
            self._throttle.refund(name, now)
            if attempt.client:
                self._clients.refund(attempt.client, now)
                self._guesses.refund(name, attempt.client, now)
            self._cache.put(attempt.key, identity, now)
        return identity

    def _forget(self, key: Key) -> None:
        with self._lock:
            self._pending.pop(key, None)


def _busy(reason: str, wait: float) -> Refusal:
    message = "too many attempts; try again later"
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    return Refusal(exhausted, message, reason, retry_after=wait, public_reason="TOO_MANY_ATTEMPTS")
