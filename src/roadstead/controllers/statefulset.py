"""StatefulSets: numbered pods that come and go in order and keep their names.

Kubernetes' pkg/controller/statefulset. `claim_templates` has the claims of their volumes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, labels_of, metadata_of, owner_reference
from roadstead.api.selectors import label_selector_from
from roadstead.controllers.actions import Action, Create, Delete, Event, Requeue, status_patch
from roadstead.controllers.claim_templates import claims_by_volume, missing_claims, owned_claims
from roadstead.controllers.history import HASH_LABEL, record
from roadstead.controllers.ownership import claim
from roadstead.controllers.pods import is_over, is_ready, pod_from_template, seconds_until_available

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True)
class Observed:
    """A StatefulSet, the pods that it may own, the claims of its namespace, and its revisions."""

    stateful_set: ReadOnlyObject
    pods: Sequence[Object]
    claims: Sequence[Object] = ()
    revisions: Sequence[Object] = ()


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return the next pods to create or delete: one at a time in order, or all at once if `Parallel`."""
    stateful_set = observed.stateful_set
    if is_deleting(stateful_set):
        return []
    claimed = claim(stateful_set, label_selector_from(stateful_set["spec"].get("selector")), observed.pods)
    pods = {ordinal: pod for pod in claimed.objects if (ordinal := ordinal_of(stateful_set, pod)) is not None}
    hashes = [labels_of(pod).get(HASH_LABEL) or "" for pod in pods.values()]
    history = record(stateful_set, observed.revisions, hashes)
    old = _current_hash(stateful_set, hashes, history.hash)
    steps = _steps(observed, pods, history.hash, old, now)
    if stateful_set["spec"].get("podManagementPolicy") != "Parallel":
        steps = steps[:1]
    actions = [action for step in steps for action in step]
    first = _start(stateful_set)
    owned = owned_claims(stateful_set, range(first, first + _replicas(stateful_set)), pods, observed.claims)
    return [*claimed.actions, *history.actions, *owned, *actions, *_status(stateful_set, pods, history.hash, old, now)]


def ordinal_of(stateful_set: ReadOnlyObject, pod: ReadOnlyObject) -> int | None:
    """Return the number in a pod's name, or None if it is not one of this set's names."""
    prefix, _, number = str(metadata_of(pod).get("name") or "").rpartition("-")
    return int(number) if prefix == stateful_set["metadata"]["name"] and number.isdigit() else None


def _steps(observed: Observed, pods: dict[int, Object], new: str, old: str, now: datetime) -> list[list[Action]]:
    """Return what there is to do in order: each step is done before the next one when pods come one at a time."""
    stateful_set = observed.stateful_set
    first, replicas = _start(stateful_set), _replicas(stateful_set)
    wanted = range(first, first + replicas)
    steps: list[list[Action]] = []
    for ordinal in wanted:
        pod = pods.get(ordinal)
        if pod is None:
            steps.append(_create(observed, ordinal, new if ordinal >= first + _partition(stateful_set) else old))
        elif is_over(pod) and not is_deleting(pod):
            steps.append([_delete(stateful_set, pod)])
        elif not _is_available(stateful_set, pod, now):
            # The next one waits for it. A pod that waits for a claim that somebody has deleted gets another one.
            waits = not pod["spec"].get("nodeName")
            steps.append(missing_claims(stateful_set, ordinal, observed.claims) if waits else [])
    surplus = sorted((ordinal for ordinal in pods if ordinal not in wanted), reverse=True)
    going = [pods[ordinal] for ordinal in surplus]
    steps += [[] if is_deleting(pod) else [_delete(stateful_set, pod)] for pod in going]
    return steps + _updates(stateful_set, pods, new)


