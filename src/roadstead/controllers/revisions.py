"""Revisions of a Deployment: which ReplicaSet is the new one, its hash, its number, and what its annotations record.

Kubernetes' pkg/controller/deployment/util/deployment_util.go. kubectl's `rollout history` and `undo` read these.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from roadstead.api.objects import Object, ReadOnlyObject, annotations_of, labels_of, metadata_of, owner_reference

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"

_NOT_COPIED = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS,
})  # fmt: skip
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_HISTORY_LIMIT = 2000


def template_hash(template: ReadOnlyObject, collisions: int) -> str:
    """Return the `pod-template-hash`: FNV-1a of the template, in letters that spell no words."""
    content = msgspec.json.encode(template, order="deterministic")
    if collisions:
        content += collisions.to_bytes(8, "little")
    return safe_encoded(str(fnv1a(content)))


def fnv1a(content: bytes) -> int:
    """Return the 32-bit FNV-1a hash."""
    value = 0x811C9DC5
    for byte in content:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_encoded(text: str) -> str:
    """Replace every character by one of Kubernetes' safe alphabet (`rand.SafeEncodeString`)."""
    return "".join(_SAFE[ord(character) % len(_SAFE)] for character in text)


def same_template(one: ReadOnlyObject, other: ReadOnlyObject) -> bool:
    """Say whether two pod templates are the same but for the hash label."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: ReadOnlyObject) -> Object:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    rest = {key: value for key, value in metadata.items() if key not in ("labels", "creationTimestamp") and value}
    return {"metadata": {**rest, "labels": labels}, "spec": template.get("spec")}


def find_new(deployment: ReadOnlyObject, replica_sets: Iterable[Object]) -> Object | None:
    """Return the oldest ReplicaSet that has the Deployment's template, or None."""
    template = deployment["spec"]["template"]
    for replica_set in sorted(replica_sets, key=by_age):
        if same_template(replica_set["spec"].get("template") or {}, template):
            return replica_set
    return None


def by_age(obj: ReadOnlyObject) -> tuple[str, str]:
    """Order by creation, oldest first, then by name."""
    metadata = metadata_of(obj)
    return metadata.get("creationTimestamp") or "", metadata.get("name") or ""


def revision_of(obj: ReadOnlyObject) -> int:
    """Return the revision that an object is annotated with, 0 if with none."""
    text = annotations_of(obj).get(REVISION) or ""
    return int(text) if text.isdigit() else 0


def new_revision(olds: Iterable[ReadOnlyObject]) -> int:
    """Return the number that the new ReplicaSet has or gets: one more than any old one's."""
    return max((revision_of(old) for old in olds), default=0) + 1


def new_replica_set(deployment: ReadOnlyObject, hash_: str, replicas: int, annotations: Mapping[str, str]) -> Object:
    """Return the ReplicaSet to create for the Deployment's present template."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    template = spec["template"]
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: hash_}
    selector = spec.get("selector") or {}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{hash_}",
            "namespace": metadata.get("namespace") or "",
            "labels": labels,
            "annotations": dict(annotations),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: hash_}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return made


def copied_annotations(deployment: ReadOnlyObject) -> dict[str, str]:
    """Return the Deployment's annotations that its new ReplicaSet bears too, for instance `change-cause`."""
    return {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}


def revision_annotations(deployment: ReadOnlyObject, new: ReadOnlyObject | None, revision: int) -> dict[str, str]:
    """Return the annotations of the new ReplicaSet: copied ones, its revision, and the revisions that it had before."""
    wanted = {**copied_annotations(deployment), REVISION: str(revision)}
    if new is None:
        return wanted
    had = revision_of(new)
    if had >= revision:
        return {**wanted, REVISION: str(had)}
    if had:
        past = annotations_of(new).get(REVISION_HISTORY)
        entries = [*(past.split(",") if past else ()), str(had)]
        while len(",".join(entries)) > _HISTORY_LIMIT:
            entries.pop(0)
        wanted[REVISION_HISTORY] = ",".join(entries)
    return wanted


def surplus_history(olds: Sequence[Object], limit: int) -> list[Object]:
    """Return the oldest ReplicaSets beyond the history limit that have and want no pods."""
    cleanable = [old for old in olds if not metadata_of(old).get("deletionTimestamp")]
    surplus = len(cleanable) - limit
    ordered = sorted(cleanable, key=lambda old: (revision_of(old), by_age(old)))
    return [old for old in ordered[: max(surplus, 0)] if _is_empty(old)]


def _is_empty(replica_set: ReadOnlyObject) -> bool:
    status = replica_set.get("status") or {}
    observed = (status.get("observedGeneration") or 0) >= (metadata_of(replica_set).get("generation") or 0)
    return observed and not status.get("replicas") and not replica_set["spec"].get("replicas")


def hash_of(replica_set: ReadOnlyObject) -> str:
    """Return the hash label of a ReplicaSet, `""` without one."""
    return labels_of(replica_set).get(HASH_LABEL) or ""
