"""Deployments and everything else that makes pods (kubernetes pkg/apis/apps and pkg/apis/batch, validation)."""

import re
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.api.selectors import label_selector_from, label_selector_of
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import (
    complain,
    immutable,
    int_or_percent,
    is_empty_selector,
    label_selector,
    labels,
    not_negative,
    one_of,
    required_name,
)
from roadstead.apiserver.validation.pods import pod_template


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
        found.append(causes.invalid("spec.template.metadata.labels", carried, _MISMATCH))
    return found + pod_template(template, "spec.template")


def validate_stateful_set(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a StatefulSet."""
    spec = new.get("spec") or {}
    found = one_of("spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel"))
    strategy = spec.get("updateStrategy") or {}
    found += one_of("spec.updateStrategy.type", strategy.get("type"), ("OnDelete", "RollingUpdate"))
    found += not_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    found += not_negative(strategy.get("rollingUpdate") or {}, "spec.updateStrategy.rollingUpdate", "partition")
    if spec.get("serviceName"):
        found += complain("spec.serviceName", spec["serviceName"], names.label_complaints(spec["serviceName"]))
    claims = {metadata_of(claim).get("name", "") for claim in spec.get("volumeClaimTemplates") or ()}
    found += _selected_template(_with_claims(spec, claims), "statefulset")
    return found + _same(new, old, "selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")


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
    strategy = spec.get("updateStrategy") or {}
    found = one_of("spec.updateStrategy.type", strategy.get("type"), ("OnDelete", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "RollingUpdate":
        found += _daemon_rolling(rolling, "spec.updateStrategy.rollingUpdate")
    found += not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    if ((spec.get("template") or {}).get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in DaemonSet is not Supported"
        found.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return found + _selected_template(spec, "daemonset") + _same(new, old, "selector")


def _daemon_rolling(rolling: ReadOnlyObject, path: str) -> Causes:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    found = int_or_percent(unavailable, f"{path}.maxUnavailable") + int_or_percent(surge, f"{path}.maxSurge")
    if _is_nothing(surge) and _is_nothing(unavailable):
        found.append(causes.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif not _is_nothing(surge) and not _is_nothing(unavailable):
        found.append(causes.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    return found


_MISMATCH = "`selector` does not match template `labels`"


def _selected_template(spec: ReadOnlyObject, kind: str) -> Causes:
    """Return what is wrong with a selector and the template whose pods it must select."""
    selector, template = spec.get("selector"), spec.get("template")
    found: Causes = []
    if selector is None:
        found.append(causes.required("spec.selector"))
    else:
        found += label_selector(selector, "spec.selector")
        if is_empty_selector(selector):
            found.append(causes.invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    carried = metadata_of(template or {}).get("labels") or {}
    if not found and not label_selector_from(selector).matches(carried):
        found.append(causes.invalid("spec.template.metadata.labels", carried, _MISMATCH))
    return found + pod_template(template, "spec.template")


def _strategy(strategy: ReadOnlyObject) -> Causes:
    type_, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if type_ == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [causes.forbidden("spec.strategy.rollingUpdate", detail)] if rolling is not None else []
    if type_ != "RollingUpdate":
        return [causes.not_supported("spec.strategy.type", type_, ("Recreate", "RollingUpdate"))]
    rolling = rolling or {}
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    path = "spec.strategy.rollingUpdate"
    found = int_or_percent(unavailable, f"{path}.maxUnavailable")
    # A surge may be more than all of the pods.
    if not isinstance(surge, str) or names.percent_complaints(surge):
        found += int_or_percent(surge, f"{path}.maxSurge")
    if _is_nothing(surge) and _is_nothing(unavailable):
        found.append(causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return found


def _is_nothing(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and value.rstrip("%").strip("0") == "")


def _same(new: Object, old: Object | None, *fields: str) -> Causes:
    """Return a cause for every field of the spec that may not change and has."""
    if old is None:
        return []
    after, before = new.get("spec") or {}, old.get("spec") or {}
    return [cause for field in fields for cause in immutable(after.get(field), before.get(field), f"spec.{field}")]


_JOB_POLICIES = ("OnFailure", "Never")


def validate_job(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Job; its template can change only while it is suspended."""
    spec = new.get("spec") or {}
    found = _job_spec(spec, "spec")
    if old is None:
        return found
    found += _same(new, old, "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex")
    suspended = (old.get("spec") or {}).get("suspend") or spec.get("suspend")
    return found + ([] if suspended else _same(new, old, "template"))


def _job_spec(spec: ReadOnlyObject, path: str) -> Causes:
    found = not_negative(
        spec, path, "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"
    )
    found += not_negative(spec, path, "backoffLimitPerIndex", "maxFailedIndexes")
    found += one_of(f"{path}.completionMode", spec.get("completionMode"), ("NonIndexed", "Indexed"))
    if spec.get("completionMode") != "Indexed":
        detail = "requires indexed completion mode"
        indexed = ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
        given = [field for field in indexed if spec.get(field) is not None]
        found += [causes.invalid(f"{path}.{field}", spec[field], detail) for field in given]
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        found.append(causes.required(f"{path}.completions", "when completion mode is Indexed"))
    template = spec.get("template") or {}
    field = f"{path}.template.spec.restartPolicy"
    if (template.get("spec") or {}).get("restartPolicy") in (None, "", "Always"):
        found.append(causes.required(field, 'valid values: "OnFailure", "Never"'))
        return found + pod_template(template, f"{path}.template")
    return found + pod_template(template, f"{path}.template", _JOB_POLICIES)


_CRON_FIELD = re.compile(
    r"(\*|\?|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?(,(\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?)*"
)
_CRON_NAMES = ("yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly")


def validate_cron_job(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a CronJob."""
    spec = new.get("spec") or {}
    found = not_negative(
        spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )
    found += one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    schedule = spec.get("schedule", "")
    if not schedule:
        found.append(causes.required("spec.schedule"))
    elif not _is_schedule(schedule):
        detail = "must be five fields (minute, hour, day of month, month, day of week), @every DURATION or @daily"
        found.append(causes.invalid("spec.schedule", schedule, detail))
    return found + _job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def _is_schedule(schedule: str) -> bool:
    if schedule.startswith("@"):
        return schedule[1:] in _CRON_NAMES or schedule.startswith("@every ")
    fields = schedule.split()
    return len(fields) == 5 and all(_CRON_FIELD.fullmatch(field) for field in fields)


def validate_horizontal_pod_autoscaler(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a HorizontalPodAutoscaler."""
    spec = new.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    found: Causes = []
    if least is not None and least < 1:
        found.append(causes.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if not most:
        found.append(causes.required("spec.maxReplicas", "must be set and greater than 0"))
    elif least is not None and most < least:
        found.append(causes.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    target = spec.get("scaleTargetRef") or {}
    for key in ("kind", "name"):
        found += required_name(target, "spec.scaleTargetRef", names.path_segment_complaints, key=key)
    return found


def validate_pod_disruption_budget(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PodDisruptionBudget."""
    spec = new.get("spec") or {}
    found: Causes = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        found.append(causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            found += int_or_percent(spec[field], f"spec.{field}")
    found += one_of(
        "spec.unhealthyPodEvictionPolicy", spec.get("unhealthyPodEvictionPolicy"), ("AlwaysAllow", "IfHealthyBudget")
    )
    return found + label_selector(spec.get("selector"), "spec.selector")


def validate_pod_template(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PodTemplate."""
    template = new.get("template")
    policies = ("Always", "Never", "OnFailure")
    return pod_template(template, "template", policies) if template is not None else labels(None, "template")


VALIDATORS = {
    ("", "PodTemplate"): validate_pod_template,
    ("", "ReplicationController"): validate_replication_controller,
    ("apps", "DaemonSet"): validate_daemon_set,
    ("apps", "Deployment"): validate_deployment,
    ("apps", "ReplicaSet"): validate_replica_set,
    ("apps", "StatefulSet"): validate_stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): validate_horizontal_pod_autoscaler,
    ("batch", "CronJob"): validate_cron_job,
    ("batch", "Job"): validate_job,
    ("policy", "PodDisruptionBudget"): validate_pod_disruption_budget,
}
