"""What becomes of an object when it is created, changed and deleted: the rules that hold for every kind.

Pure functions from objects to objects. The counterpart of apiserver's pkg/registry/rest (create.go, update.go,
delete.go) and of the kinds' strategies. Next: `admission`, what particular kinds get besides; then `rest` stores it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from roadstead.api.errors import BadRequest, Conflict, invalid
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.apiserver import causes
from roadstead.apiserver.http.parameters import DeleteOptions
from roadstead.apiserver.schemas.zero_values import definition_of

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_LONGEST_GENERATED = 63

_OURS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
_WITHOUT_GENERATION = frozenset({
    "bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes", "persistentvolumeclaims",
    "persistentvolumes", "resourcequotas", "secrets", "serviceaccounts", "services",
    "controllerrevisions.apps", "events.events.k8s.io",
    "leases.coordination.k8s.io", "storageclasses.storage.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
})  # fmt: skip
_COUNTED_METADATA = {"deployments.apps": "annotations", "endpointslices.discovery.k8s.io": "labels"}
_STATUS_AT_CREATION = frozenset({"Node", "Namespace", "CustomResourceDefinition"})
_METADATA_BY_STATUS = frozenset({"Pod", "Node"})
"""Kinds whose agents write labels and annotations through the status subresource."""

_SPECIFICATION = frozenset({"", "scale"})
"""Where a client writes the specification; other subresources are the server's own changes, of anything."""

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_PROPAGATION_FINALIZER = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_LEFT_ALONE = frozenset({"jobs.batch", "replicationcontrollers"})
"""Whose dependents stay unless the client says otherwise, as in the API's first versions."""
_TOLD_WHOLE = frozenset({
    "namespaces", "persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "resourcequotas",
    "serviceaccounts", "services", "storageclasses.storage.k8s.io",
})  # fmt: skip
"""Of what a deletion answers with the object that is gone, not with a Status (ReturnDeletedObject)."""


