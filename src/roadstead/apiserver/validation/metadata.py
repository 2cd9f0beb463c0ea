"""Metadata of every object: names, labels, annotations, owners, finalizers (pkg/api/validation/objectmeta.go)."""

from collections.abc import Sequence

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
    found += _finalizers(metadata.get("finalizers") or (), qualified=resource.group in _QUALIFIED_FINALIZERS)
    if (metadata.get("generation") or 0) < 0:
        found.append(causes.invalid("metadata.generation", metadata["generation"], _NEGATIVE))
    return found + (_changes(metadata, old) if old is not None else [])


_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_QUALIFIED_FINALIZERS = frozenset({
    "", "apps", "autoscaling", "batch", "coordination.k8s.io", "discovery.k8s.io", "networking.k8s.io", "policy", _RBAC,
    "scheduling.k8s.io", "storage.k8s.io",
})  # fmt: skip
"""Groups of Kubernetes' own whose finalizers need a domain; other kinds can have any."""
_NEGATIVE = "must be greater than or equal to 0"


def _finalizers(finalizers: Sequence[str], *, qualified: bool) -> Causes:
    path, found = "metadata.finalizers", list[causes.Cause]()
    for finalizer in finalizers:
        found += complain(path, finalizer, names.qualified_name_complaints(finalizer))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(causes.invalid(path, list(finalizers), detail))
    detail = "name is neither a standard finalizer name nor is it fully qualified"
    return found + [
        causes.invalid(f"{path}[{at}]", finalizer, detail)
        for at, finalizer in enumerate(finalizers)
        if qualified and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS
    ]


def _names(resource: Resource, metadata: ReadOnlyObject) -> Causes:
    check = _NAMES.get((resource.group, resource.kind), names.subdomain_complaints)
    name, prefix = metadata.get("name"), metadata.get("generateName")
    found: Causes = []
    if prefix:
        # What is generated ends with a letter or digit, so a prefix may end with a dash; one more is cut off.
        cut = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
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
    found = [cause for at, owner in enumerate(owners) for cause in _owner(owner, f"{path}[{at}]")]
    controllers = [f"{o.get('kind')}/{o.get('name')}" for o in owners if o.get("controller")]
    if len(controllers) > 1:
        detail = (
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        )
        found.append(causes.invalid(path, [_shown_owner(owner) for owner in owners], detail))
    return found


def _owner(owner: ReadOnlyObject, path: str) -> Causes:
    version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
    found = [
        causes.required(f"{path}.{key}", "must not be empty")
        for key in ("apiVersion", "kind", "name", "uid")
        if not owner.get(key)
    ]
    if version.count("/") > 1:
        detail = "must be <group>/<version> or <version>"
        found.insert(0, causes.invalid(f"{path}.apiVersion", version, detail))
    if (version, kind) == ("v1", "Event"):
        detail = "/v1, Kind=Event is disallowed from being an owner"
        found.append(causes.invalid(path, _shown_owner(owner), detail))
    return found


def _shown_owner(owner: ReadOnlyObject) -> Object:
    """Return a reference as Kubernetes prints it: what must be there is there, even if it is empty."""
    needed = {key: owner.get(key, "") for key in ("apiVersion", "kind", "name", "uid")}
    return {**needed, **{key: owner[key] for key in ("controller", "blockOwnerDeletion") if owner.get(key) is not None}}


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
