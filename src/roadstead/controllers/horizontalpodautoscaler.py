"""HorizontalPodAutoscalers: as many replicas as the measured load asks for, within the bounds that are given.

Kubernetes' pkg/controller/podautoscaler/horizontal.go. Conditions, reasons and events are its. Metrics are those that
this cluster measures itself: `Resource` and `ContainerResource`, cpu and memory. Next: `autoscaling`, which brings in
the metrics and remembers what was recommended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import Object, ReadOnlyObject, is_deleting
from roadstead.api.quantities import parse_quantity
from roadstead.controllers.actions import Action, Event, Patch, Requeue, guard, status_patch
from roadstead.controllers.replica_calculation import NotMeasured, Proposal, Target, propose
from roadstead.controllers.scaling_behavior import Allowed, History, allowed, tolerances
from roadstead.lib.clock import rfc3339

EVERY_SECONDS = 15.0
_LIMITS = {
    "": ("DesiredWithinRange", "the desired count is within the acceptable range"),
    "ScaleUpLimit": ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"),
    "ScaleDownLimit": ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"),
    "TooManyReplicas": ("TooManyReplicas", "the desired replica count is more than the maximum replica count"),
    "TooFewReplicas": ("TooFewReplicas", "the desired replica count is less than the minimum replica count"),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """An autoscaler, what it scales (None: not found) with its pods, and PodMetrics by pod name.

    `unmeasured` says why there are no metrics at all. `history` is what was recommended and done before.
    """

    autoscaler: ReadOnlyObject
    target: ReadOnlyObject | None
    pods: Sequence[ReadOnlyObject]
    metrics: Mapping[str, Object]
    history: History
    unmeasured: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do, and for the history: what was recommended (None: nothing) and by how much the number changes."""

    actions: list[Action]
    recommended: int | None = None
    change: int = 0


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the metrics ask for, the words for it, and what they are now, as `status.currentMetrics` has them."""

    replicas: int
    metric: str
    current: list[Object]
    problem: tuple[str, str] | None = None


def plan(observed: Observed, now: datetime) -> Outcome:
    """Return how many replicas there are to be, the autoscaler's status, and what to remember."""
    autoscaler, target = observed.autoscaler, observed.target
    if is_deleting(autoscaler):
        return Outcome([])
    if target is None:
        reference = autoscaler["spec"].get("scaleTargetRef") or {}
        missing = f"the HPA controller was unable to get the target's current scale: {_named(reference)} not found"
        return _failed(autoscaler, [condition("AbleToScale", False, "FailedGetScale", missing)], now)
    found = condition(
        "AbleToScale", True, "SucceededGetScale", "the HPA controller was able to get the target's current scale"
    )
    current = _replicas(target)
    if current == 0 and autoscaler["spec"].get("minReplicas") != 0:
        off = condition(
            "ScalingActive",
            False,
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )
        return Outcome([*_status(autoscaler, current, 0, [found, off], now), Requeue(EVERY_SECONDS)])
    return _scaled(observed, target, current, found, now)


def _scaled(observed: Observed, target: ReadOnlyObject, current: int, found: Object, now: datetime) -> Outcome:
    autoscaler = observed.autoscaler
    spec = autoscaler["spec"]
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    if not least <= current <= most:
        wanted = Allowed(most if current > most else least)
        reason = (
            "Current number of replicas above Spec.MaxReplicas"
            if current > most
            else "Current number of replicas below Spec.MinReplicas"
        )
        return _rescale(autoscaler, target, current, wanted, reason, [], [found], now)
    wish = _wish(observed, current, now)
    if wish.problem is not None:
        reason, message = wish.problem
        active = condition("ScalingActive", False, reason, message)
        if wish.replicas <= current:  # with a metric missing nothing shrinks
            return _failed(autoscaler, [found, active], now, current=current, metrics=wish.current)
    else:
        words = f"the HPA was able to successfully calculate a replica count from {wish.metric}"
        active = condition("ScalingActive", True, "ValidMetricFound", words)
    permitted = allowed(spec, current, wish.replicas, observed.history, now)
    conditions = [_able(permitted, current, wish.replicas, found), active, _limited(permitted)]
    grows = permitted.replicas > current
    reason = f"{wish.metric} above target" if grows else "All metrics below target"
    outcome = _rescale(autoscaler, target, current, permitted, reason, wish.current, conditions, now)
    return Outcome(outcome.actions, wish.replicas, outcome.change)


def _wish(observed: Observed, current: int, now: datetime) -> _Wish:
    """Return the most that any metric asks for, and the first problem with one."""
    spec = observed.autoscaler["spec"]
    best, words, shown, problem = 0, "", list[Object](), None
    for metric in spec.get("metrics") or ():
        try:
            target = _target_of(metric)
            if observed.unmeasured or not observed.pods:
                why = observed.unmeasured or "no pods returned by selector while calculating replica count"
                raise NotMeasured(f"unable to get metrics for resource {target.resource}: {why}")
            proposal = propose(target, observed.pods, observed.metrics, current, now, tolerances(spec))
        except NotMeasured as error:
            kind = str(metric.get("type") or "")
            message = f"the HPA was unable to compute the replica count: {error}"
            problem = problem or (f"FailedGet{kind}Metric", message)
            continue
        shown.append(_shown(metric, target, proposal))
        if proposal.replicas > best:
            best, words = proposal.replicas, _words(target)
    if not spec.get("metrics"):
        problem = ("InvalidMetricSourceType", "spec.metrics is empty: the HPA has nothing to go by")
    return _Wish(best, words, shown, problem)