def collection_of(resource: Resource) -> str:
    """Return the name of a kind's collection in the store, the same for all of its versions."""
    if (resource.group, resource.plural) == ("events.k8s.io", "events"):
        return "events"
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def rfc3339(moment: datetime) -> str:
    """Write a UTC time as `metav1.Time` does: whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    """Return a name from `generateName`, as Kubernetes makes them."""
    suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return prefix[: _LONGEST_GENERATED - _SUFFIX_LENGTH] + suffix


def check_identity(resource: Resource, obj: Object, namespace: str, name: str) -> None:
    """Fill in kind, namespace and name from the URL; what is there already must agree. Raises BadRequest."""
    if not isinstance(obj.setdefault("metadata", {}), dict):
        raise BadRequest("metadata: expected an object")
    _agree(
        obj,
        "apiVersion",
        resource.api_version,
        "the API version in the data ({}) does not match the expected API version ({})",
    )
    _agree(obj, "kind", resource.kind, "the kind in the data ({}) does not match the expected kind ({})")
    metadata = obj["metadata"]
    if resource.namespaced:
        if (metadata.get("namespace") or namespace) != namespace:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if name and (metadata.get("name") or name) != name:
        raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if name:
        metadata["name"] = name


def _agree(obj: Object, field: str, expected: str, complaint: str) -> None:
    if (obj.get(field) or expected) != expected:
        raise BadRequest(complaint.format(obj[field], expected))
    obj[field] = expected


def prepare_create(resource: Resource, obj: Object, *, now: str, uid: str) -> None:
    """Give a new object what the server decides: uid, times, generation, and no status of the client's.

    Raises BadRequest for a resourceVersion and Invalid for a missing name.
    """
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for field in (*_OURS, "resourceVersion"):
        metadata.pop(field, None)
    if not metadata.get("name"):
        if not metadata.get("generateName"):
            missing = causes.required("metadata.name", "name or generateName is required")
            raise invalid(resource.kind, resource.group, "", [missing])
        metadata["name"] = generated_name(str(metadata["generateName"]))
    metadata["uid"] = uid
    metadata["creationTimestamp"] = now
    if has_generation(resource):
        metadata["generation"] = 1
    if "status" in resource.subresources and resource.kind not in _STATUS_AT_CREATION:
        obj.pop("status", None)


def has_generation(resource: Resource) -> bool:
    """Say whether objects of this kind count their generations."""
    return collection_of(resource) not in _WITHOUT_GENERATION


def prepare_update(resource: Resource, live: ReadOnlyObject, new: Object, subresource: str) -> Object:
    """Return what an update may make of an object: identity stays, and spec and status change on their own paths.

    Raises Conflict if the client saw another version or another object of this name, and BadRequest.
    """
    _check_precondition(resource, live, new)
    if subresource == "status":
        fields = ("labels", "annotations", "finalizers") if resource.kind in _METADATA_BY_STATUS else ()
        changed: Object = {**live, "metadata": _part_metadata(live, new, *fields)}
        _carry(changed, new, "status")
    elif subresource == "ephemeralcontainers":
        changed = {**live, "metadata": _part_metadata(live, new), "spec": dict(live["spec"])}
        _carry(changed["spec"], new.get("spec") or {}, "ephemeralContainers")
    else:
        changed = {**new, "metadata": dict(new["metadata"])}
        if subresource in _SPECIFICATION and "status" in resource.subresources:
            _carry(changed, live, "status")
    metadata = changed["metadata"]
    for field in (*_OURS, "resourceVersion"):
        _carry(metadata, live["metadata"], field)
    if metadata.get("managedFields") is None:
        _carry(metadata, live["metadata"], "managedFields")
    return changed


def count_generation(resource: Resource, live: ReadOnlyObject, new: Object) -> None:
    """Move the generation on if anything but metadata and status changed; to be asked once defaults are filled in.

    Of a few kinds some metadata counts, too: what controllers make of them depends on it.
    """
    if not has_generation(resource):
        return
    counted = _COUNTED_METADATA.get(collection_of(resource), "")
    if _specification(new) != _specification(live) or new["metadata"].get(counted) != live["metadata"].get(counted):
        new["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1


def _part_metadata(live: ReadOnlyObject, new: ReadOnlyObject, *fields: str) -> Object:
    """Return the metadata of an object of which a part is written, with a few fields of the new one."""
    metadata = dict(live["metadata"])
    for field in ("managedFields", *fields):
        _carry(metadata, new["metadata"], field)
    return metadata


def _carry(target: Object, source: ReadOnlyObject, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def _specification(obj: ReadOnlyObject) -> Object:
    return {field: value for field, value in obj.items() if field not in {"metadata", "status"}}


def _check_precondition(resource: Resource, live: ReadOnlyObject, new: ReadOnlyObject) -> None:
    seen, current = new["metadata"].get("resourceVersion"), live["metadata"]["resourceVersion"]
    name = live["metadata"]["name"]
    if not seen and not definition_of(resource):  # Of custom resources nobody replaces a version unseen.
        cause = causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(resource.plural, resource.group, name, [cause])
    if seen and seen != current:
        raise conflict(resource, name, _MODIFIED)
    uid, expected = new["metadata"].get("uid"), live["metadata"].get("uid")
    if uid and uid != expected:
        message = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {expected}"
        raise conflict(resource, name, message)


_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, message: str) -> Conflict:
    """Return the answer for a write that lost a race, worded as Kubernetes words it."""
    qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return Conflict(
        f'Operation cannot be fulfilled on {qualified} "{name}": {message}',
        {"name": name, "group": resource.group, "kind": resource.plural},
    )


def is_unchanged(live: ReadOnlyObject, new: ReadOnlyObject) -> bool:
    """Say whether a write changes nothing but, at most, the times at which field managers wrote."""
    return _comparable(live) == _comparable(new)


def _comparable(obj: ReadOnlyObject) -> Object:
    metadata = {field: value for field, value in obj["metadata"].items() if field != "resourceVersion" and value}
    managed = metadata.pop("managedFields", ())
    return {**obj, "metadata": metadata, "managed": [_timeless(entry) for entry in managed]}


def _timeless(entry: Mapping[str, Any]) -> Object:
    return {field: value for field, value in entry.items() if field != "time"}


def is_gone(resource: Resource, obj: ReadOnlyObject) -> bool:
    """Say whether a deleting object waits for nothing any more: no finalizers and no grace period."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if resource.kind == "Namespace" and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a delete request does: `remove` the object, store it as deleting (`mark`), or nothing (`wait`)."""

    action: Literal["remove", "mark", "wait"]
    obj: Object


