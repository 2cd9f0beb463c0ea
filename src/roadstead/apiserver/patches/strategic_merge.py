"""Strategic merge: kubectl's patch for built-in kinds, where the schema says which lists are merged and by what key.

Rules and directives (`$patch`, `$retainKeys`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`) are those of
apimachinery's pkg/util/strategicpatch/patch.go. Values are taken over and changed in place: `patch` passes copies.
"""

from typing import Any

from roadstead.api.errors import BadRequest
from roadstead.api.objects import Object
from roadstead.apiserver.schemas import Schema

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def merge_object(original: Object, patch: Object, schema: Schema | None) -> Object:
    """Return `original` with `patch` merged in; `schema` describes both. Raises BadRequest for a bad directive."""
    directive = patch.pop(_DIRECTIVE, None)
    if directive == "replace":
        replacement: Object = _without_nulls(patch)
        return replacement
    if directive == "delete":
        return {}
    if directive is not None:
        raise BadRequest(f"unknown patch type: {directive} in map: {patch}")
    _retain(original, patch)
    _merge_ordered_lists(original, patch, schema)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            _delete_primitives(original, key.removeprefix(_DELETE), value)
        else:
            _merge_field(original, key, value, schema.child(key) if schema else None)
    return original


def _merge_field(original: Object, key: str, value: Any, schema: Schema | None) -> None:
    if value is None:
        original.pop(key, None)
        return
    current = original.get(key)
    if isinstance(value, dict) and isinstance(current, dict):
        replaces = schema is not None and schema.patch_replace
        original[key] = value if replaces else merge_object(current, value, schema)
    elif isinstance(value, list) and isinstance(current, list):
        original[key] = _merge_list(current, value, schema)
    else:
        kept = _without_directives(_without_nulls(value))
        if kept is _NOTHING:
            original.pop(key, None)
        else:
            original[key] = kept


def _merge_list(original: list[Any], patch: list[Any], schema: Schema | None) -> list[Any]:
    """Return the list merged as its schema says; a list without a strategy is replaced."""
    if schema is None or not schema.patch_merge:
        return patch
    if not original and not patch:
        return original
    if not any(isinstance(entry, dict) for entry in (*original, *patch)):
        merged = _unique([*original, *patch])
        return _arrange(merged, patch, original, "")
    key = schema.merge_key
    _check_keys([*original, *patch], key)
    base, additions = _apply_special_entries(original, patch, key)
    return _arrange(_merge_entries(list(base), additions, schema), additions, base, key)


def _check_keys(entries: list[Any], key: str) -> None:
    for entry in entries:
        if not isinstance(entry, dict):
            raise BadRequest("invalid patch: a list has objects and other values side by side")
        if key not in entry and entry.get(_DIRECTIVE) != "replace":
            raise BadRequest(f"map: {entry} does not contain declared merge key: {key}")


def _apply_special_entries(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the entries that say `$patch: delete` or `replace`; return what to merge with what."""
    additions = [entry for entry in patch if _DIRECTIVE not in entry]
    special = [entry for entry in patch if _DIRECTIVE in entry]
    for entry in special:
        if entry[_DIRECTIVE] not in ("delete", "replace"):
            raise BadRequest(f"unknown patch type: {entry[_DIRECTIVE]} in map: {entry}")
    if any(entry[_DIRECTIVE] == "replace" for entry in special):
        return additions, []
    gone = [entry[key] for entry in special]
    return [entry for entry in original if entry[key] not in gone], additions


def _merge_entries(merged: list[Any], additions: list[Any], schema: Schema) -> list[Any]:
    key = schema.merge_key
    for entry in additions:
        position = next((at for at, present in enumerate(merged) if present[key] == entry[key]), None)
        if position is None:
            merged.append(_without_directives(entry))
        else:
            merged[position] = merge_object(merged[position], entry, schema.items)
    return merged


def _merge_ordered_lists(original: Object, patch: Object, schema: Schema | None) -> None:
    """Merge the lists for which the patch gives an order, and take them out of the patch."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        order, name = patch.pop(directive), directive.removeprefix(_ORDER)
        field = schema.child(name) if schema else None
        current, wanted = original.get(name), patch.pop(name, None)
        if any(not isinstance(value, list | None) for value in (order, current, wanted)) or order is None:
            raise BadRequest("invalid patch format of setElementOrder list")
        if current is None and wanted is None:
            continue
        before = list(current or ())
        if current is None:
            merged = _without_directives(wanted)
        else:
            merged = current if wanted is None else _merge_list(current, wanted, field)
        original[name] = _arrange(merged, order, before, field.merge_key if field else "")


def _arrange(merged: list[Any], patch_order: list[Any], server_order: list[Any], key: str) -> list[Any]:
    """Order a merged list: the patch's entries as the patch has them, the others where the server had them."""

    def identity(entry: Any) -> Any:
        return _hashable(entry.get(key) if key and isinstance(entry, dict) else entry)

    wanted = {identity(entry): at for at, entry in reversed(list(enumerate(patch_order)))}
    known = {identity(entry): at for at, entry in reversed(list(enumerate(server_order)))}
    mine = sorted((e for e in merged if identity(e) in wanted), key=lambda e: wanted[identity(e)])
    rest = sorted((e for e in merged if identity(e) not in wanted), key=lambda e: known.get(identity(e), len(known)))
    arranged: list[Any] = []
    while mine and rest:
        left, right = known.get(identity(rest[0])), known.get(identity(mine[0]))
        server_first = left is not None and right is not None and left < right
        arranged.append(rest.pop(0) if server_first else mine.pop(0))
    return arranged + mine + rest


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, dict | list) else (type(value) is bool, value)


def _unique(entries: list[Any]) -> list[Any]:
    return [entry for at, entry in enumerate(entries) if entry not in entries[:at]]


def _delete_primitives(original: Object, name: str, gone: Any) -> None:
    if not isinstance(gone, list):
        raise BadRequest("invalid patch format of primitive list")
    if isinstance(original.get(name), list):
        original[name] = [entry for entry in original[name] if entry not in gone]


def _retain(original: Object, patch: Object) -> None:
    """Carry out `$retainKeys`: drop the fields it does not list. The patch may set only listed ones."""
    if _RETAIN not in patch:
        return
    keys = patch.pop(_RETAIN)
    set_ = [key for key, value in patch.items() if value is not None and not key.startswith((_ORDER, _DELETE))]
    if not isinstance(keys, list) or any(key not in keys for key in set_):
        raise BadRequest("invalid patch format of retainKeys")
    for key in [key for key in original if key not in keys]:
        del original[key]


_NOTHING = object()


def _without_directives(value: Any) -> Any:
    """Return a new value without the directives that only guide merging; nothing is left of a deletion."""
    if isinstance(value, dict):
        if value.get(_DIRECTIVE) == "delete":
            return _NOTHING
        kept = {key: _without_directives(entry) for key, entry in value.items() if not _is_directive(key)}
        return {key: entry for key, entry in kept.items() if entry is not _NOTHING}
    if isinstance(value, list):
        entries = [_without_directives(entry) for entry in value if not _only_directive(entry)]
        return [entry for entry in entries if entry is not _NOTHING]
    return value


def _only_directive(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.keys() == {_DIRECTIVE}


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE))


def _without_nulls(value: Any) -> Any:
    """Return a new value without nulls, which in a patch mean only that a field shall not be there."""
    if isinstance(value, dict):
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    return value
