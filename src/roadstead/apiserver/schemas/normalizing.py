"""One spelling for what can be written in several ways: nulls that mean "not set", and quantities.

Kubernetes gets this from decoding into Go types and encoding again; we keep the object and mend it in place.
"""

from typing import Any

from roadstead.api.objects import Object
from roadstead.api.quantities import canonical_quantity
from roadstead.apiserver.schemas.structure import Schema


def normalize(value: Any, schema: Schema) -> None:
    """Drop nulls and spell quantities canonically in a value whose types are right; open content stays as it is."""
    if isinstance(value, dict):
        _normalize_object(value, schema)
    elif isinstance(value, list) and schema.items is not None:
        for position, entry in enumerate(value):
            if isinstance(entry, dict | list):
                normalize(entry, schema.items)
            elif schema.items.type == "quantity":
                value[position] = _spelled(entry)


def _normalize_object(value: Object, schema: Schema) -> None:
    properties, values = schema.properties, schema.values
    dropped: list[str] = []
    for name, entry in value.items():
        child = properties.get(name) or values
        if child is None:
            continue
        if entry is None:
            if not child.nullable and child.type != "any":
                dropped.append(name)
        elif isinstance(entry, dict | list):
            normalize(entry, child)
        elif child.type == "quantity":
            value[name] = _spelled(entry)
    for name in dropped:
        del value[name]


def _spelled(entry: Any) -> Any:
    """Return the canonical form of a quantity; what is none stays for validation to name."""
    try:
        return canonical_quantity(entry if isinstance(entry, str) else f"{entry:.9f}".rstrip("0").rstrip("."))
    except (ValueError, TypeError):
        return entry
