"""How fast the number of replicas may change: stabilization windows and policies of `spec.behavior`.

Kubernetes' pkg/controller/podautoscaler/horizontal.go (`stabilizeRecommendationWithBehaviors`,
`convertDesiredReplicasWithBehaviorRate`), as functions of what was recommended and done before. Times are datetimes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.controllers.replica_calculation import TOLERANCE

_UP = {
    "stabilizationWindowSeconds": 0,
    "policies": (
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ),
}
_DOWN = {
    "stabilizationWindowSeconds": 300,
    "policies": ({"type": "Percent", "value": 100, "periodSeconds": 15},),
}
Limit = Literal["", "ScaleUpLimit", "ScaleDownLimit", "TooManyReplicas", "TooFewReplicas"]


@dataclass(slots=True)
class History:
    """What was recommended, and by how much the number of replicas was changed, each with its time."""

    recommendations: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)

    def forget(self, before: datetime) -> None:
        """Drop what is older."""
        self.recommendations = [entry for entry in self.recommendations if entry[0] >= before]
        self.changes = [entry for entry in self.changes if entry[0] >= before]


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many replicas there are to be now; `limit` says what keeps it from what was wanted, `stabilized` likewise."""

    replicas: int
    limit: Limit = ""
    stabilized: bool = False


def rules(spec: ReadOnlyObject, direction: Literal["scaleUp", "scaleDown"]) -> ReadOnlyObject:
    """Return a direction's rules with Kubernetes' defaults for what the manifest leaves open."""
    given = {
        name: value for name, value in ((spec.get("behavior") or {}).get(direction) or {}).items() if value is not None
    }
    return {**(_UP if direction == "scaleUp" else _DOWN), **given}


def tolerances(spec: ReadOnlyObject) -> tuple[float, float]:
    """Return by which share a metric may miss its target before anything grows, and before anything shrinks."""
    up, down = (rules(spec, direction).get("tolerance") for direction in ("scaleUp", "scaleDown"))
    return (_number(up), _number(down))


def _number(tolerance: object) -> float:
    return TOLERANCE if tolerance is None else float(parse_quantity(str(tolerance)))


def allowed(spec: ReadOnlyObject, current: int, wanted: int, history: History, now: datetime) -> Allowed:
    """Return what may come true now of what is wanted; `history` holds what was wanted and done before."""
    stable = _stabilized(spec, current, wanted, history, now)
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    if stable > current:
        step = max(_step_up(rules(spec, "scaleUp"), current, history, now), current)
        bounded, limit = _at_most(stable, step, "ScaleUpLimit", most)
    elif stable < current:
        step = min(_step_down(rules(spec, "scaleDown"), current, history, now), current)
        bounded, limit = _at_least(stable, step, "ScaleDownLimit", least)
    else:
        bounded, limit = stable, ""
    inside = max(min(bounded, most), least)
    if inside != bounded:
        limit = "TooManyReplicas" if inside < bounded else "TooFewReplicas"
    return Allowed(inside, limit, stable != wanted)


def _at_most(wanted: int, step: int, name: Limit, most: int) -> tuple[int, Limit]:
    if wanted <= min(step, most):
        return wanted, ""
    return (step, name) if step < most else (most, "TooManyReplicas")


def _at_least(wanted: int, step: int, name: Limit, least: int) -> tuple[int, Limit]:
    if wanted >= max(step, least):
        return wanted, ""
    return (step, name) if step > least else (least, "TooFewReplicas")


def _stabilized(spec: ReadOnlyObject, current: int, wanted: int, history: History, now: datetime) -> int:
    """Return the wanted number, or what was wanted in the window if that changes less."""

    def within(direction: Literal["scaleUp", "scaleDown"]) -> list[int]:
        window = timedelta(seconds=int(rules(spec, direction)["stabilizationWindowSeconds"]))
        return [number for at, number in history.recommendations if at > now - window]

    least_growth = min([wanted, *within("scaleUp")])
    least_shrinking = max([wanted, *within("scaleDown")])
    return min(max(current, least_growth), least_shrinking)


def _step_up(rule: ReadOnlyObject, current: int, history: History, now: datetime) -> int:
    if rule.get("selectPolicy") == "Disabled":
        return current
    steps = []
    for policy in rule["policies"]:
        began = current - _changed(policy, history.changes, now)
        grown = (
            began + int(policy["value"])
            if policy["type"] == "Pods"
            else math.ceil(began * (100 + int(policy["value"])) / 100)
        )
        steps.append(grown)
    return min(steps) if rule.get("selectPolicy") == "Min" else max(steps)


def _step_down(rule: ReadOnlyObject, current: int, history: History, now: datetime) -> int:
    if rule.get("selectPolicy") == "Disabled":
        return current
    steps = []
    for policy in rule["policies"]:
        began = current - _changed(policy, history.changes, now)
        shrunk = (
            began - int(policy["value"]) if policy["type"] == "Pods" else began * (100 - int(policy["value"])) // 100
        )
        steps.append(shrunk)
    return max(steps) if rule.get("selectPolicy") == "Min" else min(steps)


def _changed(policy: ReadOnlyObject, changes: Sequence[tuple[datetime, int]], now: datetime) -> int:
    """Return by how much the number of replicas has changed in a policy's period."""
    period = timedelta(seconds=int(policy["periodSeconds"]))
    return sum(change for at, change in changes if at > now - period)
