"""Field sets: which fields of an object somebody set, in the form that `metadata.managedFields` stores (FieldsV1).

A set is a tree of dicts: `f:NAME` a field, `k:{...}` a list entry by its keys, `v:VALUE` a member of a set; an empty
dict is a member without children, `.` makes a member of a node that has children. Sets are values: no function here
changes its arguments. Semantics: structured-merge-diff's fieldpath and typed packages. Next: `apply` decides with them.
"""

import json
from collections.abc import Iterator
from typing import Any

from roadstead.api.errors import BadRequest
from roadstead.api.objects import Object
from roadstead.apiserver.schemas import Schema
from roadstead.apiserver.schemas.structure import MISSING
from roadstead.apiserver.schemas.tables import ANYTHING

FieldSet = dict[str, Any]

MEMBER: FieldSet = {}
"""A member without children; also what `.` maps to. Shared, because sets are never changed."""

_UNTRACKED_METADATA = (
    "f:creationTimestamp", "f:generation", "f:managedFields", "f:name", "f:namespace", "f:resourceVersion",
    "f:selfLink", "f:uid",
)  # fmt: skip


def field_set(value: Any, schema: Schema) -> FieldSet:
    """Return the set of the fields of a value: down to what the schema calls atomic, or to what it does not know.

    Entries of maps are members whatever is in them, fields of objects only if nothing is; an empty list is nothing.
    """
    if isinstance(value, dict):
        return MEMBER if schema.atomic else _object_fields(value, schema)
    if isinstance(value, list) and schema.list_type != "atomic":
        return _list_set(value, schema)
    return MEMBER


def _object_fields(value: Object, schema: Schema) -> FieldSet:
    fields: FieldSet = {}
    for key, entry in value.items():
        child = schema.child(key) or ANYTHING
        below = field_set(entry, child) if isinstance(entry, dict | list) else MEMBER
        if key not in schema.properties:
            fields["f:" + key] = _with_node(below)
        elif below or _is_member_itself(entry, child):
            fields["f:" + key] = below
    return fields


def _is_member_itself(entry: Any, schema: Schema) -> bool:
    if isinstance(entry, dict):
        return schema.atomic or not entry
    return not isinstance(entry, list) or schema.list_type == "atomic"


def _list_set(value: list[Any], schema: Schema) -> FieldSet:
    if schema.list_type == "set":
        return {value_segment(entry): MEMBER for entry in value}
    items = schema.items or ANYTHING
    return {entry_segment(entry, schema): _with_node(field_set(entry, items)) for entry in value}


def entry_segment(entry: Any, schema: Schema) -> str:
    """Return the segment of an entry of a list with map keys: `k:{"containerPort":80,"protocol":"TCP"}`.

    A key that is left out counts with its default. Raises BadRequest for an entry that has none of its keys.
    """
    if not isinstance(entry, dict):
        raise BadRequest(f"expected an object with the keys {', '.join(schema.map_keys)}, got {json.dumps(entry)}")
    keys = {}
    for name in sorted(schema.map_keys):
        if name in entry:
            keys[name] = entry[name]
        elif (default := _default(schema, name)) is not MISSING:
            keys[name] = default
    if not keys:
        names = " ".join(map(json.dumps, schema.map_keys))
        without = "(and doesn't have default values for any key fields)"
        raise BadRequest(f"associative list with keys has an element that omits all key fields [{names}] {without}")
    return "k:" + json.dumps(keys, separators=(",", ":"), ensure_ascii=False)


def _default(schema: Schema, name: str) -> Any:
    field = schema.items.properties.get(name) if schema.items else None
    return field.default if field else MISSING


def value_segment(entry: Any) -> str:
    """Return the segment of a member of a set: `v:"name"`."""
    return "v:" + json.dumps(entry, separators=(",", ":"), ensure_ascii=False)


def object_set(obj: Object, schema: Schema) -> FieldSet:
    """Return the set of an object's fields without those that nobody owns: kind, name, what the server writes."""
    return without_untracked(field_set(obj, schema))


def without_untracked(fields: FieldSet) -> FieldSet:
    """Return a set of a whole object without the fields that are never tracked."""
    kept = {segment: children for segment, children in fields.items() if segment not in ("f:apiVersion", "f:kind")}
    if metadata := kept.pop("f:metadata", None):
        metadata = {key: children for key, children in metadata.items() if key not in _UNTRACKED_METADATA}
        if metadata and metadata.keys() != {"."}:
            kept["f:metadata"] = metadata
    return kept


def whole_set(value: Any, schema: Schema) -> FieldSet:
    """Return the set of a value that was added or removed as a whole: each object and list in it is a member, too."""
    if isinstance(value, dict) and not schema.atomic:
        below = {
            "f:" + key: whole_set(entry, schema.child(key) or ANYTHING) if isinstance(entry, dict | list) else MEMBER
            for key, entry in value.items()
        }
        return _with_node(below)
    if isinstance(value, list) and schema.list_type == "map":
        items = schema.items or ANYTHING
        return _with_node(
            {segment: whole_set(entry, items) for segment, entry in entries_by_segment(value, schema).items()}
        )
    return _with_node(field_set(value, schema))


