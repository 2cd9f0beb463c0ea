"""In which order pods start, and how many at once: as many as the machine can carry, important ones first.

A system that comes up has more to start than there are processors. If everything starts at once, everything is ready
only at the end; a few at a time, half of it is ready in half the time. And what a client waits for is the first pod of
each Deployment, not the third of one, by way of the gateway, whose priority is higher. Pods that only wait use no
processor, so they hold nobody up: a start counts until the pod is ready, for half a second at most, and while a part of
the machine is idle one more may start.
`StartQueue` is pure; `StartGate` gives it time and the machine's load. Next: `pod_worker`, which asks.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from roadstead.node.usage import read_machine

LONGEST_START = 0.5
_LOOK_SECONDS = 0.05
_IDLE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    owner: str
    priority: int
    number: int


class StartQueue:
    """Who starts and who waits. `places` starts count at once; times are seconds of any one clock."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._asked = 0
        self._waiting: dict[str, _Waiting] = {}
        self._starting: dict[str, float] = {}
        self._begun: Counter[str] = Counter()

    def ask(self, key: str, owner: str, priority: int = 0) -> None:
        """Put a pod in the queue; `owner` is what it is a replica of, a higher `priority` goes first."""
        self._asked += 1
        self._waiting[key] = _Waiting(key, owner, priority, self._asked)

    def leave(self, key: str) -> None:
        """Note that a pod has started, or never will."""
        self._waiting.pop(key, None)
        self._starting.pop(key, None)

    def admit(self, now: float, *, idle: bool = False) -> list[str]:
        """Return the pods that may start now, in order; with an idle part of the machine, one more."""
        self._starting = {key: began for key, began in self._starting.items() if now - began < LONGEST_START}
        if not self._starting and not self._waiting:
            self._begun.clear()
        free = max(self._places - len(self._starting), 1 if idle else 0)
        return [self._begin(now) for _ in range(min(free, len(self._waiting)))]

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def _begin(self, now: float) -> str:
        first = min(self._waiting.values(), key=lambda one: (-one.priority, self._begun[one.owner], one.number))
        del self._waiting[first.key]
        self._begun[first.owner] += 1
        self._starting[first.key] = now
        return first.key


class StartGate:
    """The queue in an event loop."""

    def __init__(self) -> None:
        processors = len(os.sched_getaffinity(0))
        self._queue = StartQueue(processors)
        self._processors = processors
        self._admitted: dict[str, Callable[[], None]] = {}
        self._look: asyncio.TimerHandle | None = None
        self._seen = (0.0, 0.0)

    def ask(self, key: str, owner: str, priority: int, admitted: Callable[[], None]) -> None:
        """Have `admitted` called, soon, when the pod may start."""
        self._admitted[key] = admitted
        self._queue.ask(key, owner, priority)
        self._admit()

    def leave(self, key: str) -> None:
        """Note that a pod has started, or never will. May be called again."""
        self._admitted.pop(key, None)
        self._queue.leave(key)
        self._admit()

    def _admit(self, *, idle: bool = False) -> None:
        for key in self._queue.admit(time.monotonic(), idle=idle):
            if (admitted := self._admitted.pop(key, None)) is not None:
                admitted()
        if self._queue.waiting and self._look is None:
            self._seen = (time.monotonic(), _busy_seconds())
            self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        then, busy = self._seen
        self._seen = (time.monotonic(), _busy_seconds())
        used = (self._seen[1] - busy) / max((self._seen[0] - then) * self._processors, 1e-6)
        self._admit(idle=used < 1 - _IDLE_SHARE)


def _busy_seconds() -> float:
    try:
        return read_machine().cpu
    except (OSError, ValueError, IndexError):
        return 0.0  # no load is known: as if the machine were idle
