"""Not too much at once, and not too often: limits for each caller, so that one does not starve the others.

A caller is an identity, or for open methods the client's address: behind a gateway that `Authentication` trusts, the
one that it names. Put these stages after `Authentication`. Health is neither refused nor counted: probes share an
address with others, and a pod whose probes are refused is killed.
"""

import threading
import time
from collections.abc import Callable

import grpc

from roadstead.service.credentials.client import network_of
from roadstead.service.credentials.connection import address_of
from roadstead.service.credentials.throttle import Throttle
from roadstead.service.health_methods import is_health
from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal

# Who called last is forgotten last: with this many callers at a time the first of them have their whole burst again.
_MOST_CALLERS = 200_000


def caller_of(call: Call) -> str:
    """Return a name for who calls: the identity's, or the client's address without its port, of IPv6 its /64.

    No identity has the name of an address.
    """
    if call.identity is not None:
        return f"identity {call.identity.name}"
    return f"address {call.client or network_of(address_of(call.peer)) or call.peer}"


class Concurrency(Stage):
    """Refuses a caller's RPC with RESOURCE_EXHAUSTED while `limit` others of his are running.

    Raises ValueError if that would refuse everybody.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"Concurrency: limit must be 1 or more, not {limit}")
        self._limit = limit
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    def enter(self, call: Call) -> Admission:
        """Take a place."""
        if is_health(call.method):
            return None
        caller = caller_of(call)
        with self._lock:
            running = self._running.get(caller, 0)
            if running >= self._limit:
                reason = f"{running} calls of {caller} are running"
                return Refusal(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "too many calls at once",
                    reason,
                    public_reason="TOO_MANY_AT_ONCE",
                )
            self._running[caller] = running + 1
        return None

    def leave(self, call: Call) -> None:
        """Give the place back."""
        if is_health(call.method):
            return  # it took none
        caller = caller_of(call)
        with self._lock:
            running = self._running.pop(caller, 1) - 1
            if running > 0:
                self._running[caller] = running


class Rate(Stage):
    """Refuses a caller's RPC with RESOURCE_EXHAUSTED beyond `per_second` on average and `burst` at once.

    Raises ValueError if that would refuse everybody.
    """

    def __init__(
        self, per_second: float, burst: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"Rate: per_second must be more than 0, not {per_second}")
        if burst is not None and burst < 1:
            raise ValueError(f"Rate: burst must be 1 or more, not {burst}")
        self._buckets = Throttle(burst or max(1, round(per_second)), 1.0 / per_second, _MOST_CALLERS)
        self._lock = threading.Lock()
        self._clock = clock

    def enter(self, call: Call) -> Admission:
        """Take a token from the caller's bucket."""
        if is_health(call.method):
            return None
        caller = caller_of(call)
        with self._lock:
            wait = self._buckets.charge(caller, self._clock())
        if not wait:
            return None
        reason = f"{caller} calls too often"
        exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        return Refusal(exhausted, "too many calls", reason, retry_after=wait, public_reason="TOO_MANY")
