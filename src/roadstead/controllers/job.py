"""Jobs: pods that are to succeed, some at a time, until enough have or too many failed.

Kubernetes' pkg/controller/job, NonIndexed and Indexed completion, without pod failure policies. Pods that count
are counted from the pods that are there, so a Job's pods stay until the Job goes (or its TTL passes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roadstead.api.conditions import condition, find_condition, is_true, merge_conditions
from roadstead.api.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    controller_of,
    is_deleting,
    metadata_of,
    owner_reference,
)
from roadstead.api.selectors import label_selector_from
from roadstead.controllers.actions import Action, Create, Delete, Event, Requeue, status_patch
from roadstead.controllers.ownership import Claim, claim
from roadstead.controllers.pods import is_active, is_ready, phase, pod_from_template
from roadstead.lib.clock import from_rfc3339, rfc3339

INDEX = "batch.kubernetes.io/job-completion-index"
_FIRST_DELAY, _LONGEST_DELAY = 10.0, 360.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A Job and the pods that it may own."""

    job: ReadOnlyObject
    pods: Sequence[Object]


@dataclass(frozen=True, slots=True)
class _Tally:
    active: tuple[Object, ...]
    ready: int
    succeeded: int
    failed: int
    indexes_done: frozenset[int]
    last_failure: datetime | None


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return the pods to create or delete, the status, and what is left to wait for."""
    job = observed.job
    if is_deleting(job):
        return []
    if is_finished(job):
        return _expire(job, now)
    claimed = _claim(job, observed.pods)
    tally = _count(claimed.objects)
    outcome = _outcome(job, tally, now)
    if outcome is not None:
        return [*(Delete(pod) for pod in tally.active), *_finish(job, tally, outcome, now)]
    if job["spec"].get("suspend"):
        suspended = condition("Suspended", True, "JobSuspended", "Job suspended")
        return [*(Delete(pod) for pod in tally.active), *_status(job, tally, [suspended], now, started=False)]
    resumed = [condition("Suspended", False, "JobResumed", "Job resumed")] if _is_suspended(job) else []
    return [*claimed.actions, *_next_pods(job, tally, now), *_status(job, tally, resumed, now), *_deadline(job, now)]


def _claim(job: ReadOnlyObject, pods: Sequence[Object]) -> Claim:
    if job["spec"].get("selector"):
        return claim(job, label_selector_from(job["spec"]["selector"]), pods)
    # Kubernetes' server gives every Job a selector of its own; without one it has the pods that name it.
    uid = job["metadata"]["uid"]
    return Claim(tuple(pod for pod in pods if (controller_of(pod) or {}).get("uid") == uid), ())


def is_finished(job: ReadOnlyObject) -> bool:
    """Say whether a Job has completed or failed."""
    conditions = (job.get("status") or {}).get("conditions")
    return is_true(conditions, "Complete") or is_true(conditions, "Failed")


def _is_suspended(job: ReadOnlyObject) -> bool:
    return is_true((job.get("status") or {}).get("conditions"), "Suspended")


def _expire(job: ReadOnlyObject, now: datetime) -> list[Action]:
    lifetime = job["spec"].get("ttlSecondsAfterFinished")
    conditions = (job.get("status") or {}).get("conditions")
    ended = find_condition(conditions, "Complete") or find_condition(conditions, "Failed") or {}
    since = from_rfc3339(ended.get("lastTransitionTime"))
    if lifetime is None or since is None:
        return []
    left = (since + timedelta(seconds=int(lifetime)) - now).total_seconds()
    return [Delete(job)] if left <= 0 else [Requeue(left)]


def _count(pods: Sequence[Object]) -> _Tally:
    active = tuple(pod for pod in pods if is_active(pod))
    succeeded = [pod for pod in pods if phase(pod) == "Succeeded"]
    failed = [pod for pod in pods if phase(pod) == "Failed"]
    return _Tally(
        active,
        sum(is_ready(pod) for pod in active),
        len(succeeded),
        len(failed),
        frozenset(_index(pod) for pod in succeeded),
        max((moment for pod in failed if (moment := _ended(pod)) is not None), default=None),
    )


def _ended(pod: Object) -> datetime | None:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    finished = [((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") for entry in statuses]
    moments = [moment for text in finished if (moment := from_rfc3339(text)) is not None]
    return max(moments, default=from_rfc3339(metadata_of(pod).get("creationTimestamp")))


def _index(pod: Object) -> int:
    text = annotations_of(pod).get(INDEX) or ""
    return int(text) if text.isdigit() else -1


def _is_indexed(job: ReadOnlyObject) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _parallelism(job: ReadOnlyObject) -> int:
    value = job["spec"].get("parallelism")
    return 1 if value is None else int(value)


def _outcome(job: ReadOnlyObject, tally: _Tally, now: datetime) -> Object | None:
    """Return the condition that ends a Job, or None."""
    spec = job["spec"]
    limit = 6 if spec.get("backoffLimit") is None else int(spec["backoffLimit"])
    if tally.failed > limit:
        return condition("Failed", True, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _seconds_left(job, now)
    if left is not None and left <= 0:
        return condition("Failed", True, "DeadlineExceeded", "Job was active longer than specified deadline")
    if not _is_complete(job, tally):
        return None
    return condition("Complete", True, "CompletionsReached", "Reached expected number of succeeded pods")


def _is_complete(job: ReadOnlyObject, tally: _Tally) -> bool:
    completions = job["spec"].get("completions")
    if completions is None:
        # A work queue: the first success says that there is no more work; the others may finish theirs.
        return tally.succeeded > 0 and not tally.active
    return _done(job, tally) >= int(completions)


def _done(job: ReadOnlyObject, tally: _Tally) -> int:
    return len(tally.indexes_done) if _is_indexed(job) else tally.succeeded


def _seconds_left(job: ReadOnlyObject, now: datetime) -> float | None:
    deadline = job["spec"].get("activeDeadlineSeconds")
    started = from_rfc3339((job.get("status") or {}).get("startTime"))
    if deadline is None or started is None or job["spec"].get("suspend"):
        return None
    return (started + timedelta(seconds=int(deadline)) - now).total_seconds()


def _deadline(job: ReadOnlyObject, now: datetime) -> list[Action]:
    left = _seconds_left(job, now)
    return [Requeue(left)] if left is not None and left > 0 else []


def _next_pods(job: ReadOnlyObject, tally: _Tally, now: datetime) -> list[Action]:
    completions = job["spec"].get("completions")
    if completions is None:
        wanted = len(tally.active) if tally.succeeded else _parallelism(job)
    else:
        wanted = min(_parallelism(job), int(completions) - _done(job, tally))
    missing = wanted - len(tally.active)
    if missing < 0:
        surplus = sorted(tally.active, key=lambda pod: (is_ready(pod), phase(pod) == "Running"))
        return [_deleted(job, pod) for pod in surplus[:-missing]]
    wait = _pause(tally, now)
    if missing and wait > 0:
        return [Requeue(wait)]
    indexes = _free_indexes(job, tally)
    return [_created(job, indexes[number] if _is_indexed(job) else None) for number in range(missing)]


def _pause(tally: _Tally, now: datetime) -> float:
    """Return how long a Job with failures waits: 10 s after the first, twice that after the next, up to 6 minutes."""
    if tally.last_failure is None:
        return 0.0
    delay = min(_FIRST_DELAY * 2.0 ** (min(tally.failed, 16) - 1), _LONGEST_DELAY)
    return (tally.last_failure + timedelta(seconds=delay) - now).total_seconds()


def _free_indexes(job: ReadOnlyObject, tally: _Tally) -> list[int]:
    taken = tally.indexes_done | {_index(pod) for pod in tally.active}
    return [index for index in range(int(job["spec"].get("completions") or 0)) if index not in taken]


def _created(job: ReadOnlyObject, index: int | None) -> Create:
    metadata, template = job["metadata"], job["spec"].get("template") or {}
    prefix = f"{metadata['name']}-" if index is None else f"{metadata['name']}-{index}-"
    pod = pod_from_template(template, metadata.get("namespace") or "", owner_reference(job), prefix)
    about = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    labels = {**about, **{f"batch.kubernetes.io/{name}": value for name, value in about.items()}}
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **labels}
    if index is not None:
        pod = _with_index(pod, index, metadata["name"])
    return Create(pod, announce=Event(job, "Normal", "SuccessfulCreate", "Created pod: {name}"))


def _with_index(pod: Object, index: int, job_name: str) -> Object:
    metadata, spec = pod["metadata"], pod["spec"]
    variable = {"name": "JOB_COMPLETION_INDEX", "value": str(index)}
    containers = [{**entry, "env": [*(entry.get("env") or ()), variable]} for entry in spec.get("containers") or ()]
    marks = {INDEX: str(index)}
    return {
        **pod,
        "metadata": {
            **metadata,
            "annotations": {**(metadata.get("annotations") or {}), **marks},
            "labels": {**(metadata.get("labels") or {}), **marks},
        },
        "spec": {**spec, "hostname": f"{job_name}-{index}", "containers": containers},
    }


def _deleted(job: ReadOnlyObject, pod: Object) -> Delete:
    return Delete(pod, announce=Event(job, "Normal", "SuccessfulDelete", "Deleted pod: {name}"))


def _finish(job: ReadOnlyObject, tally: _Tally, outcome: Object, now: datetime) -> list[Action]:
    complete = outcome["type"] == "Complete"
    criterion = "SuccessCriteriaMet" if complete else "FailureTarget"
    before = condition(criterion, True, outcome["reason"], outcome["message"])
    told = (
        Event(job, "Normal", "Completed", "Job completed")
        if complete
        else Event(job, "Warning", outcome["reason"], outcome["message"])
    )
    return [*_status(job, tally, [before, outcome], now, ended=complete), told]


def _status(
    job: ReadOnlyObject,
    tally: _Tally,
    wishes: list[Object],
    now: datetime,
    *,
    started: bool = True,
    ended: bool | None = None,
) -> list[Action]:
    current, moment = job.get("status") or {}, rfc3339(now)
    running = ended is None and started
    wanted: Object = {
        "active": (len(tally.active) or None) if running else None,
        "ready": tally.ready if running else 0,
        "succeeded": tally.succeeded or None,
        "failed": tally.failed or None,
        "conditions": merge_conditions(current.get("conditions") or (), wishes, moment) or None,
        # A suspended Job begins anew, and so does its deadline.
        "startTime": (current.get("startTime") or moment) if started else None,
    }
    if _is_indexed(job):
        wanted["completedIndexes"] = _ranges(tally.indexes_done) or None
    if ended:
        wanted["completionTime"] = moment
    return status_patch(job, wanted)


def _ranges(indexes: frozenset[int]) -> str:
    """Write indexes as Kubernetes does: `0,2-4`."""
    spans: list[list[int]] = []
    for index in sorted(indexes):
        if spans and spans[-1][1] == index - 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)
