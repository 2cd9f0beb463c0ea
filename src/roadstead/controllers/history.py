"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, for `kubectl rollout history` and `undo`.

Kubernetes' pkg/controller/history. A revision's data is the patch that brings its template back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from roadstead.api.objects import Object, ReadOnlyObject, metadata_of, owner_reference
from roadstead.controllers.actions import Action, Create, Delete, Patch, guard
from roadstead.controllers.revisions import fnv1a, safe_encoded

HASH_LABEL = "controller-revision-hash"
_LIMIT = 10


@dataclass(frozen=True, slots=True)
class History:
    """The hash of the present template, and what brings the recorded revisions in step with it."""

    hash: str
    actions: tuple[Action, ...]


def record(owner: ReadOnlyObject, revisions: Sequence[Object], in_use: Iterable[str]) -> History:
    """Return the present revision, creating it or moving it to the end, and drop the oldest beyond the limit.

    `in_use` are hashes that pods still have.
    """
    data = _data(owner)
    ordered = sorted(revisions, key=lambda entry: int(entry.get("revision") or 0))
    newest = int(ordered[-1].get("revision") or 0) if ordered else 0
    current = next((entry for entry in ordered if entry.get("data") == data), None)
    if current is None:
        made = _revision(owner, data, newest + 1)
        return History(made["metadata"]["labels"][HASH_LABEL], (Create(made),))
    hash_ = str((metadata_of(current).get("labels") or {}).get(HASH_LABEL) or "")
    actions: list[Action] = []
    if current is not ordered[-1]:
        actions.append(Patch(current, {"metadata": guard(current), "revision": newest + 1}))
    actions += _surplus(owner, [entry for entry in ordered if entry is not current], set(in_use))
    return History(hash_, tuple(actions))


def _data(owner: ReadOnlyObject) -> Object:
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def _revision(owner: ReadOnlyObject, data: Object, number: int) -> Object:
    metadata = owner["metadata"]
    hash_ = safe_encoded(str(fnv1a(msgspec.json.encode(data, order="deterministic"))))
    labels = {**((owner["spec"]["template"].get("metadata") or {}).get("labels") or {}), HASH_LABEL: hash_}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{metadata['name']}-{hash_}",
            "namespace": metadata.get("namespace") or "",
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(owner)],
        },
        "data": data,
        "revision": number,
    }


def _surplus(owner: ReadOnlyObject, olds: Sequence[Object], in_use: set[str]) -> list[Action]:
    limit = owner["spec"].get("revisionHistoryLimit")
    unused = [entry for entry in olds if (metadata_of(entry).get("labels") or {}).get(HASH_LABEL) not in in_use]
    surplus = len(unused) - (_LIMIT if limit is None else int(limit))
    return [Delete(entry) for entry in unused[: max(surplus, 0)]]
