"""Defaults that a schema states: what objects of CRDs and the Gateway API's kinds get filled in.

apiextensions' pkg/apiserver/schema/defaulting: a default applies where a field is absent, or null without being allowed
to be; a default may itself be an object whose fields have defaults.
"""

from typing import Any

from roadstead.api.objects import Object, clone
from roadstead.apiserver.schemas.structure import MISSING, Schema


def fill_in(value: Any, schema: Schema) -> None:
    """Fill in the defaults of everything inside a value, in place."""
    if isinstance(value, dict):
        _fill_in_object(value, schema)
    elif isinstance(value, list) and schema.items is not None:
        for entry in value:
            if isinstance(entry, dict | list):
                fill_in(entry, schema.items)


def _fill_in_object(value: Object, schema: Schema) -> None:
    for name, field in schema.properties.items():
        if field.default is not MISSING and (name not in value or (value[name] is None and not field.nullable)):
            value[name] = clone(field.default)
    for name, entry in value.items():
        if isinstance(entry, dict | list) and (child := schema.child(name)) is not None:
            fill_in(entry, child)
