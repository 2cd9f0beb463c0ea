"""Deployments, ReplicaSets and whatever else makes pods."""

from datetime import datetime
from typing import Any

from roadstead.api.conditions import is_true
from roadstead.api.objects import ReadOnlyObject, controller_of, is_deleting
from roadstead.apiserver.autoscaling import to_v2
from roadstead.apiserver.printers.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Printer,
    age,
    columns,
    containers_and_images,
    human_duration,
    labels_text,
    moment,
    selector_text,
    shortened,
    since,
    spec_of,
    status_of,
    template_of,
)

_WIDE = ("Containers", "Images", "Selector")


def _count(part: ReadOnlyObject, name: str) -> int:
    return int(part.get(name) or 0)


def _wide(obj: ReadOnlyObject) -> tuple[str, str, str]:
    return (*containers_and_images(template_of(obj)), selector_text(spec_of(obj).get("selector")))


def _deployment(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    return [
        obj["metadata"]["name"],
        f"{_count(status, 'readyReplicas')}/{_count(spec, 'replicas')}",
        _count(status, "updatedReplicas"),
        _count(status, "availableReplicas"),
        age(obj, now),
        *_wide(obj),
    ]


def _replica_set(obj: ReadOnlyObject, now: datetime) -> Cells:
    status = status_of(obj)
    counts = (_count(spec_of(obj), "replicas"), _count(status, "replicas"), _count(status, "readyReplicas"))
    return [obj["metadata"]["name"], *counts, age(obj, now), *_wide(obj)]


def _replication_controller(obj: ReadOnlyObject, now: datetime) -> Cells:
    cells = _replica_set(obj, now)
    return [*cells[:-1], labels_text(spec_of(obj).get("selector"))]


def _stateful_set(obj: ReadOnlyObject, now: datetime) -> Cells:
    ready = f"{_count(status_of(obj), 'readyReplicas')}/{_count(spec_of(obj), 'replicas')}"
    return [obj["metadata"]["name"], ready, age(obj, now), *containers_and_images(template_of(obj))]


_DAEMON_COUNTS = (
    "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
)  # fmt: skip


def _daemon_set(obj: ReadOnlyObject, now: datetime) -> Cells:
    status = status_of(obj)
    nodes = labels_text((template_of(obj).get("spec") or {}).get("nodeSelector"))
    counts = (_count(status, name) for name in _DAEMON_COUNTS)
    return [obj["metadata"]["name"], *counts, nodes, age(obj, now), *_wide(obj)]


def _job(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [
        obj["metadata"]["name"],
        _job_status(obj),
        _completions(spec_of(obj), _count(status_of(obj), "succeeded")),
        _job_duration(status_of(obj), now),
        age(obj, now),
        *_wide(obj),
    ]


def _job_status(obj: ReadOnlyObject) -> str:
    conditions = status_of(obj).get("conditions")
    for type_ in ("Complete", "Failed"):
        if is_true(conditions, type_):
            return type_
    if is_deleting(obj):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_true(conditions, type_):
            return type_
    return "Running"


def _completions(spec: ReadOnlyObject, succeeded: int) -> str:
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = _count(spec, "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(status: ReadOnlyObject, now: datetime) -> str:
    start = moment(status.get("startTime") or "")
    end = moment(status.get("completionTime") or "") or now
    return human_duration((end - start).total_seconds()) if start else ""


def _cron_job(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        obj["metadata"]["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers_and_images(job.get("template") or {}),
        selector_text(job.get("selector")),
    ]


def _horizontal_pod_autoscaler(obj: ReadOnlyObject, now: datetime) -> Cells:
    if obj.get("apiVersion") == "autoscaling/v1":
        obj = to_v2(obj)
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        obj["metadata"]["name"],
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or (), status.get("currentMetrics") or ()),
        str(spec["minReplicas"]) if "minReplicas" in spec else UNSET,
        _count(spec, "maxReplicas"),
        _count(status, "currentReplicas"),
        age(obj, now),
    ]


def _metrics(specs: Any, statuses: Any) -> str:
    texts = [_metric(spec, statuses[at] if at < len(statuses) else {}) for at, spec in enumerate(specs)]
    return shortened(texts, 2, ", ") or NONE


def _metric(spec: ReadOnlyObject, status: ReadOnlyObject) -> str:
    kind = spec.get("type", "")
    field = kind[:1].lower() + kind[1:]
    source, current = spec.get(field), (status.get(field) or {}).get("current") or {}
    if not isinstance(source, dict):
        return "<unknown type>"
    target = source.get("target") or {}
    if field in ("resource", "containerResource"):
        return f"{source.get('name', '')}: {_resource_metric(target, current)}"
    if "averageValue" in target:
        average = " (avg)" if field != "pods" else ""
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{average}"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '0')}"


def _resource_metric(target: ReadOnlyObject, current: ReadOnlyObject) -> str:
    if "averageValue" in target:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
    used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    return f"{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _pod_disruption_budget(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec = spec_of(obj)
    bounds = (str(spec.get(name, "N/A")) for name in ("minAvailable", "maxUnavailable"))
    return [obj["metadata"]["name"], *bounds, _count(status_of(obj), "disruptionsAllowed"), age(obj, now)]


def _controller_revision(obj: ReadOnlyObject, now: datetime) -> Cells:
    owner = controller_of(obj)
    text = NONE
    if owner:
        group, slash, _ = owner.get("apiVersion", "").partition("/")
        text = f"{owner.get('kind', '').lower()}{f'.{group}' if slash else ''}/{owner.get('name', '')}"
    return [obj["metadata"]["name"], text, _count(obj, "revision"), age(obj, now)]


_REPLICAS = columns(("Name", "Desired", "Current", "Ready", "Age"), _WIDE, integers=("Desired", "Current", "Ready"))
PRINTERS = {
    ("apps", "Deployment"): Printer(
        columns(("Name", "Ready", "Up-to-date", "Available", "Age"), _WIDE),
        _deployment,
    ),
    ("apps", "ReplicaSet"): Printer(_REPLICAS, _replica_set),
    ("", "ReplicationController"): Printer(_REPLICAS, _replication_controller),
    ("apps", "StatefulSet"): Printer(columns(("Name", "Ready", "Age"), _WIDE[:2]), _stateful_set),
    ("apps", "DaemonSet"): Printer(
        columns(
            ("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age"),
            _WIDE,
            integers=("Desired", "Current", "Ready", "Up-to-date", "Available"),
        ),
        _daemon_set,
    ),
    ("apps", "ControllerRevision"): Printer(columns(("Name", "Controller", "Revision", "Age")), _controller_revision),
    ("batch", "Job"): Printer(columns(("Name", "Status", "Completions", "Duration", "Age"), _WIDE), _job),
    ("batch", "CronJob"): Printer(
        (
            *columns(("Name", "Schedule", "Timezone")),
            Column("Suspend", "boolean"),
            *columns(("Active", "Last Schedule", "Age"), _WIDE, integers=("Active",)),
        ),
        _cron_job,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Printer(
        columns(("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age")),
        _horizontal_pod_autoscaler,
    ),
    ("policy", "PodDisruptionBudget"): Printer(
        columns(
            ("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"),
            integers=("Allowed Disruptions",),
        ),
        _pod_disruption_budget,
    ),
}
