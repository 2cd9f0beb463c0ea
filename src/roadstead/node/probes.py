"""Probes: when they are due and what their results mean. Pure; `probe_checks` makes the one request of a probe.

The rules are the kubelet's (pkg/kubelet/prober/worker.go): a startup probe holds the others back, thresholds count
results in a row. One thing is added, because waiting a whole period for a server that came up in 300 ms is the longest
part of a start: until its first success a probe that asks for one success is also asked early. An early success counts,
an early failure does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from roadstead.api.objects import ReadOnlyObject

HANDLERS = ("grpc", "httpGet", "tcpSocket", "exec")
_FIRST_EARLY, _EARLY_GROWTH = 0.05, 1.2
_CLOCK_ERROR = 1e-6  # a probe that is asked when it is due is never a rounding error too early


class Purpose(Enum):
    """What a probe is for; the value is its field in the manifest."""

    STARTUP = "startupProbe"
    READINESS = "readinessProbe"
    LIVENESS = "livenessProbe"

    @property
    def title(self) -> str:
        """How events call it: `Readiness`."""
        return self.value.removesuffix("Probe").capitalize()


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe as the manifest has it, with defaults filled in."""

    purpose: Purpose
    kind: str
    handler: Mapping[str, Any]
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3
    grace: float | None = None


def probes_of(container: ReadOnlyObject) -> list[Probe]:
    """Return the probes of a container's manifest; one without a known handler is left out."""
    found = []
    for purpose in Purpose:
        manifest = container.get(purpose.value) or {}
        kind = next((name for name in HANDLERS if manifest.get(name) is not None), None)
        if kind is not None:
            found.append(_probe(purpose, kind, manifest))
    return found


def _probe(purpose: Purpose, kind: str, manifest: Mapping[str, Any]) -> Probe:
    grace = manifest.get("terminationGracePeriodSeconds")
    return Probe(
        purpose, kind, manifest[kind],
        delay=float(manifest.get("initialDelaySeconds") or 0),
        period=float(manifest.get("periodSeconds") or 10),
        timeout=float(manifest.get("timeoutSeconds") or 1),
        successes=int(manifest.get("successThreshold") or 1),
        failures=int(manifest.get("failureThreshold") or 3),
        grace=None if grace is None else float(grace),
    )  # fmt: skip


class Verdict(Enum):
    """What a probe's results so far say."""

    UNKNOWN = "unknown"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(slots=True)
class Tally:
    """The results of one probe in a row, and when it is due next. `since` is when the container (or startup) was ready
    to be probed.
    """

    probe: Probe
    since: float
    verdict: Verdict = Verdict.UNKNOWN
    passed: int = 0
    failed: int = 0
    _scheduled: int = 0
    _early: float = field(default=_FIRST_EARLY)
    _asked: float = 0.0

    def due(self) -> float:
        """Return when to probe next."""
        scheduled = self._next_scheduled()
        if not self._eager or self._scheduled == 0:
            return scheduled
        return min(scheduled, self._asked + self._early)

    @property
    def _eager(self) -> bool:
        unproven = self.verdict is not Verdict.PASSED and self.passed == 0
        return unproven and self.probe.successes == 1 and self.probe.purpose is not Purpose.LIVENESS

    def _next_scheduled(self) -> float:
        return self.since + self.probe.delay + self._scheduled * self.probe.period

    def note(self, success: bool, now: float) -> bool:
        """Take a result that was asked for at `now`; say whether it counts."""
        moment = now + _CLOCK_ERROR
        counts = moment >= self._next_scheduled()
        self._asked = now
        if counts:
            self._scheduled = int((moment - self.since - self.probe.delay) // self.probe.period) + 1
        elif not success:
            self._early *= _EARLY_GROWTH
            return False
        self._count(success)
        return True

    def _count(self, success: bool) -> None:
        if success:
            self.passed, self.failed = self.passed + 1, 0
            if self.passed >= self.probe.successes:
                self.verdict = Verdict.PASSED
        else:
            self.passed, self.failed = 0, self.failed + 1
            if self.failed >= self.probe.failures:
                self.verdict = Verdict.FAILED


def resolve_port(port: Any, container: ReadOnlyObject) -> int | None:
    """Return the number that a probe's port means: itself, or that of the container's port of this name."""
    if isinstance(port, int):
        return port
    if isinstance(port, str) and port.isdigit():
        return int(port)
    named = (entry.get("containerPort") for entry in container.get("ports") or () if entry.get("name") == port)
    return next(named, None)
