"""Claims of storage: each gets a volume, one that is there or a new folder, and stays as long as a pod uses it.

Kubernetes' pkg/controller/volume/persistentvolume and pvcprotection. One machine has one kind of storage, so a class
that is not here, or that another provisioner serves elsewhere, gets a folder all the same. Next: `volumes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, key_of, labels_of, metadata_of
from roadstead.api.quantities import parse_quantity
from roadstead.api.selectors import label_selector_from
from roadstead.api.storage import (
    ASSUMED_POLICY,
    CLAIM_PROTECTION,
    DATA_PROTECTION,
    DRIVER,
    PROVISIONED_BY,
    claims_of,
    class_of,
    is_for,
)
from roadstead.controllers.actions import Action, Create, Event, Patch, guard, protecting, releasing, status_patch
from roadstead.controllers.pods import is_over

BY_HAND = "kubernetes.io/no-provisioner"
"""What classes name as their provisioner whose volumes somebody makes."""
_COMPLETED = "pv.kubernetes.io/bind-completed"
_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


@dataclass(frozen=True, slots=True)
class Observed:
    """A claim, all volumes, its class if that is here, the pods of its namespace, and the default class's name."""

    claim: ReadOnlyObject
    volumes: Sequence[Object]
    storage_class: ReadOnlyObject | None
    pods: Sequence[Object]
    default_class: str | None = None


def plan(observed: Observed) -> list[Action]:
    """Bind the claim, tell what keeps it waiting, or let go of it."""
    claim = observed.claim
    if is_deleting(claim):
        return releasing(claim, CLAIM_PROTECTION) if not any(_is_used_by(claim, pod) for pod in observed.pods) else []
    if protection := protecting(claim, CLAIM_PROTECTION):
        return protection
    name = claim["spec"].get("volumeName")
    if name:
        volume = next((each for each in observed.volumes if key_of(each).name == name), None)
        return _bound(claim, volume)
    if class_of(claim) is None and observed.default_class:
        # It was made when there was no default class (KEP-3333).
        return [Patch(claim, {"metadata": guard(claim), "spec": {"storageClassName": observed.default_class}})]
    taken = next((each for each in observed.volumes if is_for(each, claim)), None)
    if taken is not None:
        return [_naming(claim, taken)]
    kept = [each for each in observed.volumes if _is_kept_for(each, claim) and _can_be_had(each, claim)]
    if kept:  # whatever its class, and without waiting for a pod: its author has chosen
        return [_taking(min(kept, key=_preference), claim)]
    if _is_delayed(observed) and not any(_may_start(claim, pod) for pod in observed.pods):
        told = "waiting for first consumer to be created before binding"
        return [Event(claim, "Normal", "WaitForFirstConsumer", told)]
    fitting = [each for each in observed.volumes if fits(each, claim)]
    if fitting:
        return [_taking(min(fitting, key=_preference), claim)]
    return _provisioned(observed)


def _is_used_by(claim: ReadOnlyObject, pod: ReadOnlyObject) -> bool:
    """Say whether a pod that was given to a node has this claim among its volumes.

    Also one that is over, as in Kubernetes: what it has written is there as long as somebody may ask what it did.
    """
    return bool((pod.get("spec") or {}).get("nodeName")) and key_of(claim).name in claims_of(pod)


def _may_start(claim: ReadOnlyObject, pod: ReadOnlyObject) -> bool:
    waits = is_over(pod) or is_deleting(pod) or pod["spec"].get("schedulingGates")
    return not waits and key_of(claim).name in claims_of(pod)