def _updates(stateful_set: ReadOnlyObject, pods: dict[int, Object], new: str) -> list[list[Action]]:
    """Return the replacement of outdated pods, from the highest number down; each waits for the one before."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return []
    lowest = _start(stateful_set) + _partition(stateful_set)
    for ordinal in sorted(pods, reverse=True):
        pod = pods[ordinal]
        if ordinal < lowest or ordinal >= _start(stateful_set) + _replicas(stateful_set):
            continue
        if labels_of(pod).get(HASH_LABEL) != new:
            return [[] if is_deleting(pod) else [_delete(stateful_set, pod)]]
        if not is_ready(pod):
            return []
    return []


def _partition(stateful_set: ReadOnlyObject) -> int:
    rolling = (stateful_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def _start(stateful_set: ReadOnlyObject) -> int:
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def _replicas(stateful_set: ReadOnlyObject) -> int:
    value = stateful_set["spec"].get("replicas")
    return 1 if value is None else int(value)


def _current_hash(stateful_set: ReadOnlyObject, hashes: Sequence[str], new: str) -> str:
    """Return the revision that pods below the partition keep: the one before, while some pod still has it."""
    noted = (stateful_set.get("status") or {}).get("currentRevision") or ""
    hash_ = str(noted).removeprefix(f"{stateful_set['metadata']['name']}-")
    return hash_ if hash_ and (hash_ in hashes or _partition(stateful_set)) else new


def _is_available(stateful_set: ReadOnlyObject, pod: Object, now: datetime) -> bool:
    wait = seconds_until_available(pod, int(stateful_set["spec"].get("minReadySeconds") or 0), now)
    return wait == 0.0 and not is_deleting(pod)


def _create(observed: Observed, ordinal: int, hash_: str) -> list[Action]:
    stateful_set = observed.stateful_set
    metadata, template = stateful_set["metadata"], _template(observed, hash_)
    name, namespace = f"{metadata['name']}-{ordinal}", metadata.get("namespace") or ""
    pod = pod_from_template(template, namespace, owner_reference(stateful_set), "")
    del pod["metadata"]["generateName"]
    marks = {HASH_LABEL: hash_, POD_NAME: name, POD_INDEX: str(ordinal)}
    pod["metadata"] |= {"name": name, "labels": {**(pod["metadata"].get("labels") or {}), **marks}}
    spec = {**pod["spec"], "hostname": name, "subdomain": stateful_set["spec"].get("serviceName") or ""}
    claims = claims_by_volume(stateful_set, ordinal)
    volumes = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claims]
    for volume, made in claims.items():
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": made["metadata"]["name"]}})
    if volumes:
        spec["volumes"] = volumes
    pod["spec"] = spec
    told = Event(
        stateful_set, "Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {metadata['name']} successful"
    )
    return [*missing_claims(stateful_set, ordinal, observed.claims), Create(pod, announce=told)]


def _template(observed: Observed, hash_: str) -> Object:
    for revision in observed.revisions:
        if labels_of(revision).get(HASH_LABEL) == hash_:
            template = dict(revision["data"]["spec"]["template"])
            template.pop("$patch", None)
            return template
    return dict(observed.stateful_set["spec"]["template"])


def _delete(stateful_set: ReadOnlyObject, pod: Object) -> Delete:
    message = f"delete Pod {metadata_of(pod).get('name')} in StatefulSet {stateful_set['metadata']['name']} successful"
    return Delete(pod, announce=Event(stateful_set, "Normal", "SuccessfulDelete", message))


def _status(stateful_set: ReadOnlyObject, pods: dict[int, Object], new: str, old: str, now: datetime) -> list[Action]:
    name, replicas = stateful_set["metadata"]["name"], _replicas(stateful_set)
    waits = [
        seconds_until_available(pod, int(stateful_set["spec"].get("minReadySeconds") or 0), now)
        for pod in pods.values()
        if not is_deleting(pod)
    ]
    hashes = [labels_of(pod).get(HASH_LABEL) for pod in pods.values() if not is_deleting(pod)]
    updated = hashes.count(new)
    # Once every pod is updated and ready, the update revision is the current one.
    done = updated == replicas == len(pods) and sum(wait is not None for wait in waits) == replicas
    current = new if done else old
    wanted: Object = {
        "observedGeneration": stateful_set["metadata"].get("generation") or 0,
        "replicas": len(pods),
        "readyReplicas": sum(wait is not None for wait in waits) or None,
        "availableReplicas": waits.count(0.0),
        "currentReplicas": hashes.count(current) or None,
        "updatedReplicas": updated or None,
        "currentRevision": f"{name}-{current}",
        "updateRevision": f"{name}-{new}",
        "collisionCount": 0,
    }
    pending = [wait for wait in waits if wait]
    return [*status_patch(stateful_set, wanted), *([Requeue(min(pending))] if pending else [])]