def _target_of(metric: ReadOnlyObject) -> Target:
    kind = metric.get("type")
    names = {"Resource": "resource", "ContainerResource": "containerResource"}
    if kind not in names:
        raise NotMeasured(f"metrics of type {kind} need an adapter, and there is none here: use type Resource")
    source = metric.get(names[kind]) or {}
    wanted = source.get("target") or {}
    container = str(source.get("container") or "") if kind == "ContainerResource" else ""
    if wanted.get("averageUtilization") is not None:
        return Target(str(source.get("name")), int(wanted["averageUtilization"]), container=container)
    if wanted.get("averageValue") is None:
        raise NotMeasured("the target has neither averageUtilization nor averageValue")
    return Target(str(source.get("name")), None, float(parse_quantity(str(wanted["averageValue"]))), container)


def _words(target: Target) -> str:
    what = f"{target.resource} container resource" if target.container else f"{target.resource} resource"
    return f"{what} utilization (percentage of request)" if target.utilization is not None else what


def _shown(metric: ReadOnlyObject, target: Target, proposal: Proposal) -> Object:
    average = f"{round(proposal.average * 1000)}m" if target.resource == "cpu" else str(round(proposal.average))
    current: Object = {"averageValue": average}
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    if target.container:
        source = {"container": target.container, "name": target.resource, "current": current}
        return {"type": metric["type"], "containerResource": source}
    return {"type": metric["type"], "resource": {"name": target.resource, "current": current}}


def _able(permitted: Allowed, current: int, wanted: int, found: Object) -> Object:
    if permitted.stabilized and wanted < current:
        return condition(
            "AbleToScale",
            True,
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent recommendation",
        )
    if permitted.stabilized:
        return condition(
            "AbleToScale",
            True,
            "ScaleUpStabilized",
            "recent recommendations were lower than current one, applying the lowest recent recommendation",
        )
    if permitted.replicas == current:
        return condition("AbleToScale", True, "ReadyForNewScale", "recommended size matches current size")
    return found


def _limited(permitted: Allowed) -> Object:
    reason, message = _LIMITS[permitted.limit]
    return condition("ScalingLimited", bool(permitted.limit), reason, message)


def _rescale(
    autoscaler: ReadOnlyObject,
    target: ReadOnlyObject,
    current: int,
    permitted: Allowed,
    reason: str,
    metrics: list[Object],
    conditions: list[Object],
    now: datetime,
) -> Outcome:
    wanted = permitted.replicas
    if wanted == current:
        status = _status(autoscaler, current, wanted, conditions, now, metrics=metrics)
        return Outcome([*status, Requeue(EVERY_SECONDS)])
    done = condition(
        "AbleToScale", True, "SucceededRescale", f"the HPA controller was able to update the target scale to {wanted}"
    )
    told = Event(autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
    status = _status(autoscaler, current, wanted, [*conditions, done], now, metrics=metrics, scaled=True)
    change = Patch(target, {"metadata": guard(target), "spec": {"replicas": wanted}})
    return Outcome([change, told, *status, Requeue(EVERY_SECONDS)], change=wanted - current)


def _failed(
    autoscaler: ReadOnlyObject,
    conditions: list[Object],
    now: datetime,
    *,
    current: int = 0,
    metrics: list[Object] | None = None,
) -> Outcome:
    """Say what is wrong, once as an event, and leave everything as it is."""
    status = _status(autoscaler, current, current, conditions, now, metrics=metrics)
    problem = conditions[-1]
    before = (autoscaler.get("status") or {}).get("conditions") or ()
    known = any((entry["type"], entry.get("message")) == (problem["type"], problem["message"]) for entry in before)
    told: list[Action] = [] if known else [Event(autoscaler, "Warning", problem["reason"], problem["message"])]
    return Outcome([*told, *status, Requeue(EVERY_SECONDS)])


def _status(
    autoscaler: ReadOnlyObject,
    current: int,
    wanted: int,
    conditions: list[Object],
    now: datetime,
    *,
    metrics: list[Object] | None = None,
    scaled: bool = False,
) -> list[Action]:
    status: Object = {
        "currentReplicas": current,
        "desiredReplicas": wanted,
        "observedGeneration": autoscaler["metadata"].get("generation") or 0,
        "conditions": merge_conditions(
            (autoscaler.get("status") or {}).get("conditions") or (), conditions, rfc3339(now)
        ),
        "currentMetrics": metrics or None,
    }
    if scaled:
        status["lastScaleTime"] = rfc3339(now)
    return status_patch(autoscaler, status)


def _replicas(target: ReadOnlyObject) -> int:
    wanted = (target.get("spec") or {}).get("replicas")
    return 1 if wanted is None else int(wanted)


def _named(reference: ReadOnlyObject) -> str:
    return f"{reference.get('kind')} {reference.get('name')}"
