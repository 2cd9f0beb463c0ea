"""Deployments and everything else that makes pods (kubernetes pkg/apis/apps and pkg/apis/batch, validation)."""

from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.api.selectors import label_selector_from, label_selector_of
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import (
    at_most_all,
    complain,
    immutable,
    int_or_percent,
    is_empty_selector,
    label_selector,
    labels,
    not_negative,
    one_of,
)
from roadstead.apiserver.validation.internal import BUDGET_SPEC, STATEFUL_STRATEGY, STRATEGY, internal
from roadstead.apiserver.validation.pods import pod_template
from roadstead.apiserver.validation.storage import claim_spec


def validate_deployment(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Deployment."""
    spec = new.get("spec") or {}
    found = not_negative(spec, "spec", "replicas") + _selected_template(spec, "deployment")
    found += _strategy(spec.get("strategy") or {})
    found += not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        found.append(causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return found + _same(new, old, "selector")


def validate_replica_set(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a ReplicaSet."""
    spec = new.get("spec") or {}
    found = not_negative(spec, "spec", "replicas", "minReadySeconds")
    return found + _selected_template(spec, "deployment") + _same(new, old, "selector")


def validate_replication_controller(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a ReplicationController, whose selector is a plain map."""
    spec = new.get("spec") or {}
    found = not_negative(spec, "spec", "replicas", "minReadySeconds")
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        found.append(causes.required("spec.selector"))
    if template is None:
        return [*found, causes.required("spec.template")]
    carried = metadata_of(template).get("labels") or {}
    if selector and not label_selector_of(selector).matches(carried):
        found.append(causes.invalid("spec.template.metadata.labels", carried or None, _MISMATCH))
    found += pod_template(template, "spec.template")
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicationController is not Supported"
        found.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return found


def validate_stateful_set(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a StatefulSet."""
    spec, management = new.get("spec") or {}, (new.get("spec") or {}).get("podManagementPolicy")
    found: Causes = []
    if management not in (None, "OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        found.append(causes.invalid("spec.podManagementPolicy", management, detail))
    found += _stateful_strategy(spec.get("updateStrategy") or {}) + _retention(spec)
    for at, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        found += claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{at}].spec")
    found += not_negative(spec, "spec", "replicas", "minReadySeconds")
    found += not_negative(spec.get("ordinals") or {}, "spec.ordinals", "start")
    if spec.get("serviceName"):
        found += complain("spec.serviceName", spec["serviceName"], names.label_complaints(spec["serviceName"]))
    claims = {metadata_of(claim).get("name", "") for claim in spec.get("volumeClaimTemplates") or ()}
    found += _selected_template(_with_claims(spec, claims), "statefulset")
    return found + _same(new, old, "selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy")


def _stateful_strategy(strategy: ReadOnlyObject) -> Causes:
    type_, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy"
    if type_ == "OnDelete" and rolling is not None:
        shown = internal(rolling, {"partition": 0, "maxUnavailable": None})
        return [causes.invalid(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")]
    if type_ not in ("OnDelete", "RollingUpdate"):
        detail = "must be 'RollingUpdate' or 'OnDelete'"
        return [causes.invalid(path, internal(strategy, STATEFUL_STRATEGY), detail)]
    found = not_negative(rolling or {}, f"{path}.rollingUpdate", "partition")
    unavailable, field = (rolling or {}).get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable"
    if unavailable is not None:
        found += int_or_percent(unavailable, field)
        if _is_nothing(unavailable):
            found.append(causes.invalid(field, unavailable, "cannot be 0"))
        found += at_most_all(unavailable, field)
    return found


def _retention(spec: ReadOnlyObject) -> Causes:
    policy, path = spec.get("persistentVolumeClaimRetentionPolicy") or {}, "spec.persistentVolumeClaimRetentionPolicy"
    return [
        cause
        for key in ("whenDeleted", "whenScaled")
        for cause in one_of(f"{path}.{key}", policy.get(key), ("Retain", "Delete"))
    ]


def _with_claims(spec: ReadOnlyObject, claims: set[str]) -> ReadOnlyObject:
    """Return the spec as its pods will be: with a volume for every claim template."""
    template = spec.get("template")
    if not claims or template is None:
        return spec
    pod = template.get("spec") or {}
    kept = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in sorted(claims)]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": [*added, *kept]}}}


def validate_daemon_set(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a DaemonSet."""
    spec = new.get("spec") or {}
    found = _selected_template(spec, "daemonset") + not_negative(spec, "spec", "minReadySeconds")
    found += _daemon_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    return found + not_negative(spec, "spec", "revisionHistoryLimit") + _same(new, old, "selector")


def _daemon_strategy(strategy: ReadOnlyObject, path: str) -> Causes:
    if strategy.get("type") not in ("OnDelete", "RollingUpdate"):
        return [causes.not_supported(path, internal(strategy, STRATEGY), ("RollingUpdate", "OnDelete"))]
    if strategy["type"] == "OnDelete":
        return []
    rolling, path = strategy.get("rollingUpdate") or {}, f"{path}.rollingUpdate"
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    found = int_or_percent(unavailable, f"{path}.maxUnavailable") + int_or_percent(surge, f"{path}.maxSurge")
    found += at_most_all(unavailable, f"{path}.maxUnavailable") + at_most_all(surge, f"{path}.maxSurge")
    # What is no number counts for nothing, here and in Kubernetes.
    if _is_nothing(surge) and _is_nothing(unavailable):
        found.append(causes.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif not _is_nothing(surge) and not _is_nothing(unavailable):
        found.append(causes.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    return found


_MISMATCH = "`selector` does not match template `labels`"


def _selected_template(spec: ReadOnlyObject, kind: str) -> Causes:
    """Return what is wrong with a selector and the template whose pods it must select."""
    return _selector(spec.get("selector"), kind) + _template(spec, _OWNERS[kind])


_OWNERS = {"deployment": "ReplicaSet", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}


def _selector(selector: ReadOnlyObject | None, kind: str) -> Causes:
    if selector is None:
        return [causes.required("spec.selector")] if kind != "daemonset" else []
    found = label_selector(selector, "spec.selector")
    if is_empty_selector(selector):
        found.append(causes.invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    return found


def _template(spec: ReadOnlyObject, owner: str) -> Causes:
    selector, template, path = spec.get("selector"), spec.get("template"), "spec.template"
    if selector is not None and not _is_readable(selector):
        detail = "" if owner == "StatefulSet" else "invalid label selector"
        return [] if owner == "DaemonSet" else [causes.invalid("spec.selector", selector, detail)]
    carried = metadata_of(template or {}).get("labels")
    found: Causes = []
    if selector is None or not (is_empty_selector(selector) or label_selector_from(selector).matches(carried or {})):
        found.append(causes.invalid(f"{path}.metadata.labels", carried or None, _MISMATCH))
    found += pod_template(template, path)
    if ((template or {}).get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {owner} is not Supported"
        found.append(causes.forbidden(f"{path}.spec.activeDeadlineSeconds", detail))
    return found


def _is_readable(selector: ReadOnlyObject) -> bool:
    """Say whether pods can be compared with a selector at all."""
    return not label_selector(selector, "")


def _strategy(strategy: ReadOnlyObject) -> Causes:
    type_, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if type_ == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [causes.forbidden("spec.strategy.rollingUpdate", detail)] if rolling is not None else []
    if type_ != "RollingUpdate":
        shown = internal(strategy, STRATEGY)
        return [causes.not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))]
    rolling = rolling or {}
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    path = "spec.strategy.rollingUpdate"
    found = int_or_percent(unavailable, f"{path}.maxUnavailable") + int_or_percent(surge, f"{path}.maxSurge")
    if _is_nothing(surge) and _is_nothing(unavailable):
        found.append(causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return found + at_most_all(unavailable, f"{path}.maxUnavailable")  # a surge may be more than all of the pods


def _is_nothing(value: Any) -> bool:
    if isinstance(value, str):
        number = value.removesuffix("%")
        return not (number.isdecimal() and int(number))
    return bool(value == 0)


def _same(new: Object, old: Object | None, *fields: str) -> Causes:
    """Return a cause for every field of the spec that may not change and has."""
    if old is None:
        return []
    after, before = new.get("spec") or {}, old.get("spec") or {}
    return [cause for field in fields for cause in immutable(after.get(field), before.get(field), f"spec.{field}")]


def validate_pod_disruption_budget(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PodDisruptionBudget."""
    spec = new.get("spec") or {}
    found: Causes = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        found.append(
            causes.invalid("spec", internal(spec, BUDGET_SPEC), "minAvailable and maxUnavailable cannot be both set")
        )
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            found += int_or_percent(spec[field], f"spec.{field}") + at_most_all(spec[field], f"spec.{field}")
    found += one_of(
        "spec.unhealthyPodEvictionPolicy", spec.get("unhealthyPodEvictionPolicy"), ("AlwaysAllow", "IfHealthyBudget")
    )
    return found + label_selector(spec.get("selector"), "spec.selector")


def validate_pod_template(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PodTemplate."""
    template = new.get("template")
    return pod_template(template, "template", None) if template is not None else labels(None, "template")


VALIDATORS = {
    ("", "PodTemplate"): validate_pod_template,
    ("", "ReplicationController"): validate_replication_controller,
    ("apps", "DaemonSet"): validate_daemon_set,
    ("apps", "Deployment"): validate_deployment,
    ("apps", "ReplicaSet"): validate_replica_set,
    ("apps", "StatefulSet"): validate_stateful_set,
    ("policy", "PodDisruptionBudget"): validate_pod_disruption_budget,
}
