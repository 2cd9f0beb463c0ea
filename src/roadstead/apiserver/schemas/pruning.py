"""Unknown fields: find them (strict requests), or remove them (what a CRD's schema does not know is not stored).

apiextensions' pkg/apiserver/schema/pruning. Objects marked `x-kubernetes-preserve-unknown-fields` keep everything,
embedded resources keep `apiVersion`, `kind` and `metadata`.
"""

from typing import Any

from roadstead.api.objects import Object
from roadstead.apiserver.schemas.structure import Schema

_IMPLIED = ("apiVersion", "kind", "metadata")


def unknown_paths(value: Any, schema: Schema, path: str = "") -> list[str]:
    """Return the paths of fields that the schema does not know, in the order in which they are written."""
    found: list[str] = []
    _collect(value, schema, path, found)
    return found


def _collect(value: Any, schema: Schema, path: str, found: list[str]) -> None:
    if isinstance(value, list):
        if schema.items is not None:
            for position, entry in enumerate(value):
                if isinstance(entry, dict | list):
                    _collect(entry, schema.items, f"{path}[{position}]", found)
    elif isinstance(value, dict):
        properties, values = schema.properties, schema.values
        for name, entry in value.items():
            child = properties.get(name) or values
            if child is None:
                if not keeps_unknown(schema, name):
                    found.append(f"{path}.{name}" if path else name)
            elif isinstance(entry, dict | list):
                _collect(entry, child, f"{path}.{name}" if path else name, found)


def keeps_unknown(schema: Schema, name: str) -> bool:
    """Say whether a field that the schema does not list may stay."""
    if schema.open or schema.type != "object":
        return True
    if schema.embedded and name in _IMPLIED:
        return True
    return not schema.properties and schema.values is None and not schema.strict


def prune(value: Any, schema: Schema) -> None:
    """Remove the fields that the schema does not know, in place."""
    if isinstance(value, dict):
        _prune_object(value, schema)
    elif isinstance(value, list) and schema.items is not None:
        for entry in value:
            if isinstance(entry, dict | list):
                prune(entry, schema.items)


def _prune_object(value: Object, schema: Schema) -> None:
    for name in [name for name in value if schema.child(name) is None and not keeps_unknown(schema, name)]:
        del value[name]
    for name, entry in value.items():
        if isinstance(entry, dict | list) and (child := schema.child(name)) is not None:
            prune(entry, child)
