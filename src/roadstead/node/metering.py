"""What pods and the node use, as `kubectl top` asks for it: metrics.k8s.io/v1beta1 objects from two readings.

A reading is taken every 15 seconds and when somebody asks; a container that started since is judged from its start.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from roadstead.api.objects import Object, ReadOnlyObject, labels_of, metadata_of
from roadstead.node.netd_client import NetdError
from roadstead.node.records import PodRecord
from roadstead.node.runtime import Runtime
from roadstead.node.times import timestamp
from roadstead.node.usage import Usage, read_machine

_log = structlog.get_logger(__name__)
_EVERY_SECONDS = 15.0
_SHORTEST_WINDOW = 2.0
_GROUP_VERSION = "metrics.k8s.io/v1beta1"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was used up to a moment (seconds since the epoch): by each container's process, by the whole machine."""

    at: float
    processes: Mapping[int, Usage]
    machine: Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """CPUs in use on average over `window` seconds, and bytes of memory at its end."""

    cpu: float
    memory: int
    window: float


class Meter:
    """Measures the pods of a node. `running` yields each pod with its record."""

    def __init__(
        self, runtime: Runtime, node: str, running: Callable[[], Iterable[tuple[ReadOnlyObject, PodRecord]]]
    ) -> None:
        self._runtime, self._node, self._running = runtime, node, running
        self._kept: deque[Reading] = deque(maxlen=2)

    async def run(self) -> None:
        """Take a reading every 15 seconds until cancelled."""
        while True:
            try:
                self._kept.append(await self._read())
            except (NetdError, OSError, ValueError) as error:
                _log.warning("use of the machine cannot be measured", error=str(error))
            await asyncio.sleep(_EVERY_SECONDS)

    async def pods(self) -> list[Object]:
        """Return the PodMetrics of the pods that run. Raises NetdError, OSError, ValueError."""
        now = await self._read()
        before = self._before(now)
        return [made for pod, record in self._running() if (made := pod_metrics(pod, record, before, now)) is not None]

    async def node(self) -> Object | None:
        """Return the NodeMetrics, None before there is anything to compare with. Raises as `pods`."""
        now = await self._read()
        before = self._before(now)
        return node_metrics(self._node, before, now) if before is not None else None

    def _before(self, now: Reading) -> Reading | None:
        """Return the newest reading that is old enough to compare with."""
        return next((kept for kept in reversed(self._kept) if now.at - kept.at >= _SHORTEST_WINDOW), None)

    async def _read(self) -> Reading:
        processes = await self._runtime.measure()
        return Reading(time.time(), processes, read_machine())


def rate(before: Usage | None, after: Usage, window: float) -> Rate:
    """Return the rate between two readings; without an earlier one, from nothing."""
    used = after.cpu - (before.cpu if before is not None else 0.0)
    return Rate(max(used, 0.0) / window if window > 0 else 0.0, after.memory, window)


def pod_metrics(pod: ReadOnlyObject, record: PodRecord, before: Reading | None, now: Reading) -> Object | None:
    """Return the PodMetrics of a pod, None while none of its containers runs."""
    rates = {}
    for container in record.containers.values():
        after = now.processes.get(container.process)
        if not container.running or after is None:
            continue
        earlier = before.processes.get(container.process) if before is not None else None
        since = before.at if before is not None and earlier is not None else container.started_at
        rates[container.name] = rate(earlier, after, now.at - since)
    if not rates:
        return None
    metadata = metadata_of(pod)
    return {
        "kind": "PodMetrics",
        "apiVersion": _GROUP_VERSION,
        "metadata": _metadata(pod, metadata["name"], now, namespace=metadata["namespace"]),
        **_when(now, max(each.window for each in rates.values())),
        "containers": [{"name": name, "usage": _usage(each)} for name, each in rates.items()],
    }


def node_metrics(name: str, before: Reading, now: Reading) -> Object:
    """Return the NodeMetrics of the machine, with all that runs on it."""
    measured = rate(before.machine, now.machine, now.at - before.at)
    labels = {"metadata": {"labels": {"kubernetes.io/hostname": name}}}
    return {
        "kind": "NodeMetrics",
        "apiVersion": _GROUP_VERSION,
        "metadata": _metadata(labels, name, now),
        **_when(now, measured.window),
        "usage": _usage(measured),
    }


def _metadata(obj: ReadOnlyObject, name: str, now: Reading, **more: str) -> Object:
    return {"name": name, **more, "creationTimestamp": timestamp(now.at), "labels": dict(labels_of(obj))}


def _when(now: Reading, window: float) -> Object:
    return {"timestamp": timestamp(now.at), "window": f"{max(window, 0.0):.3f}s"}


def _usage(measured: Rate) -> Object:
    return {"cpu": f"{round(measured.cpu * 1e9)}n", "memory": f"{measured.memory // 1024}Ki"}
