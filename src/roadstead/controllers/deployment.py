"""Deployments: a ReplicaSet for every template, and the pods moved from the old ones to the new one.

Kubernetes' pkg/controller/deployment. A plan writes each object at most once and then waits to see it: what follows
from its own writes comes with the next plan, a moment later. `rolling` has the arithmetic, `revisions` the names,
`deployment_status` the conditions. Next: `replicaset`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from roadstead.api.objects import Object, ReadOnlyObject, annotations_of, controller_of, is_deleting, metadata_of
from roadstead.api.selectors import label_selector_from
from roadstead.controllers.actions import Action, Create, Delete, Event, Patch, Requeue, guard, status_patch
from roadstead.controllers.deployment_status import (
    Rollout,
    count,
    is_complete,
    seconds_until_stuck,
    wanted_conditions,
    wanted_replicas,
    wanted_status,
)
from roadstead.controllers.ownership import claim
from roadstead.controllers.pods import is_over
from roadstead.controllers.revisions import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    REVISION,
    by_age,
    find_new,
    new_replica_set,
    new_revision,
    revision_annotations,
    revision_of,
    same_template,
    surplus_history,
    template_hash,
)
from roadstead.controllers.rolling import (
    Limits,
    Part,
    limits_of,
    new_target,
    old_targets,
    proportional_targets,
)

_HISTORY_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Observed:
    """A Deployment, all ReplicaSets and pods of its namespace, and why its last attempt to create one failed."""

    deployment: ReadOnlyObject
    replica_sets: Sequence[Object]
    pods: Sequence[Object] = ()
    failure: str = ""


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return the next steps of a Deployment's rollout, and its status."""
    deployment = observed.deployment
    selector = deployment["spec"].get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        message = "This deployment is selecting all pods. A non-empty selector is required."
        return [Event(deployment, "Warning", "SelectingAll", message)]
    claimed = claim(deployment, label_selector_from(selector), observed.replica_sets)
    if claimed.actions:
        return list(claimed.actions)
    rollout = rollout_of(deployment, claimed.objects)
    if is_deleting(deployment):
        return _status(rollout, now, rolling=False)
    annotated = _annotations(rollout)
    if annotated:
        return annotated
    if deployment["spec"].get("paused") or _is_scaled(rollout):
        return [*_scaled(rollout), *_cleanup(rollout), *_status(rollout, now, rolling=False)]
    return _rolled(observed, rollout, now)


def rollout_of(deployment: ReadOnlyObject, replica_sets: Sequence[Object]) -> Rollout:
    """Tell the new ReplicaSet from the old ones."""
    new = find_new(deployment, replica_sets)
    olds = tuple(sorted((entry for entry in replica_sets if entry is not new), key=by_age))
    return Rollout(deployment, new, olds, limits_of(deployment))


