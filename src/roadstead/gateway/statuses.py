"""Statuses: what translation wants to say becomes the least patch that says it.

Translation knows neither the time nor what others wrote. Here both meet: conditions keep their transition time while
their status stays, entries of other controllers stay as they are, a translation of an older generation says nothing.
Next: `controller`, which sends the patches.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from roadstead.api.conditions import merge_conditions
from roadstead.api.objects import Object, ObjectKey, key_of, metadata_of

Field = Mapping[str, Any]
_REFERENCES = {"parents": "parentRef", "ancestors": "ancestorRef"}
"""Lists that several controllers share: which field tells their entries apart, beside the controller's name."""


CERTIFICATE_USABLE = "roadstead.dev/CertificateUsable"
ANNOTATIONS_USABLE = "roadstead.dev/AnnotationsUsable"
_ONLY_WHILE_STATED = frozenset(
    {"InsecureFrontendValidationMode", "ResolvedRefs", "PartiallyInvalid", CERTIFICATE_USABLE, ANNOTATIONS_USABLE}
)
"""Conditions of ours that are removed when there is nothing to say any more. Those of others always stay."""


class StatusUpdate(NamedTuple):
    """The wanted `status` of one object, without transition times; of `parents` and `ancestors`,
    only our entries.

    It holds for this `generation` and `uid` of the object. `owner_names`: the controllers whose entries
    there are ours to replace. `proxy`: it tells of this proxy and waits until its Envoys have answered to the newest
    configuration; `held`: they had not when this was made.
    """

    kind: str
    key: ObjectKey
    generation: int
    uid: str
    status: Object
    owner_names: frozenset[str] = frozenset()
    proxy: str = ""
    held: bool = False


def generation_of(obj: Field) -> int:
    """Return `metadata.generation`, 0 if there is none."""
    generation = metadata_of(obj).get("generation")
    return generation if isinstance(generation, int) else 0


def update_for(
    obj: Object, status: Object, *, owner_names: frozenset[str] = frozenset(), proxy: str = "", held: bool = False
) -> StatusUpdate:
    """Return the update that gives this object this status."""
    uid = str(metadata_of(obj).get("uid") or "")
    return StatusUpdate(str(obj.get("kind")), key_of(obj), generation_of(obj), uid, status, owner_names, proxy, held)


def patch_for(update: StatusUpdate, current: Object, now: str) -> Object | None:
    """Return the merge patch on the status subresource, or None if nothing is to be said.

    `current` is the newest known object; the patch carries its resourceVersion, so that the server refuses it (409)
    if the object has changed meanwhile. `now` is RFC 3339.
    """
    metadata = metadata_of(current)
    if generation_of(current) != update.generation or str(metadata.get("uid") or "") != update.uid:
        return None
    before: Object = current.get("status") or {}
    after = {**before, **{name: _merged(name, before, value, update, now) for name, value in update.status.items()}}
    if after == before:
        return None
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return {"metadata": {"resourceVersion": metadata.get("resourceVersion")}, "status": changed}


def _merged(name: str, before: Object, wanted: Any, update: StatusUpdate, now: str) -> Any:
    current = before.get(name) or []
    if name == "conditions":
        return _conditions(current, wanted, now)
    if name == "listeners":
        return [_with_conditions(entry, _named(current, entry["name"]), now) for entry in wanted]
    if name in _REFERENCES:
        field = _REFERENCES[name]
        others = [entry for entry in current if entry.get("controllerName") not in update.owner_names]
        return [*others, *(_with_conditions(entry, _same_reference(current, entry, field), now) for entry in wanted)]
    return wanted


def _with_conditions(entry: Object, before: Field, now: str) -> Object:
    """Give an entry its transition times, and leave others' conditions in it."""
    return {**entry, "conditions": _conditions(before.get("conditions") or (), entry["conditions"], now)}


def _conditions(current: Sequence[Object], wanted: Sequence[Object], now: str) -> list[Object]:
    over = _ONLY_WHILE_STATED - {condition["type"] for condition in wanted}
    return merge_conditions([one for one in current if one.get("type") not in over], wanted, now)


def _named(entries: list[Object], name: str) -> Field:
    return next((entry for entry in entries if entry.get("name") == name), {})


def _same_reference(entries: list[Object], wanted: Object, field: str) -> Field:
    identity = (wanted[field], wanted["controllerName"])
    return next((one for one in entries if (one.get(field), one.get("controllerName")) == identity), {})
