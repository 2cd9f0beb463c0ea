"""Metadata of every object: names, labels, annotations, owners, finalizers (pkg/api/validation/objectmeta.go)."""

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, metadata_of
from roadstead.api.resources import Resource
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, immutable, labels

_ANNOTATIONS_LIMIT = 256 * 1024
_RBAC = "rbac.authorization.k8s.io"
_NAMES: dict[tuple[str, str], names.Check] = {
    ("", "Namespace"): names.label_complaints,
    ("", "Service"): names.label_complaints,
    ("apps", "StatefulSet"): names.subdomain_complaints,
    (_RBAC, "Role"): names.path_segment_complaints,
    (_RBAC, "RoleBinding"): names.path_segment_complaints,
    (_RBAC, "ClusterRole"): names.path_segment_complaints,
    (_RBAC, "ClusterRoleBinding"): names.path_segment_complaints,
}


def validate_metadata(resource: Resource, new: Object, old: Object | None) -> Causes:
    """Return what is wrong with an object's metadata."""
    metadata = metadata_of(new)
    found = _names(resource, metadata)
    found += labels(metadata.get("labels"), "metadata.labels")
    found += annotations(metadata.get("annotations"), "metadata.annotations")
    found += _owners(metadata)
    for finalizer in metadata.get("finalizers") or ():
        found += complain("metadata.finalizers", finalizer, names.qualified_name_complaints(finalizer))
    return found + (_changes(metadata, old) if old is not None else [])


def _names(resource: Resource, metadata: ReadOnlyObject) -> Causes:
    check = _NAMES.get((resource.group, resource.kind), names.subdomain_complaints)
    name, prefix = metadata.get("name"), metadata.get("generateName")
    found: Causes = []
    if prefix:
        # What is generated ends with a letter or digit, so the prefix may end with a dash.
        cut = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        found += complain("metadata.generateName", prefix, check(cut))
    if not name and not prefix:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    elif name:
        found += complain("metadata.name", name, check(name))
    if not resource.namespaced and metadata.get("namespace"):
        found.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    return found


def annotations(value: ReadOnlyObject | None, path: str) -> Causes:
    """Return what is wrong with annotations."""
    found: Causes = []
    size = 0
    for key, text in (value or {}).items():
        size += len(key) + len(text)
        found += complain(path, key, names.qualified_name_complaints(key.lower()))
    return [*found, causes.too_long(path, _ANNOTATIONS_LIMIT)] if size > _ANNOTATIONS_LIMIT else found


def _owners(metadata: ReadOnlyObject) -> Causes:
    path = "metadata.ownerReferences"
    owners = metadata.get("ownerReferences") or ()
    found = [
        causes.required(f"{path}[{at}].{key}", "must not be empty")
        for at, owner in enumerate(owners)
        for key in ("apiVersion", "kind", "name", "uid")
        if not owner.get(key)
    ]
    controllers = [f"{o.get('kind')}/{o.get('name')}" for o in owners if o.get("controller")]
    if len(controllers) > 1:
        detail = (
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        )
        found.append(causes.invalid(path, owners, detail))
    return found


def _changes(metadata: ReadOnlyObject, old: Object) -> Causes:
    before = metadata_of(old)
    found: Causes = []
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        found += immutable(metadata.get(key), before.get(key), f"metadata.{key}")
    added = sorted(set(metadata.get("finalizers") or ()) - set(before.get("finalizers") or ()))
    if is_deleting(old) and added:
        shown = ", ".join(f'"{name}"' for name in added)
        detail = (
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
        )
        found.append(causes.forbidden("metadata.finalizers", detail))
    return found
