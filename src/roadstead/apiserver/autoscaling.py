"""Two versions of one autoscaler: what `autoscaling/v2` says in metrics, `autoscaling/v1` says of CPU alone.

Whatever v1 has no field for travels in annotations, so that a round trip loses nothing
(kubernetes pkg/apis/autoscaling/v1/conversion.go). Pure. `versions` asks for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from roadstead.api.objects import Object, ReadOnlyObject

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_BEHAVIOR, _CONDITIONS = f"{_PREFIX}behavior", f"{_PREFIX}conditions"
_ROUND_TRIP = (_METRICS, _CURRENT, _BEHAVIOR, _CONDITIONS)
_DEFAULT_UTILIZATION = 80

Names = Sequence[tuple[str, tuple[str, ...]]]
"""Fields of a metric: what v1 calls it, and where v2 has it."""

_NAME, _CONTAINER = ("name", ("name",)), ("container", ("container",))
_METRIC, _SELECTOR = ("metricName", ("metric", "name")), ("selector", ("metric", "selector"))
_DESCRIBED = ("target", ("describedObject",))
_EXTERNAL_SELECTOR = ("metricSelector", ("metric", "selector"))


def _amounts(word: str) -> tuple[Names, Names, Names]:
    """Return the fields of amounts, of a target or of a current value: of resources, of averages, of values."""
    utilization = (f"{word}AverageUtilization", (word, "averageUtilization"))
    average = (f"{word}AverageValue", (word, "averageValue"))
    value = (f"{word}Value", (word, "value"))
    return (utilization, average), (average,), (value,)


def _table(word: str) -> Mapping[str, Names]:
    resource, average, value = _amounts(word)
    return {
        "resource": (_NAME, *resource),
        "containerResource": (_NAME, _CONTAINER, *resource),
        "pods": (_METRIC, _SELECTOR, *average),
        "object": (_DESCRIBED, _METRIC, _SELECTOR, *value, ("averageValue", (word, "averageValue"))),
        "external": (_METRIC, _EXTERNAL_SELECTOR, *value, *average),
    }


_SPECS, _STATUSES = _table("target"), _table("current")


def to_v1(hpa: ReadOnlyObject) -> Object:
    """Return an autoscaler of v2 as v1 shows it."""
    spec, status = dict(hpa.get("spec") or {}), dict(hpa.get("status") or {})
    metrics, behavior = spec.pop("metrics", None) or [], spec.pop("behavior", None)
    current, conditions = status.pop("currentMetrics", None) or [], status.pop("conditions", None)
    utilizations = [metric for metric in metrics if _is_cpu_utilization(metric)]
    if utilizations:
        spec["targetCPUUtilizationPercentage"] = utilizations[0]["resource"]["target"]["averageUtilization"]
    for metric in current:
        used = _look_up(metric, ("resource", "current", "averageUtilization"))
        if _look_up(metric, ("resource", "name")) == "cpu" and used is not None:
            status["currentCPUUtilizationPercentage"] = used
    kept: Object = {
        _METRICS: [_older(metric, _SPECS) for metric in metrics if not _is_cpu_utilization(metric)],
        _CURRENT: [_older(metric, _STATUSES) for metric in current],
        _BEHAVIOR: behavior,
        _CONDITIONS: conditions,
    }
    if "status" in hpa:
        status = {"currentReplicas": 0, "desiredReplicas": 0, **status}  # v1 has no way to leave them out
    added = {key: msgspec.json.encode(value).decode() for key, value in kept.items() if value}
    return _made(hpa, spec, status, added)


def to_v2(hpa: ReadOnlyObject) -> Object:
    """Return an autoscaler of v1 as v2 shows it; one that names no metric at all is for 80 % of the CPU."""
    spec, status = dict(hpa.get("spec") or {}), dict(hpa.get("status") or {})
    utilization = spec.pop("targetCPUUtilizationPercentage", None)
    used = status.pop("currentCPUUtilizationPercentage", None)
    metrics = [_newer(metric, _SPECS) for metric in _kept(hpa, _METRICS)]
    if utilization is not None or not metrics:
        metrics.append(_cpu("target", _DEFAULT_UTILIZATION if utilization is None else utilization))
    spec["metrics"] = [_typed(metric) for metric in metrics]
    current = [_newer(metric, _STATUSES) for metric in _kept(hpa, _CURRENT)]
    if current or used is not None:
        status["currentMetrics"] = current or [_cpu("current", used)]
    if behavior := _kept_value(hpa, _BEHAVIOR, dict):
        spec["behavior"] = behavior
    if conditions := _kept(hpa, _CONDITIONS):
        status["conditions"] = conditions
    return _made(hpa, spec, status, {})


def _made(hpa: ReadOnlyObject, spec: Object, status: Object, added: Mapping[str, str]) -> Object:
    metadata = dict(hpa.get("metadata") or {})
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key not in _ROUND_TRIP}
    annotations.update(added)
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    made: Object = {**hpa, "metadata": metadata, "spec": spec}
    return {**made, "status": status} if status or "status" in hpa else made


def _kept_value(hpa: ReadOnlyObject, annotation: str, type_: type) -> Any:
    """Return what an annotation keeps, None if it is not there or not what a conversion put there."""
    text = ((hpa.get("metadata") or {}).get("annotations") or {}).get(annotation)
    try:
        value = msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, TypeError):
        return None
    return value if isinstance(value, type_) else None


def _kept(hpa: ReadOnlyObject, annotation: str) -> list[Object]:
    return [entry for entry in _kept_value(hpa, annotation, list) or [] if isinstance(entry, dict)]


def _is_cpu_utilization(metric: ReadOnlyObject) -> bool:
    utilization = _look_up(metric, ("resource", "target", "averageUtilization"))
    return (
        metric.get("type") == "Resource" and _look_up(metric, ("resource", "name")) == "cpu" and utilization is not None
    )


def _cpu(word: str, utilization: int) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", word: {"averageUtilization": utilization}}}


def _older(metric: ReadOnlyObject, table: Mapping[str, Names]) -> Object:
    older: Object = {"type": metric.get("type")}
    for source, names in table.items():
        if isinstance(metric.get(source), dict):
            fields = {old: _look_up(metric[source], path) for old, path in names}
            older[source] = {old: value for old, value in fields.items() if value is not None}
    return older


def _newer(metric: ReadOnlyObject, table: Mapping[str, Names]) -> Object:
    newer: Object = {"type": metric.get("type")}
    for source, names in table.items():
        if isinstance(metric.get(source), dict):
            made: Object = {}
            newer[source] = made
            for old, path in names:
                if old in metric[source]:
                    _put(made, path, metric[source][old])
    return newer


def _typed(metric: Object) -> Object:
    """Give every target the type that its amount implies, which v1 does not say."""
    for source in _SPECS:
        target = _look_up(metric, (source, "target"))
        if isinstance(target, dict) and "type" not in target:
            utilization = "averageUtilization" in target
            target["type"] = "Utilization" if utilization else "AverageValue" if "averageValue" in target else "Value"
    return metric


def _look_up(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _put(target: Object, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        target = target.setdefault(name, {})
    target[path[-1]] = value
