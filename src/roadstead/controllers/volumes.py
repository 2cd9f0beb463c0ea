"""Volumes of storage: whose they are, and what becomes of them when nobody has them any more.

Kubernetes' pkg/controller/volume/persistentvolume and pvprotection. The data of a volume that goes is removed by the
node. Next: `storage` finds what both need.
"""

from dataclasses import dataclass
from datetime import datetime

from roadstead.api.objects import ReadOnlyObject, annotations_of, is_deleting
from roadstead.api.storage import DRIVER, PROVISIONED_BY, VOLUME_PROTECTION, is_for
from roadstead.controllers.actions import Action, Delete, protecting, releasing, status_patch
from roadstead.lib.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Observed:
    """A volume, and the claim that it names, if there is one."""

    volume: ReadOnlyObject
    claim: ReadOnlyObject | None


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Write the volume's phase; delete what was made for a claim that is gone; let go of what is to be deleted."""
    volume, phase = observed.volume, _phase(observed)
    if is_deleting(volume) and phase != "Bound":
        return releasing(volume, VOLUME_PROTECTION)
    if not is_deleting(volume) and (protection := protecting(volume, VOLUME_PROTECTION)):
        return protection
    moved = {"phase": phase, "lastPhaseTransitionTime": rfc3339(now)}
    changed = status_patch(volume, moved) if (volume.get("status") or {}).get("phase") != phase else []
    ours = annotations_of(volume).get(PROVISIONED_BY) == DRIVER
    if phase == "Released" and ours and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return [*changed, Delete(volume)]
    return changed


def _phase(observed: Observed) -> str:
    reference = observed.volume["spec"].get("claimRef") or {}
    if not reference.get("uid"):
        return "Available"  # also if its author keeps it for a claim that is to come
    if observed.claim is None or not is_for(observed.volume, observed.claim):
        return "Released"
    return "Bound"