def _bound(claim: ReadOnlyObject, volume: ReadOnlyObject | None) -> list[Action]:
    """Plan for a claim that names its volume: its author did, or we did a moment ago."""
    was_bound = _COMPLETED in (metadata_of(claim).get("annotations") or {})
    if volume is None:
        return _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume.") if was_bound else []
    if not is_for(volume, claim):
        return _named(claim, volume, was_bound=was_bound)
    if not was_bound:
        return [Patch(claim, {"metadata": {**guard(claim), "annotations": {_COMPLETED: "yes"}}})]
    spec = volume["spec"]
    if (spec.get("csi") or {}).get("driver") == DRIVER and not _has_size(volume, claim):
        # It may grow, or the server had refused it; a folder needs nothing for that.
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        return [Patch(volume, {"metadata": guard(volume), "spec": {"capacity": {"storage": wanted}}})]
    bound = {"phase": "Bound", "accessModes": spec.get("accessModes"), "capacity": spec.get("capacity")}
    return status_patch(claim, bound)


def _named(claim: ReadOnlyObject, volume: ReadOnlyObject, *, was_bound: bool) -> list[Action]:
    """Plan for a claim that names a volume which is not its own, or not any more."""
    name = key_of(volume).name
    if not volume["spec"].get("claimRef"):
        # Somebody has taken the reference away, or has made the volume anew from a copy without it.
        mismatch = "" if was_bound else _mismatch(volume, claim)
        if not mismatch:
            return [_taking(volume, claim)]
        told = f'Cannot bind to requested volume "{name}": {mismatch}'
        return [Event(claim, "Warning", "VolumeMismatch", told)]
    if _is_kept_for(volume, claim):
        return [_taking(volume, claim)]
    if was_bound:
        return _lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly.")
    return [Event(claim, "Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.')]


def _lost(claim: ReadOnlyObject, reason: str, told: str) -> list[Action]:
    changed = status_patch(claim, {"phase": "Lost", "accessModes": None, "capacity": None})
    message = f"{told} Data on the volume is lost!" if reason == "ClaimLost" else told.removesuffix(".")
    return [*changed, Event(claim, "Warning", reason, message)] if changed else []


def _naming(claim: ReadOnlyObject, volume: ReadOnlyObject) -> Patch:
    metadata = {**guard(claim), "annotations": {_COMPLETED: "yes", _BY_CONTROLLER: "yes"}}
    return Patch(claim, {"metadata": metadata, "spec": {"volumeName": key_of(volume).name}})


def _taking(volume: ReadOnlyObject, claim: ReadOnlyObject) -> Patch:
    metadata = {**guard(volume), "annotations": {_BY_CONTROLLER: "yes"}}
    return Patch(volume, {"metadata": metadata, "spec": {"claimRef": _reference(claim)}})


def _reference(claim: ReadOnlyObject) -> Object:
    key, metadata = key_of(claim), metadata_of(claim)
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": key.namespace, "name": key.name}
    return {**reference, "uid": metadata["uid"], "resourceVersion": metadata.get("resourceVersion")}


def _is_delayed(observed: Observed) -> bool:
    """Say whether the claim waits for a pod: classes say so, and one that is not here is taken for such a class."""
    if not class_of(observed.claim):
        return False
    found = observed.storage_class
    return found is None or found.get("volumeBindingMode") == "WaitForFirstConsumer"


# --- volumes that are there


def fits(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    """Say whether a claim may have this volume: nobody else has it, and it is all that the claim asks for."""
    if _is_kept_for(volume, claim):
        return _can_be_had(volume, claim)
    selector = claim["spec"].get("selector")
    is_chosen = not selector or label_selector_from(selector).matches(labels_of(volume))
    return is_chosen and not volume["spec"].get("claimRef") and not _mismatch(volume, claim)


def _mismatch(volume: ReadOnlyObject, claim: ReadOnlyObject) -> str:
    """Return why a volume is not what a claim asks for, in Kubernetes' words (`checkVolumeSatisfyClaim`), or ""."""
    name = key_of(volume).name
    reasons = (
        (is_deleting(volume), f'the volume is marked for deletion "{name}"'),
        (not _has_size(volume, claim), "requested PV is too small"),
        ((class_of(volume) or "") != (class_of(claim) or ""), "storageClassName does not match"),
        (not _has_mode(volume, claim), "incompatible volumeMode"),
        (not _has_access(volume, claim), "incompatible accessMode"),
    )
    return next((why for is_so, why in reasons if is_so), "")


def _is_kept_for(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    """Say whether its author has kept a volume for a claim of this name."""
    reference = volume["spec"].get("claimRef") or {}
    kept_for = (reference.get("namespace") or "", reference.get("name") or "")
    return not reference.get("uid") and kept_for == tuple(key_of(claim))


def _can_be_had(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    """Say whether a volume that is kept for a claim can be had: its class and its labels do not matter then."""
    checks = (_has_size, _has_mode, _has_access)
    return not is_deleting(volume) and all(check(volume, claim) for check in checks)


def _has_size(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    return bool(_size(volume["spec"].get("capacity")) >= _size((claim["spec"].get("resources") or {}).get("requests")))


def _has_mode(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    return (volume["spec"].get("volumeMode") or "Filesystem") == (claim["spec"].get("volumeMode") or "Filesystem")


def _has_access(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def _preference(volume: ReadOnlyObject) -> Any:
    """Return the order of volumes: the smallest first."""
    return _size(volume["spec"].get("capacity")), key_of(volume).name


def _size(quantities: Any) -> Any:
    return parse_quantity(str((quantities or {}).get("storage") or "0"))


# --- new volumes


def is_provisioned(claim: ReadOnlyObject, storage_class: ReadOnlyObject | None) -> bool:
    """Say whether a volume is made for a claim that has none; `storage_class` is its class, if that is here."""
    by_hand = storage_class is not None and storage_class.get("provisioner") == BY_HAND
    named = claim["spec"].get("volumeName")
    return bool(class_of(claim)) and not by_hand and not named and not _unfulfillable(claim)


def _unfulfillable(claim: ReadOnlyObject) -> str:
    """Return what a claim asks of a new volume that a new folder is not, or ""."""
    spec = claim["spec"]
    source = spec.get("dataSourceRef") or spec.get("dataSource")
    if source:
        return f"a folder begins empty, and not as a copy of {source.get('kind')} {source.get('name')}"
    if spec.get("selector"):
        return "claim Selector is not supported"
    return "a folder is no block device (volumeMode Block)" if spec.get("volumeMode") == "Block" else ""


def _provisioned(observed: Observed) -> list[Action]:
    claim, found, name = observed.claim, observed.storage_class, class_of(observed.claim)
    if not name:
        told = "no persistent volumes available for this claim and no storage class is set"
        return [Event(claim, "Normal", "FailedBinding", told)]
    if found is not None and found.get("provisioner") == BY_HAND:
        told = f'no persistent volumes available for this claim, and none are made for class "{name}"'
        return [Event(claim, "Normal", "FailedBinding", told)]
    if why := _unfulfillable(claim):
        told = f'failed to provision volume with StorageClass "{name}": {why}'
        return [Event(claim, "Warning", "ProvisioningFailed", told)]
    volume = _new_volume(claim, name, (found or {}).get("reclaimPolicy") or "Delete")
    if found is None:
        volume["metadata"]["annotations"][ASSUMED_POLICY] = "Delete"
    told = f"Successfully provisioned volume {volume['metadata']['name']}"
    if found is None or found.get("provisioner") != DRIVER:
        told += f', a folder of this machine: nothing else serves class "{name}" here'
    return [Create(volume, Event(claim, "Normal", "ProvisioningSucceeded", told))]


def _new_volume(claim: ReadOnlyObject, storage_class: str, reclaim: str) -> Object:
    wanted, name = claim["spec"], f"pvc-{metadata_of(claim)['uid']}"
    spec: Object = {
        "accessModes": wanted["accessModes"],
        "capacity": {"storage": wanted["resources"]["requests"]["storage"]},
        "claimRef": _reference(claim),
        "csi": {"driver": DRIVER, "volumeHandle": name},
        "persistentVolumeReclaimPolicy": reclaim,
        "storageClassName": storage_class,
        "volumeMode": wanted.get("volumeMode") or "Filesystem",
    }
    metadata = {"name": name, "annotations": {PROVISIONED_BY: DRIVER}, "finalizers": [DATA_PROTECTION]}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}
