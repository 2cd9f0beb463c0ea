"""Garbage collection: what belongs to an owner that is gone goes too; `--cascade` decides in which order.

Kubernetes' pkg/controller/garbagecollector. Background: the owner goes first. Foreground: it waits, by a finalizer,
for the dependents that block it. Orphan: it waits until its dependents have forgotten it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, metadata_of
from roadstead.controllers.actions import Action, Delete, Patch, guard, releasing

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


class Owner(Enum):
    """What is known of the owner that a reference names."""

    PRESENT = auto()
    ABSENT = auto()
    WAITING = auto()  # deleted in the foreground: it waits for its dependents


@dataclass(frozen=True, slots=True)
class Observed:
    """An object, the state of each owner it names (by uid), and the objects that name it as an owner."""

    item: ReadOnlyObject
    owners: Mapping[str, Owner]
    dependents: Sequence[Object]


def plan(observed: Observed) -> list[Action]:
    """Return what follows for one object from its owners and, if it is being deleted, for its dependents."""
    item = observed.item
    finalizers = metadata_of(item).get("finalizers") or ()
    if is_deleting(item):
        if ORPHAN in finalizers:
            return [*(_forget(entry, {_uid(item)}) for entry in observed.dependents), *releasing(item, ORPHAN)]
        if FOREGROUND in finalizers and not any(_blocks(entry, item) for entry in observed.dependents):
            return releasing(item, FOREGROUND)
        return []
    return _follow_owners(observed)


def state_of(owner: ReadOnlyObject) -> Owner:
    """Say whether an owner that is there waits for its dependents."""
    waiting = is_deleting(owner) and FOREGROUND in (metadata_of(owner).get("finalizers") or ())
    return Owner.WAITING if waiting else Owner.PRESENT


def _follow_owners(observed: Observed) -> list[Action]:
    item = observed.item
    if not observed.owners:
        return []
    ending = {uid for uid, state in observed.owners.items() if state is not Owner.PRESENT}
    if len(ending) < len(observed.owners):
        return [_forget(item, ending)] if ending else []
    return [Delete(item, _propagation(observed))]


def _propagation(observed: Observed) -> str:
    finalizers = metadata_of(observed.item).get("finalizers") or ()
    if ORPHAN in finalizers:
        return "Orphan"
    waited_for = Owner.WAITING in observed.owners.values()
    blocking = any(_blocks(entry, observed.item) for entry in observed.dependents)
    return "Foreground" if FOREGROUND in finalizers or (waited_for and blocking) else "Background"


def _blocks(dependent: ReadOnlyObject, owner: ReadOnlyObject) -> bool:
    references = metadata_of(dependent).get("ownerReferences") or ()
    return any(entry.get("uid") == _uid(owner) and entry.get("blockOwnerDeletion") for entry in references)


def _forget(item: ReadOnlyObject, uids: set[str]) -> Patch:
    references = metadata_of(item).get("ownerReferences") or ()
    kept = [entry for entry in references if entry.get("uid") not in uids]
    return Patch(item, {"metadata": {**guard(item), "ownerReferences": kept or None}})


def _uid(obj: ReadOnlyObject) -> str:
    return str(metadata_of(obj).get("uid") or "")
