"""Generic ephemeral volumes: a claim for each, made with the pod and gone with it (KEP-1698).

Kubernetes' pkg/controller/volume/ephemeral. The claim is the pod's, so the garbage collector deletes it; a claim of
that name which is somebody else's is left alone, and the pod waits.
"""

from collections.abc import Hashable, Iterable, Mapping

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, is_deleting, key_of, owner_reference
from roadstead.api.storage import ephemeral_claims_of, is_made_for
from roadstead.controllers.actions import Action, Create, Event
from roadstead.controllers.controller import Controller, Situation, View, each, itself
from roadstead.controllers.pods import is_over

_CLAIM = "PersistentVolumeClaim"


def ephemeral_controller() -> Controller:
    """Return the controller that makes the claims of pods' ephemeral volumes."""
    return Controller("ephemeral-volume-controller", {"Pod": itself, _CLAIM: each(_pods_of)}, _decide)


def plan(pod: ReadOnlyObject, claims: Mapping[str, ReadOnlyObject]) -> list[Action]:
    """Return the creation of the claims that a pod's volumes lack; `claims` are those that are there, by name."""
    if is_deleting(pod) or is_over(pod):
        return []
    actions: list[Action] = []
    for name, template in ephemeral_claims_of(pod):
        found = claims.get(name)
        if found is None:
            actions.append(Create(_claim(pod, name, template)))
        elif not is_made_for(found, pod):
            told = f"PVC {key_of(pod).namespace}/{name} was not created for pod {key_of(pod)} (pod is not owner)"
            actions.append(Event(pod, "Warning", "EphemeralVolumeClaimConflict", told))
    return actions


def _claim(pod: ReadOnlyObject, name: str, template: ReadOnlyObject) -> Object:
    about = template.get("metadata") or {}
    metadata = {
        **{field: about[field] for field in ("labels", "annotations") if about.get(field)},
        "name": name,
        "namespace": key_of(pod).namespace,
        "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})],
    }
    return {"apiVersion": "v1", "kind": _CLAIM, "metadata": metadata, "spec": template.get("spec") or {}}


def _decide(situation: Situation) -> list[Action]:
    pod = situation.view.get("Pod", situation.key)
    if pod is None:
        return []
    places = {name: ObjectKey(situation.key.namespace, name) for name, _ in ephemeral_claims_of(pod)}
    found = {name: situation.view.get(_CLAIM, place) for name, place in places.items()}
    return plan(pod, {name: claim for name, claim in found.items() if claim is not None})


def _pods_of(view: View, claim: Object) -> Iterable[Hashable]:
    key = key_of(claim)
    pods = view.in_namespace("Pod", key.namespace)
    return [key_of(pod) for pod in pods if key.name in dict(ephemeral_claims_of(pod))]
