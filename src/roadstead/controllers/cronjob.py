"""CronJobs: Jobs that are made by the clock.

Kubernetes' pkg/controller/cronjob. What was due while the cluster was down is made up for once, by the latest of the
times that were missed, unless `startingDeadlineSeconds` says that it is too late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    controller_of,
    is_deleting,
    key_of,
    metadata_of,
    owner_reference,
)
from roadstead.api.schedules import Schedule, parse_schedule
from roadstead.controllers.actions import Action, Create, Delete, Event, Requeue, status_patch
from roadstead.controllers.job import is_finished
from roadstead.lib.clock import from_rfc3339, rfc3339

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# The clock is looked at so often at least: one that is set, or a machine that slept, makes nobody late for long.
_LONGEST_NAP = 60.0
_ENDINGS = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))


@dataclass(frozen=True, slots=True)
class Observed:
    """A CronJob and all Jobs of its namespace."""

    cron_job: ReadOnlyObject
    jobs: Sequence[Object]


@dataclass(frozen=True, slots=True)
class _Due:
    """The latest time that was missed, if one was, and the next one."""

    missed: datetime | None
    following: datetime | None


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return the Job that is due, the old ones that are to go, the status, and when to look again."""
    cron_job = observed.cron_job
    if is_deleting(cron_job):
        return []
    uid = metadata_of(cron_job).get("uid")
    own = [job for job in observed.jobs if (controller_of(job) or {}).get("uid") == uid]
    kept = [*_seen(cron_job, own), *_outdated(cron_job, own)]
    if cron_job["spec"].get("suspend"):
        return [*kept, *_status(cron_job, own, None)]
    try:
        zone: tzinfo = ZoneInfo(cron_job["spec"]["timeZone"]) if cron_job["spec"].get("timeZone") else UTC
        due = _due(cron_job, parse_schedule(cron_job["spec"]["schedule"]), zone, now)
    except (ValueError, LookupError, OSError) as error:
        told = f"unparseable schedule {cron_job['spec'].get('schedule')!r}: {error}"
        return [*kept, *_status(cron_job, own, None), Event(cron_job, "Warning", "UnparseableSchedule", told)]
    return [*kept, *_start(observed, own, due, now), *_nap(due, now)]


# --- the clock


def _due(cron_job: ReadOnlyObject, schedule: Schedule, zone: tzinfo, now: datetime) -> _Due:
    earliest = _last_time(cron_job, ()) or from_rfc3339(metadata_of(cron_job).get("creationTimestamp")) or now
    limit = _deadline(cron_job)
    since = earliest if limit is None else max(earliest, now - limit)
    missed = schedule.latest(since, now, zone)
    # Of an interval the phase is that of the last time.
    return _Due(missed, schedule.next_after((missed or earliest) if schedule.every else now, zone))


def _deadline(cron_job: ReadOnlyObject) -> timedelta | None:
    seconds = cron_job["spec"].get("startingDeadlineSeconds")
    return None if seconds is None else timedelta(seconds=int(seconds))


def _nap(due: _Due, now: datetime) -> list[Action]:
    if due.following is None:
        return []
    left = (due.following - now).total_seconds()
    return [Requeue(min(max(left, 0.1), _LONGEST_NAP))]


# --- starting


def _start(observed: Observed, own: Sequence[Object], due: _Due, now: datetime) -> list[Action]:
    cron_job, moment = observed.cron_job, due.missed
    if moment is None:
        return _status(cron_job, own, None)
    made = _job(cron_job, moment)
    if any(key_of(job) == key_of(made) for job in observed.jobs):
        return _status(cron_job, own, moment)
    running = [job for job in own if not is_finished(job)]
    policy = cron_job["spec"].get("concurrencyPolicy")
    if running and policy == "Forbid":
        told = "Not starting job because prior execution is running and concurrency policy is Forbid"
        return [*_status(cron_job, own, None), Event(cron_job, "Normal", "JobAlreadyActive", told)]
    replaced: list[Action] = []
    if policy == "Replace":
        told = "Deleted job {name}"
        replaced = [Delete(job, announce=Event(cron_job, "Normal", "SuccessfulDelete", told)) for job in running]
    created = Create(made, Event(cron_job, "Normal", "SuccessfulCreate", "Created job {name}"))
    return [*replaced, created]  # the status follows when the Job is there


