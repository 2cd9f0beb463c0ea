"""Server-side apply: merge what a manager wants into what is there, knowing who set which field.

A field that another manager set to another value is a conflict, unless it is forced; a field that the manager no longer
applies, and nobody else owns, is removed. Other writes take ownership of what they change. Semantics:
structured-merge-diff's merge/update.go and apimachinery's pkg/util/managedfields. Next: `defaults`, `validation`.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from roadstead.api.errors import BadRequest, Conflict
from roadstead.api.objects import Object, clone, metadata_of
from roadstead.api.resources import Resource
from roadstead.apiserver.patches import last_applied
from roadstead.apiserver.patches.managed_fields import (
    FieldSet,
    compare,
    difference,
    entries_by_segment,
    intersection,
    object_set,
    paths,
    segment_of,
    union,
    without_untracked,
)
from roadstead.apiserver.schemas import Schema, schema_of
from roadstead.apiserver.schemas.tables import ANYTHING
from roadstead.apiserver.schemas.zero_values import nothing_set


class Untypable(BadRequest):
    """What is applied does not fit the schema: an entry of a list has no key, or stands there twice."""


def server_side_apply(
    resource: Resource,
    live: Object | None,
    applied: Object,
    *,
    manager: str,
    force: bool,
    subresource: str,
    now: str,
) -> Object:
    """Return `live` with what `applied` says, with `managedFields` to match; an apply that changes nothing is equal.

    Raises Conflict with one cause per field that another manager owns, unless `force`; BadRequest if `applied` brings
    managed fields of its own, Untypable if it lists an entry without its key or twice.
    """
    if metadata_of(applied).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    schema = schema_of(resource)
    applied = _without_reset_fields(resource, applied, subresource)
    _refuse_duplicates(applied, schema, "")
    entries = list(metadata_of(live or {}).get("managedFields") or ())
    if live is not None and not entries:
        # Nobody tracked it: what is there was there before.
        there, _ = compare(nothing_set(resource), _without_reset_fields(resource, live, ""), schema)
        entries = [_new_entry(resource, _BEFORE, "Update", "", now, without_untracked(there))]
    mine = _entry(entries, manager, "Apply", subresource)
    others = [entry for entry in entries if entry is not mine]
    wanted = object_set(applied, schema)
    merged = _merged(live, applied, schema, wanted, mine, others)
    changed, removed = compare(live or {}, merged, schema)
    conflicts = [(entry, _fields(entry, changed)) for entry in others]
    if not force:
        allowed = last_applied.unclaimed(live or {}, schema, manager)
        _refuse_conflicts([(entry, difference(clash, allowed)) for entry, clash in conflicts])
    kept = [_without(entry, union(clash, removed)) for entry, clash in conflicts]
    updated = last_applied.keep_up_to_date(merged, applied, manager)
    same = mine is not None and not (changed or removed or updated) and mine["fieldsV1"] == wanted
    # An apply that finds everything as it wants it has no time, or keeps the one of the last that changed something.
    when = now if changed or removed or updated or live is None else (mine or {}).get("time", "")
    own = mine if same and mine else _new_entry(resource, manager, "Apply", subresource, when, wanted)
    merged["metadata"]["managedFields"] = _sorted([*kept, own])
    return merged


def track_update(
    resource: Resource, before: Object | None, after: Object, *, manager: str, subresource: str, now: str
) -> None:
    """Set `after.metadata.managedFields` for a write that is no apply: the manager owns what it changed.

    A list of managed fields in `after` itself is honoured: it replaces the stored one, and `[{}]` empties it.
    """
    schema = schema_of(resource)
    entries = _stored_or_given(before, after, subresource)
    if before is not None and not entries:
        after["metadata"].pop("managedFields", None)
        return  # An object without managed fields has none until somebody applies.
    changed, removed = compare(before or nothing_set(resource), after, schema)
    changed, removed = without_untracked(changed), without_untracked(removed) if before else {}
    if not subresource and "status" in resource.subresources:
        # What the server says of a new object's status is nobody's field (getResetFields of the kinds' strategies).
        for fields in (changed, removed):
            fields.pop("f:status", None)
    if changed or removed:
        entries = _take_over(resource, entries, changed, removed, (manager, subresource, now))
    metadata = after.setdefault("metadata", {})
    if entries:
        metadata["managedFields"] = _sorted(_capped(entries))
    else:
        metadata.pop("managedFields", None)


def _take_over(
    resource: Resource, entries: list[Object], changed: FieldSet, removed: FieldSet, who: tuple[str, str, str]
) -> list[Object]:
    manager, subresource, now = who
    mine = _entry(entries, manager, "Update", subresource, resource.api_version)
    lost = union(changed, removed)
    kept = [_without(entry, lost) for entry in entries if entry is not mine]
    if mine is not None:
        changed = union(difference(mine["fieldsV1"], removed), changed)
    if not changed:
        return kept
    return [*kept, _new_entry(resource, manager, "Update", subresource, now, changed)]


_BEFORE = "before-first-apply"
_MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"


def _capped(entries: list[Object]) -> list[Object]:
    """Return the entries with those of the oldest updaters put together: no more than Kubernetes keeps.

    Whoever applies is never among them (apimachinery's managedfields, capmanagers.go).
    """
    updates = [entry for entry in entries if entry.get("operation") == "Update"]
    if len(updates) <= _MOST_UPDATERS:
        return entries
    oldest = sorted(updates, key=lambda entry: (str(entry.get("time", "")), str(entry.get("manager", ""))))
    buckets: dict[str, Object] = {}
    merged: list[Object] = []
    left = len(updates)
    for entry in oldest:
        version = str(entry.get("apiVersion", ""))
        if left <= _MOST_UPDATERS:
            break
        if version in buckets:
            fields = union(buckets[version]["fieldsV1"], entry.get("fieldsV1") or {})
            buckets[version] = {**_without_subresource(entry), "manager": _ANCIENT, "fieldsV1": fields}
            left -= 1
        else:
            buckets[version] = entry
        merged.append(entry)
    return [*(entry for entry in entries if not any(entry is gone for gone in merged)), *buckets.values()]


def _without_subresource(entry: Object) -> Object:
    return {key: value for key, value in entry.items() if key != "subresource"}


def _stored_or_given(before: Object | None, after: Object, subresource: str) -> list[Object]:
    """Return the managed fields to start from: those of the request if it may and does bring some, else the stored."""
    stored = list(metadata_of(before or {}).get("managedFields") or ())
    given = metadata_of(after).get("managedFields")
    if subresource or not isinstance(given, list) or not given:
        return stored
    if given == [{}]:
        return []
    well_formed = all(isinstance(entry, dict) and isinstance(entry.get("fieldsV1", {}), dict) for entry in given)
    return [{**entry, "fieldsV1": entry.get("fieldsV1", {})} for entry in given] if well_formed else stored


def _entry(
    entries: Iterable[Object], manager: str, operation: str, subresource: str, api_version: str | None = None
) -> Object | None:
    for entry in entries:
        identity = (entry.get("manager", ""), entry.get("operation"), entry.get("subresource", ""))
        if identity == (manager, operation, subresource) and api_version in (None, entry.get("apiVersion")):
            return entry
    return None


def _new_entry(
    resource: Resource, manager: str, operation: str, subresource: str, now: str, fields: FieldSet
) -> Object:
    entry: Object = {
        "manager": manager,
        "operation": operation,
        "apiVersion": resource.api_version,
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if not now:
        del entry["time"]
    if subresource:
        entry["subresource"] = subresource
    return entry


def _fields(entry: Object, changed: FieldSet) -> FieldSet:
    return intersection(entry.get("fieldsV1") or {}, changed) if changed else {}


def _without(entry: Object, lost: FieldSet) -> Object:
    return {**entry, "fieldsV1": difference(entry.get("fieldsV1") or {}, lost)} if lost else entry


def _sorted(entries: Iterable[Object]) -> list[Object]:
    def order(entry: Object) -> tuple[str, ...]:
        return tuple(str(entry.get(key, "")) for key in ("operation", "time", "manager", "apiVersion", "subresource"))

    return sorted((entry for entry in entries if entry.get("fieldsV1")), key=order)


def _without_reset_fields(resource: Resource, applied: Object, subresource: str) -> Object:
    """Return what of `applied` this endpoint takes: the object without its status, or nothing but the status."""
    if subresource == "status":
        return {key: value for key, value in applied.items() if key in ("apiVersion", "kind", "status")}
    if "status" in resource.subresources and "status" in applied:
        return {key: value for key, value in applied.items() if key != "status"}
    return applied


def _refuse_duplicates(value: Any, schema: Schema, path: str) -> None:
    if isinstance(value, dict) and not schema.atomic:
        for key, entry in value.items():
            if isinstance(entry, dict | list) and (child := schema.child(key)) is not None:
                _refuse_duplicates(entry, child, f"{path}.{key}")
    elif isinstance(value, list) and schema.list_type in ("map", "set"):
        seen: set[str] = set()
        for position, entry in enumerate(value):
            try:
                segment = segment_of(entry, schema)
            except BadRequest as error:
                raise Untypable(f"{path}: element {position}: {error.message}") from None
            if segment in seen:
                raise Untypable(f"{path}: duplicate entries for key {next(paths({segment: {}}))}")
            seen.add(segment)
            _refuse_duplicates(entry, schema.items or ANYTHING, f"{path}[{position}]")


def _refuse_conflicts(conflicts: list[tuple[Object, FieldSet]]) -> None:
    found = [(_print_manager(entry), path) for entry, clash in conflicts for path in paths(clash)]
    if not found:
        return
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path} for who, path in found
    ]
    raise Conflict(_conflict_message(found), {"causes": causes})


def _conflict_message(found: list[tuple[str, str]]) -> str:
    if len(found) == 1:
        return f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    lines: list[str] = []
    for manager in sorted({who for who, _ in found}):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {path}" for who, path in found if who == manager]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)


def _print_manager(entry: Object) -> str:
    text = f'"{entry.get("manager", "")}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    return f"{text} using {entry.get('apiVersion')}" if entry.get("operation") == "Update" else text


# Merging and pruning the object itself.


def _merged(
    live: Object | None,
    applied: Object,
    schema: Schema,
    wanted: FieldSet,
    mine: Object | None,
    others: Iterable[Object],
) -> Object:
    if live is None:
        merged: Object = clone(applied)
        merged.setdefault("metadata", {})
        return merged
    merged = _merge(live, applied, schema)
    if mine is None:
        return merged
    keep = wanted
    for entry in others:
        keep = union(keep, entry.get("fieldsV1") or {})
    _prune(merged, mine["fieldsV1"], {"f:metadata": {}, **keep}, schema)
    return merged


def _merge(live: Any, applied: Any, schema: Schema) -> Any:
    """Return `live` with `applied` merged in, as a new value."""
    if isinstance(live, dict) and isinstance(applied, dict) and not schema.atomic:
        merged = {key: clone(value) for key, value in live.items() if key not in applied}
        for key, value in applied.items():
            merged[key] = _merge(live.get(key), value, schema.child(key) or ANYTHING)
        return merged
    if isinstance(live, list) and isinstance(applied, list) and schema.list_type != "atomic":
        return _merge_lists(live, applied, schema)
    return clone(applied)


def _merge_lists(live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
    """Merge entries by segment. What stands twice in `live` is replaced if it is applied, and left alone if not."""
    items = schema.items or ANYTHING
    before = [(segment_of(entry, schema), entry) for entry in live]
    wanted = entries_by_segment(applied, schema)
    counted = Counter(segment for segment, _ in before)
    there = {segment: entry for segment, entry in before if counted[segment] == 1}
    order = merged_order([segment for segment, _ in before], list(wanted))
    return [
        clone(before[place][1]) if isinstance(place, int) else _merge(there.get(place), wanted[place], items)
        for place in order
    ]


def merged_order(live: list[str], applied: list[str]) -> list[int | str]:
    """Return the order of a merged list: positions of entries of `live` alone, segments of entries that are applied.

    Applied entries keep their order among themselves, entries of `live` alone theirs; each of the latter comes before
    the applied entry that it stood before, as far as both orders allow. It is the order of structured-merge-diff
    (typed/merge.go, visitListItems), move by move: whoever applies the same again, here or there, sees no change.
    """
    merged: list[int | str] = []
    wanted, there, done = set(applied), set(live), set[str]()
    rest, shared = deque(applied), deque(segment for segment in applied if segment in there)
    at = 0
    while at < len(live) or rest:
        segment = live[at] if at < len(live) else None
        if segment is not None and segment not in wanted:
            merged.append(at)
            at += 1
            continue
        if segment is not None and rest and shared and segment not in (rest[0], shared[0]):
            at += 1  # It is applied, but its turn is not now.
            continue
        if segment is not None and (segment in done or segment == rest[0]):
            at += 1
        if rest:
            taken = rest.popleft()
            merged.append(taken)
            done.add(taken)
            if shared and shared[0] == taken:
                shared.popleft()
    return merged


def _prune(value: Any, owned: FieldSet, keep: FieldSet, schema: Schema) -> None:
    """Remove in place what was owned and of which nobody keeps anything."""
    if isinstance(value, list):
        _prune_list(value, owned, keep, schema)
        return
    for segment, children in owned.items():
        name = segment[2:]
        if segment == "." or not isinstance(value, dict) or name not in value:
            continue
        if segment not in keep:
            del value[name]
        elif children and isinstance(value[name], dict | list):
            _prune(value[name], children, keep[segment], schema.child(name) or ANYTHING)


def _prune_list(value: list[Any], owned: FieldSet, keep: FieldSet, schema: Schema) -> None:
    if schema.list_type == "atomic":
        return
    entries = [(segment_of(entry, schema), entry) for entry in value]
    value[:] = [entry for segment, entry in entries if segment not in owned or segment in keep]
    for segment, entry in entries:
        if segment in owned and segment in keep:
            _prune(entry, owned[segment], keep[segment], schema.items or ANYTHING)
