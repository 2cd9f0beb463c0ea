"""Who controls what: a controller claims objects that its selector picks, and lets go of those it no longer picks.

Kubernetes' ControllerRefManager (pkg/controller/controller_ref_manager.go) as a pure function.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from roadstead.api.objects import (
    Object,
    ReadOnlyObject,
    controller_of,
    is_deleting,
    labels_of,
    metadata_of,
    owner_reference,
)
from roadstead.api.selectors import LabelSelector
from roadstead.controllers.actions import Action, Patch, guard


@dataclass(frozen=True, slots=True)
class Claim:
    """What a controller has: objects that it owns and selects, and the patches that adopt and release others."""

    objects: tuple[Object, ...]
    actions: tuple[Action, ...]


def claim(owner: ReadOnlyObject, selector: LabelSelector, candidates: Iterable[Object]) -> Claim:
    """Sort candidates of the owner's namespace into owned, adopted (owned from now on) and released."""
    owned: list[Object] = []
    actions: list[Action] = []
    for candidate in candidates:
        controller = controller_of(candidate)
        selected = selector.matches(labels_of(candidate))
        if controller is None:
            if selected and not is_deleting(candidate) and not is_deleting(owner):
                actions.append(_references(candidate, [*_others(candidate, owner), owner_reference(owner)]))
                owned.append(candidate)
        elif controller.get("uid") == owner["metadata"]["uid"]:
            if selected:
                owned.append(candidate)
            elif not is_deleting(owner) and not is_deleting(candidate):
                actions.append(_references(candidate, _others(candidate, owner)))
    return Claim(tuple(owned), tuple(actions))


def _others(obj: ReadOnlyObject, owner: ReadOnlyObject) -> list[Object]:
    references = metadata_of(obj).get("ownerReferences") or ()
    return [reference for reference in references if reference.get("uid") != owner["metadata"]["uid"]]


def _references(obj: ReadOnlyObject, references: list[Object]) -> Patch:
    return Patch(obj, {"metadata": {**guard(obj), "ownerReferences": references or None}})
