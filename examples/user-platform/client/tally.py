"""What a client has seen: how many calls, how they ended, who answered, how long they took."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of some span of time. `line` renders them as `key=value` words."""

    calls: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    pods: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def answered(self, pod: str, seconds: float) -> None:
        self.calls += 1
        self.pods[pod] += 1
        self.slowest = max(self.slowest, seconds)

    def failed(self, code: str, seconds: float) -> None:
        self.calls += 1
        self.failures[code] += 1
        self.slowest = max(self.slowest, seconds)

    def add(self, other: "Tally") -> None:
        self.calls += other.calls
        self.failures += other.failures
        self.pods += other.pods
        self.slowest = max(self.slowest, other.slowest)

    def line(self) -> str:
        codes = "".join(f" {code}={count}" for code, count in sorted(self.failures.items()))
        pods = ",".join(f"{pod}:{count}" for pod, count in sorted(self.pods.items()))
        slowest = round(self.slowest * 1000)
        return f"calls={self.calls} failed={self.failures.total()}{codes} slowest_ms={slowest} pods={pods or '-'}"
