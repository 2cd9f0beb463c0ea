"""Volumes of storage: whose they are, and what becomes of them when nobody has them any more.

Kubernetes' pkg/controller/volume/persistentvolume and pvprotection. The data of a volume that goes is removed by the
node. Next: `storage` finds what both need.
"""

from dataclasses import dataclass
from datetime import datetime

from roadstead.api.objects import ReadOnlyObject, annotations_of, is_deleting
from roadstead.api.storage import ASSUMED_POLICY, DRIVER, PROVISIONED_BY, VOLUME_PROTECTION, is_for
from roadstead.controllers.actions import Action, Delete, Event, Patch, guard, protecting, releasing, status_patch
from roadstead.lib.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Observed:
    """A volume, the claim that it names and its class, if there are such."""

    volume: ReadOnlyObject
    claim: ReadOnlyObject | None
    storage_class: ReadOnlyObject | None = None


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Write the volume's phase; delete what was made for a claim that is gone; let go of what is to be deleted."""
    volume, phase = observed.volume, _phase(observed)
    if is_deleting(volume) and phase != "Bound":
        return releasing(volume, VOLUME_PROTECTION)
    if not is_deleting(volume) and (protection := protecting(volume, VOLUME_PROTECTION)):
        return protection
    if observed.storage_class is not None and ASSUMED_POLICY in annotations_of(volume):
        policy = observed.storage_class.get("reclaimPolicy") or "Delete"
        about = {**guard(volume), "annotations": {ASSUMED_POLICY: None}}
        return [Patch(volume, {"metadata": about, "spec": {"persistentVolumeReclaimPolicy": policy}})]
    moved = {"phase": phase, "lastPhaseTransitionTime": rfc3339(now)}
    changed = status_patch(volume, moved) if (volume.get("status") or {}).get("phase") != phase else []
    if phase == "Released" and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return [*changed, Delete(volume)]
    if phase == "Failed" and changed:
        return [*changed, Event(volume, "Warning", "VolumeFailedDelete", _NOT_OURS)]
    return changed


_NOT_OURS = "its data stay: only volumes that were made for a claim are deleted with it; set the reclaim policy Retain"


def _phase(observed: Observed) -> str:
    reference = observed.volume["spec"].get("claimRef") or {}
    if not reference.get("uid"):
        return "Available"  # also if its author keeps it for a claim that is to come
    if observed.claim is None or not is_for(observed.volume, observed.claim):
        policy = observed.volume["spec"].get("persistentVolumeReclaimPolicy")
        ours = annotations_of(observed.volume).get(PROVISIONED_BY) == DRIVER
        return "Released" if policy in (None, "Retain") or (ours and policy == "Delete") else "Failed"
    return "Bound"