def plan_delete(resource: Resource, live: Object, options: DeleteOptions, now: datetime) -> Deletion:
    """Decide what a delete request does to an object. Raises Conflict if a precondition does not hold.

    A pod that is bound to a node is only marked: its node agent confirms with a grace period of 0 once it has ended.
    """
    _check_delete_preconditions(resource, live, options)
    obj: Object = {**live, "metadata": dict(live["metadata"])}
    metadata = obj["metadata"]
    grace = _grace_period(resource, live, options)
    _set_propagation(metadata, options.propagation or _default_propagation(resource, live))
    if metadata.get("deletionTimestamp"):
        if grace < (metadata.get("deletionGracePeriodSeconds") or 0):
            _mark(obj, grace, now)
    else:
        _mark(obj, grace, now)
        if metadata.get("generation"):
            metadata["generation"] += 1
        if resource.kind == "Namespace":
            del metadata["deletionGracePeriodSeconds"]
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    if is_gone(resource, obj):
        return Deletion("remove", obj)
    return Deletion("wait" if is_unchanged(live, obj) else "mark", obj)


def told_of_removal(resource: Resource, live: Object, removed: Object) -> Object | None:
    """Return the object that a deletion answers with once it is gone, None if that is a Status."""
    if collection_of(resource) not in _TOLD_WHOLE:
        return None
    return removed if resource.kind == "Pod" else live


def _default_propagation(resource: Resource, live: ReadOnlyObject) -> str:
    asked = {FOREGROUND, ORPHAN} & set(live["metadata"].get("finalizers") or ())
    return "Orphan" if collection_of(resource) in _LEFT_ALONE and not asked else ""


def _mark(obj: Object, grace: int, now: datetime) -> None:
    obj["metadata"]["deletionTimestamp"] = rfc3339(now + timedelta(seconds=grace))
    obj["metadata"]["deletionGracePeriodSeconds"] = grace


def _grace_period(resource: Resource, obj: ReadOnlyObject, options: DeleteOptions) -> int:
    spec = obj.get("spec") or {}
    if resource.kind != "Pod" or not spec.get("nodeName"):
        return 0
    if (obj.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    if options.grace_period_seconds is not None:
        return options.grace_period_seconds
    grace = spec.get("terminationGracePeriodSeconds")
    return 30 if grace is None else int(grace)


def _set_propagation(metadata: Object, propagation: str) -> None:
    if not propagation:
        return
    kept = [name for name in metadata.get("finalizers") or () if name not in {FOREGROUND, ORPHAN}]
    wanted = _PROPAGATION_FINALIZER.get(propagation)
    finalizers = [*kept, wanted] if wanted else kept
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _check_delete_preconditions(resource: Resource, live: ReadOnlyObject, options: DeleteOptions) -> None:
    metadata = live["metadata"]
    if options.uid and options.uid != metadata.get("uid"):
        message = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {metadata.get('uid')}"
        raise conflict(resource, metadata["name"], message)
    if options.resource_version and options.resource_version != metadata["resourceVersion"]:
        message = (
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {metadata['resourceVersion']}"
        )
        raise conflict(resource, metadata["name"], message)
