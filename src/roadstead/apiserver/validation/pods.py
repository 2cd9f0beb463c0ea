"""Pods and pod templates: what is wrong with the pod as a whole, its volumes, and changes of a running one."""

from collections.abc import Sequence

from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.containers import containers
from roadstead.apiserver.validation.fields import complain, labels, not_negative, one_of, required_name
from roadstead.apiserver.validation.hosts import host_names
from roadstead.apiserver.validation.metadata import annotations
from roadstead.apiserver.validation.paths import local_path
from roadstead.apiserver.validation.scheduling import scheduling
from roadstead.apiserver.validation.security import security

_LAST_MODE = 0o777
_MODE_WORDS = "must be a number between 0 and 0777 (octal), both inclusive"
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a pod; of a stored one hardly anything may change."""
    spec = new.get("spec") or {}
    found = pod_spec(spec, "spec")
    for at, container in enumerate(spec.get("containers") or ()):
        image = container.get("image") or ""
        if image != image.strip():
            detail = "must not have leading or trailing whitespace"
            found.append(causes.invalid(f"spec.containers[{at}].image", image, detail))
    if old is not None:
        return found + _changes(spec, old.get("spec") or {})
    if spec.get("ephemeralContainers"):
        found.append(causes.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return found


def pod_template(template: ReadOnlyObject | None, path: str, restart_policies: Sequence[str] = ("Always",)) -> Causes:
    """Return what is wrong with the template of a controller that makes pods with one of these restart policies."""
    template = template or {}
    metadata, spec = metadata_of(template), template.get("spec") or {}
    found = labels(metadata.get("labels"), f"{path}.labels")
    found += annotations(metadata.get("annotations"), f"{path}.annotations")
    found += pod_spec(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        found.append(causes.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return found + one_of(f"{path}.spec.restartPolicy", spec.get("restartPolicy", "Always"), restart_policies)


def pod_spec(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with the spec of a pod or of a template."""
    found, volumes = _volumes(spec.get("volumes") or (), f"{path}.volumes")
    found += containers(spec, path, volumes)
    found += one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "Never", "OnFailure"))
    policies = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    found += one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), policies)
    found += labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    found += not_negative(spec, path, "terminationGracePeriodSeconds")
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            found += complain(f"{path}.{field}", spec[field], names.label_complaints(spec[field]))
    for field in ("nodeName", "serviceAccountName", "priorityClassName"):
        if spec.get(field):
            found += complain(f"{path}.{field}", spec[field], names.subdomain_complaints(spec[field]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        found += complain(f"{path}.activeDeadlineSeconds", deadline, names.between(deadline, 1, 2**31 - 1))
    found += host_names(spec, path) + security(spec, path) + scheduling(spec, path)
    return found + _others(spec, path)


def _others(spec: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    for at, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType", "")
        field = f"{path}.readinessGates[{at}].conditionType"
        found += complain(field, kind, names.qualified_name_complaints(kind))
    if (name := spec.get("runtimeClassName")) is not None:
        found += complain(f"{path}.runtimeClassName", name, names.subdomain_complaints(name))
    found += one_of(f"{path}.preemptionPolicy", spec.get("preemptionPolicy"), ("Never", "PreemptLowerPriority"))
    found += one_of(f"{path}.os.name", (spec.get("os") or {}).get("name"), ("linux", "windows"))
    account, older = spec.get("serviceAccountName", ""), spec.get("serviceAccount")
    if older and older != account:
        detail = f'must be the same as serviceAccountName: "{account}"'
        found.append(causes.invalid(f"{path}.deprecatedServiceAccount", older, detail))
    return found


def _volumes(volumes: Sequence[ReadOnlyObject], path: str) -> tuple[Causes, set[str]]:
    found: Causes = []
    taken: set[str] = set()
    for at, volume in enumerate(volumes):
        where = f"{path}[{at}]"
        found += _volume(volume, where) + required_name(volume, where, names.label_complaints)
        name = volume.get("name", "")
        if name in taken:
            found.append(causes.duplicate(f"{where}.name", name))
        taken.add(name)
    return found, taken


def _volume(volume: ReadOnlyObject, path: str) -> Causes:
    given = [kind for kind, source in volume.items() if kind != "name" and source is not None]
    if not given:
        return [causes.required(path, "must specify a volume type")]
    found = _volume_source(volume[given[0]], given[0], f"{path}.{given[0]}")
    detail = "may not specify more than 1 volume type"
    return found + [causes.forbidden(f"{path}.{kind}", detail) for kind in given[1:]]


_REQUIRED = {
    "configMap": "name", "hostPath": "path", "persistentVolumeClaim": "claimName", "secret": "secretName",
}  # fmt: skip


def _volume_source(source: ReadOnlyObject, kind: str, path: str) -> Causes:
    key = _REQUIRED.get(kind)
    found = [causes.required(f"{path}.{key}")] if key and not source.get(key) else []
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= _LAST_MODE:
        found.append(causes.invalid(f"{path}.defaultMode", mode, _MODE_WORDS))
    if kind in ("configMap", "secret"):
        found += _items(source.get("items") or (), f"{path}.items")
    return found


def _items(items: Sequence[ReadOnlyObject], path: str) -> Causes:
    found: Causes = []
    for at, item in enumerate(items):
        where = f"{path}[{at}]"
        found += [causes.required(f"{where}.{key}") for key in ("key", "path") if not item.get(key)]
        found += local_path(item.get("path", ""), f"{where}.path")
        mode = item.get("mode")
        if mode is not None and not 0 <= mode <= _LAST_MODE:
            found.append(causes.invalid(f"{where}.mode", mode, _MODE_WORDS))
    return found


def _changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    if new == old:
        return []
    for kind in ("containers", "initContainers"):
        if len(new.get(kind) or ()) != len(old.get(kind) or ()):
            return [causes.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")]
    if found := _ephemeral_changes(new, old):
        return found
    if _comparable(new, old) == _comparable(old, old):
        return []
    detail = f"pod updates may not change fields other than {_UPDATABLE}"
    changed = sorted(key for key in {*new, *old} if new.get(key) != old.get(key))
    return [causes.forbidden("spec", f"{detail}\nchanged: {', '.join(changed)}")]


def _ephemeral_changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    """Ephemeral containers may be added, in any place, and that is all."""
    after = {container.get("name"): container for container in new.get("ephemeralContainers") or ()}
    found: Causes = []
    for container in old.get("ephemeralContainers") or ():
        name = container["name"]
        if after.get(name) != container:
            done = "changed" if name in after else "removed"
            detail = f'existing ephemeral containers "{name}" may not be {done}'
            found.append(causes.forbidden("spec.ephemeralContainers", detail))
    return found


def _comparable(spec: ReadOnlyObject, old: ReadOnlyObject) -> Object:
    """Return a spec without what may differ from the old one; a node may be assigned once, tolerations added."""
    kept = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "ephemeralContainers")}
    for kind in ("containers", "initContainers"):
        kept[kind] = [{**container, "image": ""} for container in spec.get(kind) or ()]
    tolerations = list(spec.get("tolerations") or ())
    if all(toleration in tolerations for toleration in old.get("tolerations") or ()):
        kept.pop("tolerations", None)
    if not old.get("nodeName"):
        kept.pop("nodeName", None)
    if old.get("schedulingGates"):
        kept.pop("schedulingGates", None)
    return kept
