"""Volumes of pods: one source each, with what that source needs (kubernetes pkg/apis/core/validation)."""

from collections.abc import Sequence
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, required_name
from roadstead.apiserver.validation.paths import file_path, no_backsteps
from roadstead.apiserver.validation.references import field_reference, resource_reference
from roadstead.apiserver.validation.storage import claim_spec

_LAST_MODE = 0o777
_MODE_WORDS = "must be a number between 0 and 0777 (octal), both inclusive"
_KINDS = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
"""In the order in which Kubernetes looks at them: the first one is taken for what is meant."""
_REQUIRED = {
    "configMap": ("name",), "image": ("reference",), "persistentVolumeClaim": ("claimName",), "secret": ("secretName",),
    "nfs": ("server", "path"), "glusterfs": ("endpoints", "path"), "ephemeral": ("volumeClaimTemplate",),
    "gitRepo": ("repository",), "hostPath": ("path",),
}  # fmt: skip
_HOST_PATHS = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_SHORTEST_TOKEN, _LONGEST_TOKEN = 600, 1 << 32


def volumes(listed: Sequence[ReadOnlyObject], path: str) -> tuple[Causes, set[str]]:
    """Return what is wrong with volumes, and the names of those with which nothing is."""
    found: Causes = []
    taken: set[str] = set()
    for at, volume in enumerate(listed):
        where, name = f"{path}[{at}]", volume.get("name", "")
        problems = _volume(volume, where) + required_name(volume, where, names.label_complaints)
        if name in taken:
            problems.append(causes.duplicate(f"{where}.name", name))
        if not problems:
            taken.add(name)
        found += problems
    return found, taken


def _volume(volume: ReadOnlyObject, path: str) -> Causes:
    given = [kind for kind in _KINDS if volume.get(kind) is not None]
    if not given:
        return [causes.required(path, "must specify a volume type")]
    found = volume_source(volume[given[0]], given[0], f"{path}.{given[0]}")
    detail = "may not specify more than 1 volume type"
    return found + [causes.forbidden(f"{path}.{kind}", detail) for kind in given[1:]]


def volume_source(source: ReadOnlyObject, kind: str, path: str) -> Causes:
    """Return what is wrong with the source of a volume, of a kind that pods and persistent volumes share."""
    found = [causes.required(f"{path}.{key}") for key in _REQUIRED.get(kind, ()) if not source.get(key)]
    found += _mode(source, "defaultMode", path)
    if kind in ("configMap", "secret"):
        found += _items(source, path)
    elif kind in _SOURCES and not (kind == "hostPath" and found):
        found += _SOURCES[kind](source, path)
    return found


def _mode(part: ReadOnlyObject, key: str, path: str) -> Causes:
    mode = part.get(key)
    return (
        [causes.invalid(f"{path}.{key}", mode, _MODE_WORDS)] if mode is not None and not 0 <= mode <= _LAST_MODE else []
    )


def _items(source: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    for at, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{at}]"
        found += [causes.required(f"{where}.{key}") for key in ("key", "path") if not item.get(key)]
        found += file_path(item.get("path", ""), f"{where}.path") + _mode(item, "mode", where)
    return found


def _empty_dir(source: ReadOnlyObject, path: str) -> Causes:
    limit = source.get("sizeLimit")
    if limit is None or parse_quantity(str(limit)) >= 0:
        return []
    return [causes.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]


def _host_path(source: ReadOnlyObject, path: str) -> Causes:
    found, type_ = no_backsteps(source.get("path", ""), f"{path}.path"), source.get("type")
    if type_ is not None and type_ not in _HOST_PATHS:
        found.append(causes.not_supported(f"{path}.type", type_, _HOST_PATHS))
    return found


def _nfs(source: ReadOnlyObject, path: str) -> Causes:
    value = source.get("path", "")
    return [] if value.startswith("/") else [causes.invalid(f"{path}.path", value, "must be an absolute path")]


