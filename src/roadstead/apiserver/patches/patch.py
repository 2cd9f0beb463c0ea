"""The three kinds of patch: what a PATCH request makes of an object.

JSON merge patch (RFC 7386) and JSON patch (RFC 6902) know nothing of Kubernetes; a strategic merge patch asks the
schema which lists are merged by which key, see `strategic_merge`. All return new objects and change neither argument.
Next: `defaults` and `validation` see the result as they see any write.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from roadstead.api.errors import BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType
from roadstead.api.objects import Object, clone
from roadstead.api.resources import Resource
from roadstead.apiserver.patches.strategic_merge import merge_object
from roadstead.apiserver.schemas import CustomResource, schema_of

MAX_OPERATIONS = 10_000
"""As many as Kubernetes takes in one JSON patch."""
MAX_COPIED = 3 << 20
"""How many bytes the copies of one JSON patch may add: a list that is copied into itself doubles with every copy."""

_INDEX = re.compile(r"-?[0-9]{1,9}")
_ABSENT = object()


def merge_patch(target: Object, patch: Any) -> Object:
    """Apply a JSON merge patch: null removes a field, lists are replaced. Raises BadRequest if it is no object."""
    if not isinstance(patch, dict):
        raise BadRequest("a JSON merge patch must be an object")
    merged: Object = _merge(target, patch)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    """Return what the patch makes of the target; what it does not name is shared with the target, not copied."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def strategic_merge_patch(resource: Resource, target: Object, patch: Any) -> Object:
    """Apply a strategic merge patch by the merge keys of the resource's schema.

    Raises UnsupportedMediaType for custom resources, as Kubernetes does, and BadRequest for a malformed patch.
    """
    if isinstance(resource, CustomResource):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )
    if not isinstance(patch, dict):
        raise BadRequest("a strategic merge patch must be an object")
    return merge_object(clone(target), clone(patch), schema_of(resource))


def json_patch(target: Object, operations: Any) -> Object:
    """Apply the operations of a JSON patch in order; a failing one leaves nothing changed.

    Raises BadRequest if it is no list of operations, RequestEntityTooLarge if there are too many, and Invalid, naming
    the operation, if one cannot be applied.
    """
    if not isinstance(operations, list) or not all(isinstance(entry, dict) for entry in operations):
        raise BadRequest("a JSON patch must be a list of operations")
    if len(operations) > MAX_OPERATIONS:
        problem = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise RequestEntityTooLarge(f"Request entity too large: {problem}")
    patched = clone(target)
    copied = 0
    for operation in operations:
        copied += _copied_bytes(patched, operation) if operation.get("op") == "copy" else 0
        if copied > MAX_COPIED:
            raise _refusal(
                f"Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit "
                f"{MAX_COPIED}"
            )
        patched = _operate(patched, operation)
    if not isinstance(patched, dict):
        raise _refusal("the patched document is no object")
    return patched


def _copied_bytes(document: Any, operation: Object) -> int:
    return len(msgspec.json.encode(_value_at(document, _pointer(operation, "from"))))


def _refusal(problem: str) -> Invalid:
    return Invalid(f"the server rejected our request due to an error in our request: {problem}")


def _operate(document: Any, operation: Object) -> Any:
    verb, path = operation.get("op"), _pointer(operation, "path")
    if verb in ("add", "replace", "test") and "value" not in operation:
        raise _refusal(f"operation {verb!r} at {operation['path']!r} has no value")
    value = clone(operation.get("value"))
    if verb == "add":
        return _add(document, path, value)
    if verb == "remove":
        return _remove(document, path)[0]
    if verb == "replace":
        return _replace(document, path, value)
    if verb == "move":
        remaining, moved = _remove(document, _pointer(operation, "from"))
        return _add(remaining, path, moved)
    if verb == "copy":
        return _add(document, path, clone(_value_at(document, _pointer(operation, "from"))))
    if verb == "test":
        return _test(document, path, value)
    raise _refusal(f"unexpected operation {verb!r}")


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    """Put a value in the place of another; a field of an object need not have been there."""
    parent = _look_up(document, path[:-1]) if path else None
    if isinstance(parent, list):
        parent[_index(parent, path[-1], path)] = value
        return document
    return _add(document, path, value)


def _pointer(operation: Object, key: str) -> list[str]:
    text = operation.get(key)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _refusal(f"{key!r} of operation {operation.get('op')!r} is no JSON pointer: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _test(document: Any, path: Sequence[str], value: Any) -> Any:
    if not _same(_value_at(document, path), value):
        raise _refusal(f"testing value /{'/'.join(path)} failed")
    return document


def _value_at(document: Any, path: Sequence[str]) -> Any:
    """Return what a path leads to; a field that an object does not have is null."""
    parent = _look_up(document, path[:-1]) if path else None
    missing = isinstance(parent, dict) and path[-1] not in parent
    return None if missing else _look_up(document, path)


def _same(left: Any, right: Any) -> bool:
    """Compare JSON: unlike in Python, true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _look_up(document: Any, path: Sequence[str]) -> Any:
    for position, part in enumerate(path):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(document, part, path)]
        else:
            raise _refusal(f"doc is missing path: /{'/'.join(path[: position + 1])}")
    return document


def _index(entries: list[Any], part: str, path: Sequence[str], *, end: int = -1) -> int:
    size = len(entries) + end + 1
    if _INDEX.fullmatch(part) and -size <= int(part) < size:
        return int(part) % size  # negative ones count from the end
    raise _refusal(f"unable to access invalid index {part!r} at /{'/'.join(path)}")


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _look_up(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else _index(parent, path[-1], path, end=0), value)
    else:
        raise _refusal(f"doc is missing path: /{'/'.join(path)}")
    return document


def _remove(document: Any, path: Sequence[str]) -> tuple[Any, Any]:
    if not path:
        return None, document
    parent = _look_up(document, path[:-1])
    if isinstance(parent, list):
        return document, parent.pop(_index(parent, path[-1], path))
    removed = parent.pop(path[-1], _ABSENT) if isinstance(parent, dict) else _ABSENT
    if removed is _ABSENT:
        raise _refusal(f"unable to remove nonexistent key: /{'/'.join(path)}")
    return document, removed
