"""ReplicaSets: as many pods as asked for, and of too many the least useful go first.

Kubernetes' pkg/controller/replicaset/replica_set.go. ReplicationControllers are the same under an older name, as in
pkg/controller/replication. Next: `deployment`, which owns the ReplicaSets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    is_deleting,
    labels_of,
    metadata_of,
    owner_reference,
)
from roadstead.api.selectors import pod_selector_of
from roadstead.controllers.actions import Action, Create, Delete, Event, Requeue, status_patch
from roadstead.controllers.ownership import claim
from roadstead.controllers.pods import (
    is_active,
    is_ready,
    phase,
    pod_from_template,
    ready_since,
    restarts,
    seconds_until_available,
)
from roadstead.lib.clock import from_rfc3339, rfc3339

_BURST = 500
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Observed:
    """A ReplicaSet (or ReplicationController), the pods it may own, and why its last write of a pod failed, if so."""

    replica_set: ReadOnlyObject
    pods: Sequence[Object]
    failure: str = ""


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return what brings the pods of a ReplicaSet to its `replicas`, and its status to the truth."""
    replica_set = observed.replica_set
    claimed = claim(replica_set, pod_selector_of(replica_set), observed.pods)
    active = [pod for pod in claimed.objects if is_active(pod)]
    missing = _replicas(replica_set) - len(active)
    actions: list[Action] = list(claimed.actions)
    if not is_deleting(replica_set):
        if missing > 0:
            actions += [_create(replica_set)] * min(missing, _BURST)
        elif missing < 0:
            actions += [_delete(replica_set, pod) for pod in least_useful_first(active)[: min(-missing, _BURST)]]
    if observed.failure and missing:
        actions.append(_failed(replica_set, missing, observed.failure))
    return [*actions, *_status(observed, active, missing, now)]


def least_useful_first(pods: Iterable[Object]) -> list[Object]:
    """Order pods as Kubernetes chooses whom to delete (`ActivePodsWithRanks`, on one node): the first go first."""
    return sorted(pods, key=_usefulness)


def _usefulness(pod: Object) -> tuple[float, ...]:
    spec = pod.get("spec") or {}
    since = ready_since(pod)
    created = from_rfc3339(metadata_of(pod).get("creationTimestamp"))
    return (
        1 if spec.get("nodeName") else 0,
        _PHASES.get(phase(pod), 0),
        1 if is_ready(pod) else 0,
        _deletion_cost(pod),
        -since.timestamp() if since else 0,
        -restarts(pod),
        -created.timestamp() if created else 0,
    )


def _deletion_cost(pod: Object) -> int:
    try:
        return int(annotations_of(pod).get(_DELETION_COST) or 0)
    except ValueError:
        return 0


def _replicas(replica_set: ReadOnlyObject) -> int:
    wanted = replica_set["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def _create(replica_set: ReadOnlyObject) -> Create:
    metadata = replica_set["metadata"]
    template = replica_set["spec"].get("template") or {}
    pod = pod_from_template(
        template, metadata.get("namespace") or "", owner_reference(replica_set), metadata["name"] + "-"
    )
    return Create(pod, announce=Event(replica_set, "Normal", "SuccessfulCreate", "Created pod: {name}"))


def _delete(replica_set: ReadOnlyObject, pod: Object) -> Delete:
    return Delete(pod, announce=Event(replica_set, "Normal", "SuccessfulDelete", "Deleted pod: {name}"))


def _failed(replica_set: ReadOnlyObject, missing: int, failure: str) -> Event:
    reason, verb = ("FailedCreate", "creating") if missing > 0 else ("FailedDelete", "deleting")
    return Event(replica_set, "Warning", reason, f"Error {verb}: {failure}")


def _status(observed: Observed, active: Sequence[Object], missing: int, now: datetime) -> list[Action]:
    replica_set = observed.replica_set
    spec = replica_set["spec"]
    min_ready = int(spec.get("minReadySeconds") or 0)
    waits = [seconds_until_available(pod, min_ready, now) for pod in active]
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    labelled = sum(template_labels.items() <= labels_of(pod).items() for pod in active)
    wanted: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": labelled or None,
        "readyReplicas": sum(wait is not None for wait in waits) or None,
        "availableReplicas": waits.count(0.0) or None,
        "observedGeneration": replica_set["metadata"].get("generation") or 0,
        "conditions": _conditions(observed, missing, now) or None,
    }
    actions = status_patch(replica_set, wanted)
    pending = [wait for wait in waits if wait]
    if pending:
        actions.append(Requeue(min(pending)))
    return actions


def _conditions(observed: Observed, missing: int, now: datetime) -> list[Object]:
    current = (observed.replica_set.get("status") or {}).get("conditions") or ()
    kept = [entry for entry in current if entry.get("type") != "ReplicaFailure"]
    if not observed.failure or not missing:
        return kept
    before = [entry for entry in current if entry.get("type") == "ReplicaFailure"]
    reason = "FailedCreate" if missing > 0 else "FailedDelete"
    wish = condition("ReplicaFailure", True, reason, observed.failure)
    return [*kept, *merge_conditions(before, [wish], rfc3339(now))]
