"""What claims, volumes and classes of storage say, for all who read them: the API server, controllers and the node."""

from collections.abc import Iterable, Iterator

from roadstead.api.objects import ReadOnlyObject, annotations_of, controller_of, metadata_of

DRIVER = "folders.roadstead.dev"
"""The provisioner whose volumes are folders of the machine, each named after its volume."""
STANDARD = "standard"
"""The class that every cluster has."""
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
DATA_PROTECTION = "external-provisioner.volume.kubernetes.io/finalizer"
"""Keeps a volume in the API until whoever made it has dealt with its data (KEP-2644)."""
ASSUMED_POLICY = f"{DRIVER}/assumed-reclaim-policy"
"""Stands on a volume whose class was not here when it was made: should it come, its reclaim policy counts."""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: ReadOnlyObject) -> str | None:
    """Return the name of a claim's or a volume's class; None if it says nothing of one."""
    by_annotation = annotations_of(obj).get(_CLASS)
    given = (obj.get("spec") or {}).get("storageClassName") if by_annotation is None else by_annotation
    return None if given is None else str(given)


def default_class(classes: Iterable[ReadOnlyObject]) -> str | None:
    """Return the class of claims that name none: the newest of those that are said to be it, as Kubernetes chooses."""
    marked = [each for each in classes if any(annotations_of(each).get(name) == "true" for name in _DEFAULT_CLASS)]
    newest = sorted(marked, key=lambda each: str(metadata_of(each)["name"]))
    newest.sort(key=lambda each: str(metadata_of(each).get("creationTimestamp") or ""), reverse=True)
    return str(metadata_of(newest[0])["name"]) if newest else None


def claims_of(pod: ReadOnlyObject) -> Iterator[str]:
    """Yield the names of the claims that a pod's volumes name, and of those that are made for its ephemeral volumes."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        source = volume.get("persistentVolumeClaim")
        if source:
            yield str(source.get("claimName") or "")
    for name, _ in ephemeral_claims_of(pod):
        yield name


def is_exclusive(claim: ReadOnlyObject) -> bool:
    """Say whether a claim is for one pod alone (KEP-2485)."""
    return "ReadWriteOncePod" in ((claim.get("spec") or {}).get("accessModes") or ())


def ephemeral_claims_of(pod: ReadOnlyObject) -> Iterator[tuple[str, ReadOnlyObject]]:
    """Yield the name and the template of the claim of each generic ephemeral volume (KEP-1698)."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        source = volume.get("ephemeral")
        if source:
            yield f"{metadata_of(pod)['name']}-{volume['name']}", source.get("volumeClaimTemplate") or {}


def is_made_for(claim: ReadOnlyObject, pod: ReadOnlyObject) -> bool:
    """Say whether a claim was made for a pod's ephemeral volume: the pod controls it."""
    owner = controller_of(claim)
    return owner is not None and owner.get("uid") == metadata_of(pod).get("uid")


def is_for(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    """Say whether a volume is bound to this very claim, and to no namesake that came before."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    return bool(reference.get("uid")) and reference["uid"] == metadata_of(claim).get("uid")
