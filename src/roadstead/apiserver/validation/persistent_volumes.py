"""PersistentVolumes: one source each, a size, and what may be changed (kubernetes pkg/apis/core/validation)."""

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, one_of
from roadstead.apiserver.validation.paths import no_backsteps
from roadstead.apiserver.validation.scheduling import node_selector
from roadstead.apiserver.validation.storage import VOLUME_MODES, access_modes
from roadstead.apiserver.validation.volumes import volume_source

_SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs",
    "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
"""In the order in which Kubernetes looks at them: the first one is taken for what is meant."""
_REQUIRED = {"local": ("path",), "csi": ("driver", "volumeHandle")}
_POLICIES = ("Delete", "Recycle", "Retain")
_FIXED = "spec.persistentvolumesource is immutable after creation"


def validate_volume(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PersistentVolume."""
    found = _spec(new.get("spec") or {})
    return found + (_changes(new["spec"], old["spec"]) if old is not None else [])


def _spec(spec: ReadOnlyObject) -> Causes:
    found = [] if spec.get("accessModes") else [causes.required("spec.accessModes")]
    found += access_modes(spec, "spec") + _capacity(spec.get("capacity") or {})
    policy = spec.get("persistentVolumeReclaimPolicy")
    found += one_of("spec.persistentVolumeReclaimPolicy", policy, _POLICIES)
    given = [kind for kind in _SOURCES if spec.get(kind) is not None]
    found += _source(spec[given[0]], given[0]) if given else []
    found += [causes.forbidden(f"spec.{kind}", "may not specify more than 1 volume type") for kind in given[1:]]
    if not given:
        found.append(causes.required("spec", "must specify a volume type"))
    if policy == "Recycle" and (spec.get("hostPath") or {}).get("path") == "/":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(causes.forbidden("spec.persistentVolumeReclaimPolicy", detail))
    if name := spec.get("storageClassName"):
        found += complain("spec.storageClassName", name, names.subdomain_complaints(name))
    if spec.get("local") and spec.get("nodeAffinity") is None:
        found.append(causes.required("spec.nodeAffinity", "Local volume requires node affinity"))
    if (affinity := spec.get("nodeAffinity")) is not None:
        found += _node_affinity(affinity, "spec.nodeAffinity.required")
    return found + one_of("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)


def _node_affinity(affinity: ReadOnlyObject, path: str) -> Causes:
    required = affinity.get("required")
    if required is None:
        return [causes.required(path, "must specify required node constraints")]
    return node_selector(required, path)


def _capacity(capacity: ReadOnlyObject) -> Causes:
    found = [] if capacity else [causes.required("spec.capacity")]
    if set(capacity) != {"storage"}:
        found.append(causes.not_supported("spec.capacity", dict(sorted(capacity.items())) or None, ("storage",)))
    return found + [
        causes.invalid(f"spec.capacity[{name}]", size, "must be greater than zero")
        for name, size in capacity.items()
        if parse_quantity(str(size)) <= 0
    ]


def _source(source: ReadOnlyObject, kind: str) -> Causes:
    path = f"spec.{kind}"
    if kind in _REQUIRED:
        found = [causes.required(f"{path}.{key}") for key in _REQUIRED[kind] if not source.get(key)]
        if driver := source.get("driver"):
            found += complain(f"{path}.driver", driver, names.subdomain_complaints(driver.lower()))
        return found + no_backsteps(source.get("path") or "", f"{path}.path")
    return volume_source(source, kind, path)


def _changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    found: Causes = []
    if any(new.get(kind) != old.get(kind) for kind in _SOURCES):
        found.append(causes.forbidden("spec.persistentvolumesource", _FIXED))
    if new.get("volumeMode") != old.get("volumeMode"):
        found.append(causes.invalid("volumeMode", new.get("volumeMode"), "field is immutable"))
    return found


VALIDATORS = {("", "PersistentVolume"): validate_volume}
