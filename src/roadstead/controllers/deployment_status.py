"""A Deployment's status: what its ReplicaSets add up to, and how its rollout goes.

Kubernetes' pkg/controller/deployment/progress.go and sync.go; reasons and messages as there, because
`kubectl rollout status`, Helm and scripts read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roadstead.api.conditions import condition, find_condition
from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.controllers.rolling import Limits
from roadstead.lib.clock import from_rfc3339, rfc3339

_NO_DEADLINE = 2147483647
_DEFAULT_DEADLINE = 600

CREATED = ("NewReplicaSetCreated", 'Created new replica set "{}"')
FOUND = ("FoundNewReplicaSet", 'Found new replica set "{}"')
AVAILABLE = ("NewReplicaSetAvailable", "{} has successfully progressed.")
UPDATED = ("ReplicaSetUpdated", "{} is progressing.")
TIMED_OUT = ("ProgressDeadlineExceeded", "{} has timed out progressing.")
CREATE_ERROR = ("ReplicaSetCreateError", 'Failed to create new replica set "{}": ')
PAUSED = ("DeploymentPaused", "Deployment is paused")
RESUMED = ("DeploymentResumed", "Deployment is resumed")


@dataclass(frozen=True, slots=True)
class Counts:
    """Pods of all ReplicaSets together; `updated` are those of the new one."""

    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0

    @property
    def old(self) -> int:
        """Pods of earlier templates."""
        return self.replicas - self.updated


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment with its new ReplicaSet, if there is one, and its old ones, oldest first."""

    deployment: ReadOnlyObject
    new: Object | None
    olds: tuple[Object, ...]
    limits: Limits

    @property
    def all(self) -> tuple[Object, ...]:
        """All its ReplicaSets."""
        return (self.new, *self.olds) if self.new is not None else self.olds


def wanted_replicas(replica_set: ReadOnlyObject) -> int:
    """Return a ReplicaSet's `spec.replicas`."""
    value = replica_set["spec"].get("replicas")
    return 1 if value is None else int(value)


def count(rollout: Rollout) -> Counts:
    """Add up the statuses of the ReplicaSets."""

    def total(name: str, replica_sets: Sequence[Object]) -> int:
        return sum((entry.get("status") or {}).get(name) or 0 for entry in replica_sets)

    return Counts(
        total("replicas", rollout.all),
        total("replicas", (rollout.new,)) if rollout.new is not None else 0,
        total("readyReplicas", rollout.all),
        total("availableReplicas", rollout.all),
    )


def counted(deployment: ReadOnlyObject) -> Counts:
    """Return the counts of the status that is there."""
    status = deployment.get("status") or {}
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return Counts(*(status.get(name) or 0 for name in names))


def is_complete(rollout: Rollout, counts: Counts) -> bool:
    """Say whether every pod is of the new template and available, and no other is left."""
    wanted = rollout.limits.replicas
    return counts.updated == counts.replicas == counts.available == wanted


def wanted_status(rollout: Rollout, conditions: list[Object]) -> Object:
    """Return the fields of the status; None stands for a field that Kubernetes leaves out when it is zero."""
    counts = count(rollout)
    asked = sum(wanted_replicas(entry) for entry in rollout.all)
    return {
        "observedGeneration": metadata_of(rollout.deployment).get("generation") or 0,
        "replicas": counts.replicas or None,
        "updatedReplicas": counts.updated or None,
        "readyReplicas": counts.ready or None,
        "availableReplicas": counts.available or None,
        "unavailableReplicas": max(0, asked - counts.available) or None,
        "conditions": conditions or None,
    }


def wanted_conditions(
    rollout: Rollout, now: datetime, *, created: str = "", failure: str = "", rolling: bool = True
) -> list[Object]:
    """Return the conditions.

    `created` names a ReplicaSet that this plan creates and `failure` why that failed before; `rolling` is false while
    the Deployment is paused or being scaled, when its progress is not judged.
    """
    conditions = list((rollout.deployment.get("status") or {}).get("conditions") or ())
    conditions = _set(conditions, _availability(rollout), now)
    conditions = _with_replica_failure(conditions, rollout, now)
    if deadline_of(rollout.deployment) is None:
        return [entry for entry in conditions if entry["type"] != "Progressing"]
    conditions = _with_pause(conditions, rollout.deployment, now)
    if created or failure:
        return _with_creation(conditions, created, failure, now)
    return _with_progress(conditions, rollout, now) if rolling else conditions


