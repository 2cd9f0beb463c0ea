"""What a plan may ask for. A controller decides by returning these; `runner` carries them out."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from roadstead.api.objects import Object, ReadOnlyObject


@dataclass(frozen=True, slots=True)
class Event:
    """Tell people something about an object."""

    regarding: ReadOnlyObject
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; `announce` has `{name}` where the stored object's name belongs."""

    object: Object
    announce: Event | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this object and no namesake that came after it."""

    object: ReadOnlyObject
    propagation: str = "Background"
    announce: Event | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Change parts of an object by a merge patch; a `metadata.resourceVersion` in it guards against newer writes."""

    object: ReadOnlyObject
    patch: Object = field(hash=False)
    subresource: str = ""
    announce: Event | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """Assign a pod to a node."""

    pod: ReadOnlyObject
    node: str
    announce: Event | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """Write a whole object to a subresource (`finalize`)."""

    object: Object
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Requeue:
    """Plan again after some seconds: something follows from time alone."""

    seconds: float


Action: TypeAlias = Create | Delete | Patch | Bind | Replace | Event | Requeue


def creating(owner: ReadOnlyObject, actions: list[Action], failure: str) -> list[Action]:
    """Return the actions and, if they create pods once more because the last attempt failed, an event that says why.

    A StatefulSet names the pod, as its own Kubernetes controller does; others share one way to make pods.
    """
    pod = next((each.object for each in actions if isinstance(each, Create) and each.object["kind"] == "Pod"), None)
    if not failure or pod is None:
        return actions
    told = f"Error creating: {failure}"
    if owner["kind"] == "StatefulSet":
        told = (
            f"create Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']} failed error: {failure}"
        )
    return [*actions, Event(owner, "Warning", "FailedCreate", told)]


def status_patch(obj: ReadOnlyObject, wanted: Object) -> list[Action]:
    """Return the patch that makes `status` have these fields (None removes one), or nothing if it has them already.

    It carries the resourceVersion that the plan saw: a status is never written over a newer object.
    """
    current: Any = obj.get("status") or {}
    changed = {name: value for name, value in wanted.items() if current.get(name) != value}
    if not changed:
        return []
    return [Patch(obj, {"metadata": guard(obj), "status": changed}, "status")]


def guard(obj: ReadOnlyObject) -> Object:
    """Return the metadata of a patch that must meet the very object that the plan saw."""
    metadata = obj["metadata"]
    return {name: metadata[name] for name in ("uid", "resourceVersion") if name in metadata}


def protecting(obj: ReadOnlyObject, finalizer: str) -> list[Action]:
    """Return the patch that puts a finalizer on an object from which somebody has taken it, or nothing."""
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer in finalizers:
        return []
    return [Patch(obj, {"metadata": {**guard(obj), "finalizers": [*finalizers, finalizer]}})]


def releasing(obj: ReadOnlyObject, finalizer: str) -> list[Action]:
    """Return the patch that takes a finalizer away, or nothing if it is not there."""
    finalizers = obj["metadata"].get("finalizers") or ()
    if finalizer not in finalizers:
        return []
    kept = [each for each in finalizers if each != finalizer]
    return [Patch(obj, {"metadata": {**guard(obj), "finalizers": kept or None}})]