def _job(cron_job: ReadOnlyObject, moment: datetime) -> Object:
    """Return the Job of a time: its name is that of the minute, so that there is one for each."""
    template, about = cron_job["spec"]["jobTemplate"], metadata_of(cron_job)
    given = template.get("metadata") or {}
    metadata = {
        "name": f"{about['name']}-{int(moment.timestamp()) // 60}",
        "namespace": about.get("namespace") or "",
        "labels": dict(given.get("labels") or {}),
        "annotations": {**(given.get("annotations") or {}), SCHEDULED: rfc3339(moment)},
        "ownerReferences": [owner_reference({"apiVersion": "batch/v1", "kind": "CronJob", **cron_job})],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template.get("spec") or {}}


# --- what was started


def _has(job: ReadOnlyObject, condition: str) -> bool:
    return is_true((job.get("status") or {}).get("conditions"), condition)


def _seen(cron_job: ReadOnlyObject, own: Sequence[Object]) -> list[Action]:
    """Return an event for each Job that has ended since it was last looked at."""
    active = {reference.get("uid") for reference in (cron_job.get("status") or {}).get("active") or ()}
    ended = [job for job in own if metadata_of(job).get("uid") in active and is_finished(job)]
    told = [(metadata_of(job)["name"], "Complete" if _has(job, "Complete") else "Failed") for job in ended]
    return [
        Event(cron_job, "Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {condition}")
        for name, condition in told
    ]


def _outdated(cron_job: ReadOnlyObject, own: Sequence[Object]) -> list[Action]:
    """Return the deletion of those Jobs, the oldest first, of which more are kept than is asked for."""
    actions: list[Action] = []
    for condition, limit, usual in _ENDINGS:
        wanted = cron_job["spec"].get(limit)
        ended = sorted((job for job in own if _has(job, condition) and not is_deleting(job)), key=_started)
        surplus = ended[: max(0, len(ended) - int(usual if wanted is None else wanted))]
        told = "Deleted job {name}"
        actions += [Delete(job, announce=Event(cron_job, "Normal", "SuccessfulDelete", told)) for job in surplus]
    return actions


def _started(job: ReadOnlyObject) -> tuple[str, str]:
    return str((job.get("status") or {}).get("startTime") or ""), str(metadata_of(job)["name"])


def _status(cron_job: ReadOnlyObject, own: Sequence[Object], moment: datetime | None) -> list[Action]:
    last = max(filter(None, (moment, _last_time(cron_job, own))), default=None)
    active = [_reference(job) for job in sorted(own, key=_started) if not is_finished(job)]
    wanted = {
        "active": active or None,
        "lastScheduleTime": last and rfc3339(last),
        "lastSuccessfulTime": _last_success(cron_job, own),
    }
    return status_patch(cron_job, wanted)


def _last_time(cron_job: ReadOnlyObject, own: Sequence[Object]) -> datetime | None:
    said = [annotations_of(job).get(SCHEDULED) for job in own]
    told = [(cron_job.get("status") or {}).get("lastScheduleTime"), *said]
    return max(filter(None, map(from_rfc3339, told)), default=None)


def _last_success(cron_job: ReadOnlyObject, own: Sequence[Object]) -> str | None:
    found = [(cron_job.get("status") or {}).get("lastSuccessfulTime")]
    for job in own:
        condition = find_condition((job.get("status") or {}).get("conditions"), "Complete")
        if condition is not None and condition["status"] == "True":
            found.append((job.get("status") or {}).get("completionTime") or condition.get("lastTransitionTime"))
    return max(filter(None, found), default=None)


def _reference(job: ReadOnlyObject) -> Object:
    about = metadata_of(job)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": about["name"],
        "namespace": about.get("namespace") or "",
        "uid": about.get("uid"),
    }