def compare(before: Any, after: Any, schema: Schema) -> tuple[FieldSet, FieldSet]:
    """Return the sets of what was added or modified, and of what was removed, between two values.

    As structured-merge-diff's typed/compare.go does it: what one side alone has counts with all that is in it.
    """
    changed: FieldSet = {}
    removed: FieldSet = {}
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            _compare_one(before.get(key, MISSING), value, schema.child(key) or ANYTHING, "f:" + key, changed, removed)
        for key in before.keys() - after.keys():
            removed["f:" + key] = whole_set(before[key], schema.child(key) or ANYTHING)
    elif isinstance(before, list) and isinstance(after, list):
        _compare_lists(before, after, schema, changed, removed)
    return changed, removed


def _compare_one(old: Any, new: Any, schema: Schema, segment: str, changed: FieldSet, removed: FieldSet) -> None:
    if old is new or (old == new and type(old) is type(new)):
        return
    if old is None and isinstance(new, dict | list):
        old = type(new)()  # A null is there, and is empty.
    if not _granular(old, new, schema):
        changed[segment] = fields = whole_set(new, schema)
        if isinstance(old, dict | list) and (gone := difference(whole_set(old, schema), fields)):
            removed[segment] = gone
        return
    inner_changed, inner_removed = compare(old, new, schema)
    if inner_changed:
        changed[segment] = inner_changed
    if inner_removed:
        removed[segment] = inner_removed


def _granular(old: Any, new: Any, schema: Schema) -> bool:
    """Say whether a change from old to new is a change of something inside."""
    if type(old) is not type(new):
        return False
    return not schema.atomic if isinstance(new, dict) else isinstance(new, list) and schema.list_type != "atomic"


def _compare_lists(before: list[Any], after: list[Any], schema: Schema, changed: FieldSet, removed: FieldSet) -> None:
    old, new = entries_by_segment(before, schema), entries_by_segment(after, schema)
    items = schema.items or ANYTHING
    for segment, value in new.items():
        _compare_one(old.get(segment, MISSING), value, items, segment, changed, removed)
    for segment in old.keys() - new.keys():
        removed[segment] = whole_set(old[segment], items)


def entries_by_segment(entries: list[Any], schema: Schema) -> dict[str, Any]:
    """Return the entries of a set or of a list with map keys, by segment; of duplicates the last."""
    return {segment_of(entry, schema): entry for entry in entries}


def segment_of(entry: Any, schema: Schema) -> str:
    """Return the segment of an entry of a set or of a list with map keys."""
    return value_segment(entry) if schema.list_type == "set" else entry_segment(entry, schema)


def _with_node(fields: FieldSet) -> FieldSet:
    return {".": MEMBER, **fields} if fields else MEMBER


def _is_member(node: FieldSet) -> bool:
    return not node or "." in node


def _node(children: FieldSet, member: bool) -> FieldSet | None:
    """Return the node with these children that is a member itself or not; None if it would be nothing at all."""
    if member:
        return _with_node(children)
    return children or None


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the set of what is in either."""
    merged = {**left, **right}
    for segment in left.keys() & right.keys():
        mine, other = left[segment], right[segment]
        if segment != "." and mine != other:
            merged[segment] = _node(_union_below(mine, other), _is_member(mine) or _is_member(other))
    return merged


def _union_below(mine: FieldSet, other: FieldSet) -> FieldSet:
    below = union(mine, other)
    below.pop(".", None)
    return below


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the set of the members of `left` that are not in `right`; empty if none is left."""
    kept: FieldSet = {}
    for segment, mine in left.items():
        if segment == ".":
            continue
        other = right.get(segment)
        rest = mine
        if other is not None:
            rest = _node(difference(mine, other), _is_member(mine) and not _is_member(other))
        if rest is not None:
            kept[segment] = rest
    return kept


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the set of the members that are in both; empty if there are none."""
    shared: FieldSet = {}
    for segment, mine in left.items():
        other = right.get(segment)
        if other is None or segment == ".":
            continue
        both = _node(intersection(mine, other), _is_member(mine) and _is_member(other))
        if both is not None:
            shared[segment] = both
    return shared


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """Yield the members as people read them: `.spec.containers[name="web"].image`."""
    for segment, children in fields.items():
        if segment == ".":
            yield prefix
            continue
        path = prefix + _readable(segment)
        if children:
            yield from paths(children, path)
        else:
            yield path


def _readable(segment: str) -> str:
    kind, _, text = segment.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "k":
        keys = json.loads(text)
        return "[" + ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in keys.items()) + "]"
    return f"[={text}]"
