"""HorizontalPodAutoscalers (kubernetes pkg/apis/autoscaling/validation)."""

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.containers import resource_name_complaints
from roadstead.apiserver.validation.fields import complain, required_name

_LONGEST_PERIOD, _LONGEST_WINDOW = 1800, 3600
_SELECTIONS = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_SOURCES = {
    "Object": "object", "External": "external", "Pods": "pods", "Resource": "resource",
    "ContainerResource": "containerResource",
}  # fmt: skip
_NEITHER = {
    "object": "must set either a target value or averageValue",
    "external": "must set either a target value for metric or a per-pod target",
    "pods": "must specify a positive target averageValue",
    "resource": "must set either a target raw value or a target utilization",
    "containerResource": "must set either a target raw value or a target utilization",
}
_AMOUNTS = {
    "object": ("averageValue", "value"), "external": ("averageValue", "value"), "pods": ("averageValue",),
    "resource": ("averageUtilization", "averageValue"), "containerResource": ("averageUtilization", "averageValue"),
}  # fmt: skip
"""Of what a target has to say one; where none is there, the first one is missed."""


def validate_horizontal_pod_autoscaler(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a HorizontalPodAutoscaler of either version."""
    spec = new.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    found: Causes = []
    if least is not None and least < 0:
        found.append(causes.invalid("spec.minReplicas", least, "must be greater than or equal to 0"))
    if not most:
        found.append(causes.required("spec.maxReplicas"))
    elif most < 0:
        found.append(causes.invalid("spec.maxReplicas", most, "must be greater than or equal to 1"))
    if least is not None and most < least:
        found.append(causes.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    found += _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    found += _metrics(spec, least)
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        found += _rules(rules, f"spec.behavior.{direction}") if rules is not None else []
    return found


def _reference(target: ReadOnlyObject, path: str, *, grouped: bool = True) -> Causes:
    found: Causes = []
    for key in ("kind", "name"):
        found += required_name(target, path, names.path_segment_complaints, key=key)
    version = target.get("apiVersion", "")
    if version.count("/") > 1:
        found.append(causes.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif grouped and not version and target.get("kind") != "ReplicationController":
        found.append(causes.invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    return found


def _metrics(spec: ReadOnlyObject, least: int | None) -> Causes:
    metrics = spec.get("metrics") or ()
    found = [cause for at, metric in enumerate(metrics) for cause in _metric(metric, f"spec.metrics[{at}]")]
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        # Version 1 has but this one metric, which is stored as the first of version 2.
        field = "spec.metrics[0].resource.target.averageUtilization"
        found.append(causes.invalid(field, percent, "must be greater than 0"))
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.append(causes.forbidden("spec.metrics", detail))
    return found


def _metric(metric: ReadOnlyObject, path: str) -> Causes:
    type_ = metric.get("type", "")
    found = [] if type_ else [causes.required(f"{path}.type", "must specify a metric source type")]
    found += [] if type_ in _SOURCES else [causes.not_supported(f"{path}.type", type_, sorted(_SOURCES))]
    given = [source for source in _SOURCES.values() if metric.get(source) is not None]
    if given:
        found += _source(metric[given[0]], given[0], f"{path}.{given[0]}")
    expected = _SOURCES.get(type_, "")
    if expected and expected not in given:
        found.append(causes.required(f"{path}.{expected}", "must populate information for the given metric source"))
    if len(given) > 1:
        detail = "must populate the given metric source only"
        found += [causes.forbidden(f"{path}.{source}", detail) for source in given if source != expected]
    return found


def _source(source: ReadOnlyObject, kind: str, path: str) -> Causes:
    found: Causes = []
    if kind in ("resource", "containerResource"):
        if not source.get("name"):
            found.append(causes.required(f"{path}.name", "must specify a resource name"))
        elif kind == "containerResource":
            found += complain(f"{path}.name", source["name"], resource_name_complaints(source["name"]))
    if kind == "containerResource":
        if not source.get("container"):
            found.append(causes.required(f"{path}.container", "must specify a container"))
        else:
            found += complain(f"{path}.container", source["container"], names.label_complaints(source["container"]))
    if kind == "object":
        found += _reference(source.get("describedObject") or {}, f"{path}.describedObject", grouped=False)
    if kind in ("object", "external", "pods"):
        name = (source.get("metric") or {}).get("name", "")
        found += complain(f"{path}.metric.name", name, names.path_segment_complaints(name))
        if not name:
            found.append(causes.required(f"{path}.metric.name", "must specify a metric name"))
    return found + _target(source.get("target") or {}, kind, f"{path}.target")


def _target(target: ReadOnlyObject, kind: str, path: str) -> Causes:
    type_ = target.get("type", "")
    found = [] if type_ else [causes.required(f"{path}.type", "must specify a metric target type")]
    if type_ not in ("Utilization", "Value", "AverageValue"):
        found.append(causes.invalid(f"{path}.type", type_, "must be either Utilization, Value, or AverageValue"))
    found += [
        causes.invalid(f"{path}.{key}", str(target[key]), "must be positive")
        for key in ("value", "averageValue")
        if target.get(key) is not None and parse_quantity(str(target[key])) <= 0
    ]
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        found.append(causes.invalid(f"{path}.averageUtilization", percent, "must be greater than 0"))
    amounts = _AMOUNTS[kind]
    given = [key for key in amounts if target.get(key) is not None]
    if not given:
        found.append(causes.required(f"{path}.{amounts[0]}", _NEITHER[kind]))
    if len(given) > 1 and kind == "external":
        detail = "may not set both a target value for metric and a per-pod target"
        found.append(causes.forbidden(f"{path}.value", detail))
    elif len(given) > 1 and kind != "object":
        detail = "may not set both a target raw value and a target utilization"
        found.append(causes.forbidden(f"{path}.averageValue", detail))
    return found


def _rules(rules: ReadOnlyObject, path: str) -> Causes:
    window, selected, policies = (rules.get(key) for key in ("stabilizationWindowSeconds", "selectPolicy", "policies"))
    found: Causes = []
    field = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        found.append(causes.invalid(field, window, "must be greater than or equal to zero"))
    if window is not None and window > _LONGEST_WINDOW:
        found.append(causes.invalid(field, window, f"must be less than or equal to {_LONGEST_WINDOW}"))
    if selected is not None and selected not in _SELECTIONS:
        found.append(causes.not_supported(f"{path}.selectPolicy", selected, _SELECTIONS))
    if policies is not None and not policies:
        found.append(causes.required(f"{path}.policies", "must specify at least one Policy"))
    for at, policy in enumerate(policies or ()):
        found += _policy(policy, f"{path}.policies[{at}]")
    return found


def _policy(policy: ReadOnlyObject, path: str) -> Causes:
    type_, period = policy.get("type", ""), policy.get("periodSeconds", 0)
    found = [] if type_ in _POLICIES else [causes.not_supported(f"{path}.type", type_, _POLICIES)]
    found += [
        causes.invalid(f"{path}.{key}", policy.get(key, 0), "must be greater than zero")
        for key in ("value", "periodSeconds")
        if policy.get(key, 0) <= 0
    ]
    if period > _LONGEST_PERIOD:
        detail = f"must be less than or equal to {_LONGEST_PERIOD}"
        found.append(causes.invalid(f"{path}.periodSeconds", period, detail))
    return found


VALIDATORS = {("autoscaling", "HorizontalPodAutoscaler"): validate_horizontal_pod_autoscaler}
