"""Will pods get the storage that they claim? One whose claim never has a volume waits for ever."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from roadstead.api.objects import Object, ObjectKey
from roadstead.api.storage import class_of
from roadstead.cluster.checks.finding import Checked, Finding
from roadstead.cluster.checks.workloads import Template
from roadstead.controllers.claims import BY_HAND, fits

_CLAIM = "PersistentVolumeClaim"


def check_claims(objects: Iterable[Checked], pods: Iterable[Template]) -> Iterator[Finding]:
    """Yield the claims that pods name and that are not there, and those that only a missing volume could satisfy."""
    listed = list(objects)
    there = {one.key for one in listed if one.kind == _CLAIM} | set(_of_templates(listed))
    for pod in pods:
        for path, volume in pod.volumes():
            named = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            where = ObjectKey(pod.owner.key.namespace, named or "")
            if named and where not in there:
                message = f"there is no {_CLAIM} {where} among the manifests; the pod will not start"
                yield pod.owner.finding(f"{path}.persistentVolumeClaim.claimName", message)
    volumes = {one.key.name: one.object for one in listed if one.kind == "PersistentVolume"}
    classes = {one.key.name: one.object for one in listed if one.kind == "StorageClass"}
    for owner, path, claim in _claims(listed):
        yield from _without_volume(owner, path, claim, volumes, classes)


def _of_templates(objects: Iterable[Checked]) -> Iterator[ObjectKey]:
    """Yield the claims that StatefulSets make of their templates, which others may name, too."""
    for one in objects:
        if one.kind != "StatefulSet":
            continue
        spec = one.object.get("spec") or {}
        first = (spec.get("ordinals") or {}).get("start") or 0
        for template in spec.get("volumeClaimTemplates") or ():
            for number in range(first, first + min(spec.get("replicas", 1), _MOST_REPLICAS)):
                name = f"{(template.get('metadata') or {}).get('name')}-{one.key.name}-{number}"
                yield ObjectKey(one.key.namespace, name)


_MOST_REPLICAS = 10_000


def _claims(objects: Iterable[Checked]) -> Iterator[tuple[Checked, str, Object]]:
    for one in objects:
        if one.kind == _CLAIM:
            yield one, "", one.object
        if one.kind == "StatefulSet":
            for number, template in enumerate((one.object.get("spec") or {}).get("volumeClaimTemplates") or ()):
                metadata = {**(template.get("metadata") or {}), "namespace": one.key.namespace}
                yield one, f"spec.volumeClaimTemplates[{number}].", {**template, "metadata": metadata}


def _without_volume(
    owner: Checked, path: str, claim: Object, volumes: Mapping[str, Object], classes: Mapping[str, Object]
) -> Iterator[Finding]:
    named = (claim.get("spec") or {}).get("volumeName")
    if named:
        if named not in volumes:
            message = f"there is no PersistentVolume {named} among the manifests; pods with this claim will wait"
            yield owner.finding(f"{path}spec.volumeName", message)
        return
    name = class_of(claim)
    if _makes_volumes(name, classes) or any(fits(volume, claim) for volume in volumes.values()):
        return
    message = (
        f'no PersistentVolume of the manifests fits, and none is made for class "{name}"; add one of that class, with '
        "the access modes and the size that are claimed, or name no class"
    )
    yield owner.finding(f"{path}spec.storageClassName", message)


def _makes_volumes(name: str | None, classes: Mapping[str, Any]) -> bool:
    return name != "" and (classes.get(name or "") or {}).get("provisioner") != BY_HAND
