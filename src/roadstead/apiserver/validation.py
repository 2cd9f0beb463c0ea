"""Validation: is every field known, of the right type, and meaningful? All causes at once, worded as Kubernetes."""

from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.schemas import Schema, schema_of

Causes = list[tuple[str, str, str]]


def unknown_fields(resource: Resource, body: Object) -> list[str]:
    """Return the paths of fields that the schema does not know, such as `spec.template.spec.containers[0].imagee`."""
    found: list[str] = []
    _unknown(body, schema_of(resource), "", found)
    return [path for path in found if path not in ("apiVersion", "kind")]


def _unknown(value: object, schema: Schema, path: str, found: list[str]) -> None:
    if isinstance(value, dict):
        _unknown_in_object(value, schema, path, found)
    elif isinstance(value, list) and schema.items is not None:
        for position, entry in enumerate(value):
            if isinstance(entry, dict | list):
                _unknown(entry, schema.items, f"{path}[{position}]", found)


def _unknown_in_object(value: Object, schema: Schema, path: str, found: list[str]) -> None:
    properties, values = schema.properties, schema.values
    for key, entry in value.items():
        child = properties.get(key) or values
        if child is None:
            if properties and not schema.open:
                found.append(f"{path}.{key}" if path else key)
        elif isinstance(entry, dict | list):
            _unknown(entry, child, f"{path}.{key}" if path else key, found)


def validate(resource: Resource, new: Object, old: Object | None) -> Causes:
    """Return what is wrong with `new`, as causes for `api.errors.invalid`; `old` is the stored object of an update."""
    return []