def _image(source: ReadOnlyObject, path: str) -> Causes:
    policy = source.get("pullPolicy")
    return [] if policy in (None, *_PULL_POLICIES) else [
        causes.not_supported(f"{path}.pullPolicy", policy, _PULL_POLICIES)
    ]  # fmt: skip


def _downward(source: ReadOnlyObject, path: str) -> Causes:
    """What is wrong with one of the files is told of the whole: Kubernetes' paths have no index here."""
    return [cause for item in source.get("items") or () for cause in _downward_file(item, path)]


def _downward_file(item: ReadOnlyObject, path: str) -> Causes:
    target, field, resource = item.get("path", ""), item.get("fieldRef"), item.get("resourceFieldRef")
    found = [] if target else [causes.required(f"{path}.path")]
    found += file_path(target, f"{path}.path")
    if field is not None:
        found += field_reference(field, f"{path}.fieldRef", _VOLUME_FIELDS)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            found.append(causes.invalid(path, "resource", detail))
    elif resource is not None:
        found += resource_reference(resource, f"{path}.resourceFieldRef", of_volume=True)
    else:
        found.append(causes.required(path, "one of fieldRef and resourceFieldRef is required"))
    return found + _mode(item, "mode", path)


def _projected(source: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, part in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{at}]"
        for kind in ("secret", "configMap", "downwardAPI", "serviceAccountToken"):
            if part.get(kind) is not None:
                found += _projection(part[kind], kind, f"{where}.{kind}", path)
                found += _conflicts(part[kind], kind, path, taken)
        if len([kind for kind in part.values() if kind is not None]) > 1:
            found.append(causes.forbidden(where, "may not specify more than 1 volume type per source"))
    return found


def _projection(part: ReadOnlyObject, kind: str, path: str, whole: str) -> Causes:
    if kind == "downwardAPI":
        return _downward(part, path)
    if kind == "serviceAccountToken":
        return _token(part, path, whole)
    return ([] if part.get("name") else [causes.required(f"{path}.name")]) + _items(part, path)


def _conflicts(part: ReadOnlyObject, kind: str, path: str, taken: set[str]) -> Causes:
    """Return a cause for every file that another source has put there already."""
    found: Causes = []
    for item in part.get("items") or ():
        target = item.get("path", "")
        if target and target in taken:
            shown = target if kind == "downwardAPI" else part.get("name", "")
            found.append(causes.invalid(path, shown, "conflicting duplicate paths"))
        taken.add(target)
    return found


def _token(part: ReadOnlyObject, path: str, whole: str) -> Causes:
    seconds, field = part.get("expirationSeconds"), f"{path}.expirationSeconds"
    found: Causes = []
    if seconds is not None and seconds < _SHORTEST_TOKEN:
        found.append(causes.invalid(field, seconds, "may not specify a duration less than 10 minutes"))
    if seconds is not None and seconds > _LONGEST_TOKEN:
        found.append(causes.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"))
    target = part.get("path", "")
    return found + (file_path(target, f"{whole}.path") if target else [causes.required(f"{whole}.path")])


def _csi(source: ReadOnlyObject, path: str) -> Causes:
    driver = source.get("driver", "")
    if not driver:
        return [causes.required(f"{path}.driver")]
    return complain(f"{path}.driver", driver, names.subdomain_complaints(driver.lower()))


def _ephemeral(source: ReadOnlyObject, path: str) -> Causes:
    template = source.get("volumeClaimTemplate")
    return claim_spec(template.get("spec") or {}, f"{path}.volumeClaimTemplate.spec") if template else []


_SOURCES: dict[str, Any] = {
    "csi": _csi,
    "downwardAPI": _downward,
    "emptyDir": _empty_dir,
    "ephemeral": _ephemeral,
    "hostPath": _host_path,
    "image": _image,
    "nfs": _nfs,
    "projected": _projected,
}
