"""Validation: is every field known, of the right type, and meaningful? All causes at once, worded as Kubernetes.

What the schema knows is checked for every kind; what only a kind's meaning tells is in one module per family of kinds.
Next: an object without causes is stored.
"""

from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.schemas import CustomResource, schema_of
from roadstead.apiserver.schemas.checking import schema_causes, type_causes
from roadstead.apiserver.schemas.pruning import unknown_paths

__all__ = ["unknown_fields", "validate"]


def unknown_fields(resource: Resource, body: Object) -> list[str]:
    """Return the paths of fields that the schema does not know, such as `spec.template.spec.containers[0].imagee`."""
    return [path for path in unknown_paths(body, schema_of(resource)) if path not in ("apiVersion", "kind")]


def validate(resource: Resource, new: Object, old: Object | None) -> Causes:
    """Return what is wrong with `new`, as causes for `api.errors.invalid`; `old` is the stored object of an update.

    `new` has its defaults (`defaults.apply_defaults`). A value of a wrong type hides what else may be wrong with it.
    """
    schema = schema_of(resource)
    if isinstance(resource, CustomResource):
        return schema_causes(new, schema)
    return type_causes(new, schema)
