"""How many replicas a measured load asks for: Kubernetes' replica calculator, as functions.

pkg/controller/podautoscaler/replica_calculator.go. A pod's use is weighed against what it is meant to use (its request,
or the same for all); pods that are not measured, or not ready yet, are counted in the way that changes least. Next:
`scaling_behavior`, how fast that may come true, and `horizontalpodautoscaler`, which asks.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from roadstead.api.conditions import find_condition
from roadstead.api.objects import Object, ReadOnlyObject, is_deleting
from roadstead.api.quantities import parse_quantity
from roadstead.controllers.pods import is_ready, phase
from roadstead.lib.clock import from_rfc3339

TOLERANCE = 0.1
_CPU_INITIALIZATION = timedelta(minutes=5)
_INITIAL_READINESS = timedelta(seconds=30)


class NotMeasured(Exception):
    """No number can be told; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric is to be on average: `utilization` in percent of requests, or else `average`, a number of its unit.

    `container` restricts it to one container; empty: all of the pod.
    """

    resource: str
    utilization: int | None = None
    average: float = 0.0
    container: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """How many replicas a metric asks for, and what it is now: percent (None without requests) and average."""

    replicas: int
    utilization: int | None
    average: float


@dataclass(slots=True)
class _Groups:
    used: dict[str, float] = field(default_factory=dict)
    unready: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def propose(
    target: Target,
    pods: Sequence[ReadOnlyObject],
    metrics: Mapping[str, Object],
    current: int,
    now: datetime,
    tolerances: tuple[float, float] = (TOLERANCE, TOLERANCE),
) -> Proposal:
    """Return what a metric asks for. `metrics` are PodMetrics by pod name, `tolerances` those of growing and shrinking.

    Raises NotMeasured.
    """
    counted = [pod for pod in pods if not is_deleting(pod) and phase(pod) != "Failed"]
    groups = _group(target, counted, metrics, now)
    if not groups.used:
        raise NotMeasured("did not receive metrics for targeted pods (pods might be unready)")
    meant = {pod["metadata"]["name"]: _meant(target, pod) for pod in counted}
    wanted = target.utilization if target.utilization is not None else 100
    ratio = _ratio(groups.used, meant, wanted)
    proposal = Proposal(
        _replicas(groups, meant, wanted, ratio, current, tolerances),
        round(ratio * wanted) if target.utilization is not None else None,
        sum(groups.used.values()) / len(groups.used),
    )
    return proposal


def _replicas(
    groups: _Groups,
    meant: Mapping[str, float],
    wanted: int,
    ratio: float,
    current: int,
    tolerances: tuple[float, float],
) -> int:
    growing_with_unready = bool(groups.unready) and ratio > 1
    if not growing_with_unready and not groups.missing:
        return current if _within(ratio, tolerances) else math.ceil(_exact(ratio * len(groups.used)))
    assumed = dict(groups.used)
    if ratio != 1:
        assumed |= {name: meant[name] * max(100, wanted) / 100 if ratio < 1 else 0.0 for name in groups.missing}
    if growing_with_unready:
        assumed |= dict.fromkeys(groups.unready, 0.0)
    careful = _ratio(assumed, meant, wanted)
    if _within(careful, tolerances) or (ratio < 1) != (careful < 1):
        return current
    replicas = math.ceil(_exact(careful * len(assumed)))
    turned = (careful < 1 and replicas > current) or (careful > 1 and replicas < current)
    return current if turned else replicas


def _within(ratio: float, tolerances: tuple[float, float]) -> bool:
    growing, shrinking = tolerances
    return 1 - shrinking <= ratio <= 1 + growing


def _ratio(used: Mapping[str, float], meant: Mapping[str, float], wanted: int) -> float:
    total = sum(meant[name] for name in used)
    return _exact(sum(used.values()) / total * 100 / wanted) if total else 0.0


def _exact(number: float) -> float:
    """Take away what floating point added: ceil(2.0000000000000004) is not 3."""
    return round(number, 9)


def _group(target: Target, pods: Iterable[ReadOnlyObject], metrics: Mapping[str, Object], now: datetime) -> _Groups:
    groups = _Groups()
    for pod in pods:
        name = pod["metadata"]["name"]
        measured = metrics.get(name)
        if phase(pod) == "Pending":
            groups.unready.append(name)
        elif measured is None:
            groups.missing.append(name)
        elif target.resource == "cpu" and _is_starting(pod, measured, now):
            groups.unready.append(name)
        else:
            groups.used[name] = _used(target, measured)
    return groups


def _is_starting(pod: ReadOnlyObject, measured: ReadOnlyObject, now: datetime) -> bool:
    """Say whether the CPU that a pod uses is that of its start."""
    ready = find_condition((pod.get("status") or {}).get("conditions"), "Ready") or {}
    since, began = from_rfc3339(ready.get("lastTransitionTime")), from_rfc3339(pod["status"].get("startTime"))
    if since is None or began is None:
        return True
    if began + _CPU_INITIALIZATION > now:
        taken = from_rfc3339(measured.get("timestamp")) or now
        window = timedelta(seconds=float(str(measured.get("window") or "0s").removesuffix("s")))
        return not is_ready(pod) or taken < since + window
    return not is_ready(pod) and began + _INITIAL_READINESS > since


def _used(target: Target, measured: ReadOnlyObject) -> float:
    containers = [each for each in measured.get("containers") or () if target.container in ("", each.get("name"))]
    if not containers:
        raise NotMeasured(f"container {target.container} not present in metrics for pod {measured['metadata']['name']}")
    return sum(float(parse_quantity((each.get("usage") or {}).get(target.resource) or "0")) for each in containers)


def _meant(target: Target, pod: ReadOnlyObject) -> float:
    """Return what a pod is meant to use: its requests, or the same as all others."""
    if target.utilization is None:
        return target.average
    total = 0.0
    for container in (pod.get("spec") or {}).get("containers") or ():
        if target.container not in ("", container.get("name")):
            continue
        request = ((container.get("resources") or {}).get("requests") or {}).get(target.resource)
        if request is None:
            name = f"container {container.get('name')} of Pod {pod['metadata']['name']}"
            raise NotMeasured(f"missing request for {target.resource} in {name}")
        total += float(parse_quantity(str(request)))
    return total