def deadline_of(deployment: ReadOnlyObject) -> timedelta | None:
    """Return how long a rollout may stand still, or None for ever."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    seconds = _DEFAULT_DEADLINE if seconds is None else int(seconds)
    return None if seconds == _NO_DEADLINE else timedelta(seconds=seconds)


def seconds_until_stuck(deployment: ReadOnlyObject, conditions: Sequence[Object], now: datetime) -> float | None:
    """Return when an unfinished rollout has to be judged again, or None if time alone changes nothing."""
    progressing, deadline = find_condition(conditions, "Progressing"), deadline_of(deployment)
    if progressing is None or deadline is None or progressing["reason"] in (AVAILABLE[0], TIMED_OUT[0], PAUSED[0]):
        return None
    since = from_rfc3339(progressing.get("lastUpdateTime"))
    if since is None:
        return None
    return max(0.0, (since + deadline - now).total_seconds()) + 1.0


def _availability(rollout: Rollout) -> Object:
    if count(rollout).available >= rollout.limits.fewest_available:
        return condition("Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    message = "Deployment does not have minimum availability."
    return condition("Available", False, "MinimumReplicasUnavailable", message)


def _with_replica_failure(conditions: list[Object], rollout: Rollout, now: datetime) -> list[Object]:
    for entry in rollout.all:
        failed = find_condition((entry.get("status") or {}).get("conditions"), "ReplicaFailure")
        if failed is not None:
            wish = condition("ReplicaFailure", failed["status"], failed["reason"], failed.get("message") or "")
            return _set(conditions, wish, now)
    return [entry for entry in conditions if entry["type"] != "ReplicaFailure"]


def _with_pause(conditions: list[Object], deployment: ReadOnlyObject, now: datetime) -> list[Object]:
    paused = bool(deployment["spec"].get("paused"))
    progressing = find_condition(conditions, "Progressing")
    if progressing is not None and progressing["reason"] == TIMED_OUT[0]:
        return conditions
    said = progressing is not None and progressing["reason"] == PAUSED[0]
    if paused == said:
        return conditions
    return _set(conditions, condition("Progressing", "Unknown", *(PAUSED if paused else RESUMED)), now)


def _with_creation(conditions: list[Object], created: str, failure: str, now: datetime) -> list[Object]:
    if failure:
        reason, message = CREATE_ERROR
        return _set(conditions, condition("Progressing", False, reason, message.format(created) + failure), now)
    return _set(conditions, _progress(CREATED, created), now)


def _with_progress(conditions: list[Object], rollout: Rollout, now: datetime) -> list[Object]:
    counts, before = count(rollout), counted(rollout.deployment)
    current = find_condition(conditions, "Progressing")
    subject = _subject(rollout)
    if counts.replicas == counts.updated and current is not None and current["reason"] == AVAILABLE[0]:
        return conditions
    if is_complete(rollout, counts):
        return _set(conditions, _progress(AVAILABLE, subject), now)
    if _moved(before, counts):
        return _set(conditions, _progress(UPDATED, subject), now, again=True)
    if _timed_out(rollout.deployment, current, now):
        reason, message = TIMED_OUT
        return _set(conditions, condition("Progressing", False, reason, message.format(subject)), now)
    if current is None and rollout.new is not None:
        return _set(conditions, _progress(FOUND, rollout.new["metadata"]["name"]), now)
    return conditions


def _subject(rollout: Rollout) -> str:
    """Name what progresses: the new ReplicaSet or, while it cannot be created yet, the Deployment."""
    kind, obj = ("Deployment", rollout.deployment) if rollout.new is None else ("ReplicaSet", rollout.new)
    return f'{kind} "{metadata_of(obj).get("name")}"'


def _progress(said: tuple[str, str], name: str) -> Object:
    return condition("Progressing", True, said[0], said[1].format(name))


def _moved(before: Counts, after: Counts) -> bool:
    return (
        after.updated > before.updated
        or after.old < before.old
        or after.ready > before.ready
        or after.available > before.available
    )


def _timed_out(deployment: ReadOnlyObject, current: Object | None, now: datetime) -> bool:
    deadline = deadline_of(deployment)
    if current is None or deadline is None or current["reason"] == AVAILABLE[0]:
        return False
    since = from_rfc3339(current.get("lastUpdateTime"))
    return current["reason"] == TIMED_OUT[0] or (since is not None and since + deadline < now)


def _set(conditions: list[Object], wish: Object, now: datetime, *, again: bool = False) -> list[Object]:
    """Put a condition in place; one with the same status and reason stays as it is, unless `again`."""
    current = find_condition(conditions, wish["type"])
    same = current is not None and (current["status"], current["reason"]) == (wish["status"], wish["reason"])
    if same and not again:
        return conditions
    moment = rfc3339(now)
    since = moment
    if current is not None and current["status"] == wish["status"]:
        since = current.get("lastTransitionTime", moment)
    made = {**wish, "lastUpdateTime": moment, "lastTransitionTime": since}
    if current is None:
        return [*conditions, made]
    return [made if entry is current else entry for entry in conditions]
