"""Namespaces that are being deleted: first all in them goes, then they do.

Kubernetes' pkg/controller/namespace. What is left is asked of the server each time, kind by kind: a namespace may
hold kinds that nobody here watches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting
from roadstead.controllers.actions import Action, Delete, Replace, Requeue

FINALIZER = "kubernetes"
_LOOK_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A namespace and every object that is in it."""

    namespace: ReadOnlyObject
    content: Sequence[Object]


def plan(observed: Observed) -> list[Action]:
    """Delete the content, and release the namespace when none is left."""
    namespace = observed.namespace
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    if not is_deleting(namespace) or FINALIZER not in finalizers:
        return []
    if observed.content:
        deletions = [Delete(entry) for entry in observed.content if not is_deleting(entry)]
        # The ends of pods are heard of; other kinds may wait for finalizers that nobody here sees removed.
        return [*deletions, Requeue(_LOOK_AGAIN if not deletions else 0.0)]
    kept = [entry for entry in finalizers if entry != FINALIZER]
    return [Replace({**namespace, "spec": {**(namespace.get("spec") or {}), "finalizers": kept}}, "finalize")]
