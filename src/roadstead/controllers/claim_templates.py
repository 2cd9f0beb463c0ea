"""The claims of a StatefulSet's pods: made from its templates, and kept or not when pods go (KEP-1847).

A claim that is to go gets an owner, the set or the pod, and the garbage collector deletes it with that. Pure.
"""

from collections.abc import Mapping, Sequence

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, metadata_of, owner_reference
from roadstead.controllers.actions import Action, Create, Patch, guard

_COPIED = ("annotations", "finalizers", "ownerReferences")


def claims_by_volume(stateful_set: ReadOnlyObject, ordinal: int) -> dict[str, Object]:
    """Return the PersistentVolumeClaims of one pod by the name of the volume."""
    metadata = stateful_set["metadata"]
    labels = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    made: dict[str, Object] = {}
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        volume = template["metadata"]["name"]
        about = {
            **{field: template["metadata"][field] for field in _COPIED if template["metadata"].get(field)},
            "name": f"{volume}-{metadata['name']}-{ordinal}",
            "namespace": metadata.get("namespace") or "",
            "labels": {**(template["metadata"].get("labels") or {}), **labels},
        }
        kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        made[volume] = {**kind, "metadata": about, "spec": template.get("spec") or {}}
    return made


def has_claim(stateful_set: ReadOnlyObject, name: str) -> bool:
    """Say whether a claim has the name of one that this set makes, for whichever pod."""
    prefix, _, number = name.rpartition("-")
    owner = stateful_set["metadata"]["name"]
    templates = stateful_set["spec"].get("volumeClaimTemplates") or ()
    return number.isdigit() and prefix in {f"{each['metadata']['name']}-{owner}" for each in templates}


def missing_claims(stateful_set: ReadOnlyObject, ordinal: int, claims: Sequence[Object]) -> list[Action]:
    """Return the creation of those claims of a pod that are not there."""
    present = {metadata_of(each).get("name") for each in claims}
    wanted = claims_by_volume(stateful_set, ordinal).values()
    return [Create(made) for made in wanted if made["metadata"]["name"] not in present]


def owned_claims(
    stateful_set: ReadOnlyObject, wanted: range, pods: Mapping[int, Object], claims: Sequence[Object]
) -> list[Action]:
    """Return the patches that give claims the owners with which they are to go; `wanted` are the pods to have."""
    by_name = {metadata_of(each)["name"]: each for each in claims if not is_deleting(each)}
    actions: list[Action] = []
    for ordinal in sorted({*wanted, *pods}):
        owner = _owner(stateful_set, pods.get(ordinal), is_surplus=ordinal not in wanted)
        for made in claims_by_volume(stateful_set, ordinal).values():
            found = by_name.get(made["metadata"]["name"])
            if found is not None:
                actions += _giving(found, owner, _ours(stateful_set, ordinal))
    return actions


def _owner(stateful_set: ReadOnlyObject, pod: ReadOnlyObject | None, *, is_surplus: bool) -> Object | None:
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    if is_surplus and policy.get("whenScaled") == "Delete":
        return None if pod is None else owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})
    return owner_reference(stateful_set) if policy.get("whenDeleted") == "Delete" else None


def _ours(stateful_set: ReadOnlyObject, ordinal: int) -> set[tuple[str, str]]:
    """Return the kinds and names of owners that a claim has from us; others are left alone."""
    name = stateful_set["metadata"]["name"]
    return {("StatefulSet", name), ("Pod", f"{name}-{ordinal}")}


def _giving(claim: ReadOnlyObject, owner: Object | None, ours: set[tuple[str, str]]) -> list[Action]:
    given = list(metadata_of(claim).get("ownerReferences") or ())
    others = [each for each in given if (each.get("kind"), each.get("name")) not in ours]
    wanted = [*others, *([owner] if owner is not None else [])]
    # One that somebody else controls is left to them (`hasUnexpectedController`): there can be no second.
    if wanted == given or any(each.get("controller") for each in others):
        return []
    return [Patch(claim, {"metadata": {**guard(claim), "ownerReferences": wanted or None}})]
