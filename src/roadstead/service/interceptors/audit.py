"""Who was allowed what, and who was not? A count of decisions for Prometheus; `AccessLog` has them one by one.

    roadstead_decisions_total{decision, reason, identity, grpc_service, grpc_method}

`decision` is allowed, denied or unauthenticated. `reason` is the role that allowed it, or what was missing, in words of
which a policy has only so many. Names are of callers who have proved theirs, never of those who claim one; the first
hundred are counted by name, the rest together, so that nobody can fill the memory. Needs the extra `metrics`.
"""

from functools import cache
from typing import Any

from roadstead.service.interceptors.stage import Call, Outcome, Stage

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter
except ModuleNotFoundError as missing:
    problem = "metrics need prometheus-client: install it with `pip install 'roadstead[metrics]'`"
    raise ModuleNotFoundError(problem, name=missing.name) from missing

_LABELS = ("decision", "reason", "identity", "grpc_service", "grpc_method")
OTHERS = "(other)"
_UNKNOWN = "unknown/unknown"
_MOST_COUNTERS = 10_000


@cache
def _counter(registry: CollectorRegistry) -> Counter:
    """Return the metric of a registry, which takes each name once; servers of one process share it."""
    return Counter("roadstead_decisions_total", "Decisions on who may call what.", _LABELS, registry=registry)


class Audit(Stage):
    """Counts what `Authentication` and `Authorization` decided; it may stand anywhere in the chain."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, most_identities: int = 100) -> None:
        self._counter = _counter(registry)
        self._most = most_identities
        self._names: set[str] = set()
        # What `labels` finds, found again ten times as fast.
        self._found: dict[tuple[str, str, str, str], Any] = {}

    def observe(self, call: Call, outcome: Outcome) -> None:
        """Count the last decision of an RPC: of a stream whose messages are judged, the one that ended it."""
        decision = call.decision
        if decision is None:
            return
        name = self._name(call.identity.name) if call.identity is not None else ""
        # A method that is not here may have any name: strangers would fill the memory with them.
        key = (decision.answer, decision.cause, name, call.method if call.kind else _UNKNOWN)
        counter = self._found.get(key)
        if counter is None:
            counter = self._remember(key)
        counter.inc()

    def _name(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= self._most:
            return OTHERS
        self._names.add(name)
        return name

    def _remember(self, key: tuple[str, str, str, str]) -> Any:
        if len(self._found) >= _MOST_COUNTERS:
            self._found.clear()
        answer, cause, name, method = key
        service, _, short = method.rpartition("/")
        # A rule that depends on the request was allowed so far, if no message has come that it forbids.
        counted = "allowed" if answer == "depends" else answer
        counter = self._found[key] = self._counter.labels(counted, cause, name, service, short)
        return counter