def _rolled(observed: Observed, rollout: Rollout, now: datetime) -> list[Action]:
    if (rollout.deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        steps = _recreated(observed, rollout)
    else:
        steps = _next_rolling_step(observed, rollout)
    created = next((step.object["metadata"]["name"] for step in steps if isinstance(step, Create)), "")
    failure = observed.failure if created else ""
    if any(isinstance(step, Patch) and step.object is rollout.deployment for step in steps):
        return steps  # a collision was counted: the status was written already
    return [*steps, *_cleanup(rollout), *_status(rollout, now, created=created, failure=failure)]


def _next_rolling_step(observed: Observed, rollout: Rollout) -> list[Action]:
    olds = [_part(old) for old in rollout.olds]
    new = _part(rollout.new) if rollout.new is not None else None
    target = new_target(rollout.limits, new, olds)
    if rollout.new is None or new is None:
        return _create_new(observed, rollout, target)
    if target != new.replicas:
        return [_scale(rollout, rollout.new, target)]
    targets = old_targets(rollout.limits, new, olds)
    return [_scale(rollout, old, targets[_name(old)]) for old in rollout.olds if _name(old) in targets]


def _recreated(observed: Observed, rollout: Rollout) -> list[Action]:
    active = [old for old in rollout.olds if wanted_replicas(old)]
    if active:
        return [_scale(rollout, old, 0) for old in active]
    if _old_pods_run(observed, rollout):
        return []
    if rollout.new is None:
        return _create_new(observed, rollout, rollout.limits.replicas)
    if wanted_replicas(rollout.new) != rollout.limits.replicas:
        return [_scale(rollout, rollout.new, rollout.limits.replicas)]
    return []


def _old_pods_run(observed: Observed, rollout: Rollout) -> bool:
    old = {entry["metadata"]["uid"] for entry in rollout.olds}
    return any((controller_of(pod) or {}).get("uid") in old and not is_over(pod) for pod in observed.pods)


def _create_new(observed: Observed, rollout: Rollout, replicas: int) -> list[Action]:
    deployment = rollout.deployment
    collisions = int((deployment.get("status") or {}).get("collisionCount") or 0)
    hash_ = template_hash(deployment["spec"]["template"], collisions)
    annotations = {
        **revision_annotations(deployment, None, new_revision(rollout.olds)),
        **_size_annotations(rollout.limits),
    }
    made = new_replica_set(deployment, hash_, replicas, annotations)
    if _is_taken(made, observed.replica_sets):
        # Another template has the same hash: count it in, and the next name differs.
        return [
            Patch(deployment, {"metadata": guard(deployment), "status": {"collisionCount": collisions + 1}}, "status")
        ]
    told = Event(deployment, "Normal", "ScalingReplicaSet", f"Scaled up replica set {{name}} from 0 to {replicas}")
    return [Create(made, announce=told if replicas else None)]


def _is_taken(made: ReadOnlyObject, replica_sets: Sequence[Object]) -> bool:
    for existing in replica_sets:
        if _name(existing) == _name(made):
            return not same_template(existing["spec"].get("template") or {}, made["spec"]["template"]) or (
                (controller_of(existing) or {}).get("uid") != made["metadata"]["ownerReferences"][0]["uid"]
            )
    return False


def _annotations(rollout: Rollout) -> list[Action]:
    """Return the patches that keep revisions, copied annotations and minReadySeconds in step, if any is needed."""
    deployment, new = rollout.deployment, rollout.new
    if new is None:
        return []
    actions: list[Action] = []
    wanted = revision_annotations(deployment, new, new_revision(rollout.olds))
    changed = _differing(annotations_of(new), wanted)
    patch: Object = {"metadata": {**guard(new), "annotations": changed}} if changed else {}
    min_ready = deployment["spec"].get("minReadySeconds") or 0
    if (new["spec"].get("minReadySeconds") or 0) != min_ready:
        patch = {"metadata": guard(new), **patch, "spec": {"minReadySeconds": min_ready}}
    if patch:
        actions.append(Patch(new, patch))
    if revision_of(deployment) != int(wanted[REVISION]):
        change = {"metadata": {**guard(deployment), "annotations": {REVISION: wanted[REVISION]}}}
        actions.append(Patch(deployment, change))
    return actions


def _differing(current: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if current.get(key) != value}


def _is_scaled(rollout: Rollout) -> bool:
    """Say whether somebody changed `spec.replicas` since the ReplicaSets were last sized."""
    wanted = str(rollout.limits.replicas)
    noted = [annotations_of(entry).get(DESIRED_REPLICAS) for entry in rollout.all if wanted_replicas(entry)]
    return any(note is not None and note != wanted for note in noted)


def _scaled(rollout: Rollout) -> list[Action]:
    """Return what follows from a change of `spec.replicas` alone, without any progress of a rollout."""
    active = [entry for entry in rollout.all if wanted_replicas(entry)]
    if len(active) <= 1:
        single = active[0] if active else rollout.new or (rollout.olds[-1] if rollout.olds else None)
        return _resized(rollout, single, rollout.limits.replicas) if single is not None else []
    if rollout.new is not None and _is_saturated(rollout.new, rollout.limits):
        return [_scale(rollout, old, 0) for old in rollout.olds if wanted_replicas(old)]
    if (rollout.deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        return []
    grows = rollout.limits.most > sum(wanted_replicas(entry) for entry in active)
    ordered = _by_size(active, newest_first=grows)
    targets = proportional_targets(rollout.limits, [_part(entry) for entry in ordered])
    return [action for entry in ordered for action in _resized(rollout, entry, targets[_name(entry)])]


def _by_size(replica_sets: Sequence[Object], *, newest_first: bool) -> list[Object]:
    aged = sorted(replica_sets, key=by_age, reverse=newest_first)
    return sorted(aged, key=wanted_replicas, reverse=True)


def _is_saturated(replica_set: Object, limits: Limits) -> bool:
    noted = annotations_of(replica_set).get(DESIRED_REPLICAS)
    available = (replica_set.get("status") or {}).get("availableReplicas") or 0
    return wanted_replicas(replica_set) == limits.replicas == available and noted == str(limits.replicas)


def _resized(rollout: Rollout, replica_set: Object, replicas: int) -> list[Action]:
    stale = _differing(annotations_of(replica_set), _size_annotations(rollout.limits))
    return [_scale(rollout, replica_set, replicas)] if stale or wanted_replicas(replica_set) != replicas else []


def _scale(rollout: Rollout, replica_set: Object, replicas: int) -> Patch:
    have, name = wanted_replicas(replica_set), _name(replica_set)
    direction = "up" if replicas > have else "down"
    message = f"Scaled {direction} replica set {name} from {have} to {replicas}"
    told = Event(rollout.deployment, "Normal", "ScalingReplicaSet", message) if replicas != have else None
    metadata = {**guard(replica_set), "annotations": _size_annotations(rollout.limits)}
    return Patch(replica_set, {"metadata": metadata, "spec": {"replicas": replicas}}, announce=told)


def _size_annotations(limits: Limits) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(limits.replicas), MAX_REPLICAS: str(limits.most)}


def _part(replica_set: Object) -> Part:
    noted = annotations_of(replica_set).get(MAX_REPLICAS) or ""
    replicas = wanted_replicas(replica_set)
    # A status may be older than the last scaling: pods beyond `replicas` are as good as gone and count no more.
    available = min((replica_set.get("status") or {}).get("availableReplicas") or 0, replicas)
    return Part(_name(replica_set), replicas, available, int(noted) if noted.isdigit() else 0)


def _cleanup(rollout: Rollout) -> list[Action]:
    if not rollout.deployment["spec"].get("paused") and not is_complete(rollout, count(rollout)):
        return []
    limit = rollout.deployment["spec"].get("revisionHistoryLimit")
    return [Delete(old) for old in surplus_history(rollout.olds, _HISTORY_LIMIT if limit is None else int(limit))]


def _status(
    rollout: Rollout, now: datetime, *, created: str = "", failure: str = "", rolling: bool = True
) -> list[Action]:
    conditions = wanted_conditions(rollout, now, created=created, failure=failure, rolling=rolling)
    actions = status_patch(rollout.deployment, wanted_status(rollout, conditions))
    wait = seconds_until_stuck(rollout.deployment, conditions, now)
    return [*actions, Requeue(wait)] if wait is not None and not created else actions


def _name(obj: ReadOnlyObject) -> str:
    return str(metadata_of(obj).get("name") or "")
