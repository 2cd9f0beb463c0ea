"""Validation: is every field known, of the right type, and meaningful? All causes at once, worded as Kubernetes.

What a schema knows is checked for every kind; what only a kind's meaning tells is in one module per family of kinds.
Next: an object without causes is stored.
"""

from roadstead.api.errors import BadRequest
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.admission.defaults import GATEWAY_API
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.schemas import CustomResource, schema_of
from roadstead.apiserver.schemas.checking import schema_causes, type_causes
from roadstead.apiserver.schemas.pruning import unknown_paths
from roadstead.apiserver.schemas.rules import rule_causes
from roadstead.apiserver.schemas.structure import MISSING
from roadstead.apiserver.validation.configuration import VALIDATORS as CONFIGURATION
from roadstead.apiserver.validation.definitions import VALIDATORS as DEFINITIONS
from roadstead.apiserver.validation.fields import Validator
from roadstead.apiserver.validation.metadata import validate_metadata
from roadstead.apiserver.validation.network import VALIDATORS as NETWORK
from roadstead.apiserver.validation.pods import validate_pod
from roadstead.apiserver.validation.workloads import VALIDATORS as WORKLOADS

__all__ = ["unknown_fields", "validate"]

_VALIDATORS: dict[tuple[str, str], Validator] = {
    ("", "Pod"): validate_pod,
    **CONFIGURATION,
    **DEFINITIONS,
    **NETWORK,
    **WORKLOADS,
}


def unknown_fields(resource: Resource, body: Object) -> list[str]:
    """Return the paths of fields that the schema does not know, such as `spec.template.spec.containers[0].imagee`.

    Raises BadRequest for a body that is nested beyond all reason.
    """
    try:
        found = unknown_paths(body, schema_of(resource))
    except RecursionError as error:
        raise BadRequest("the object is nested too deeply") from error
    return [path for path in found if path not in ("apiVersion", "kind")]


def validate(resource: Resource, new: Object, old: Object | None) -> Causes:
    """Return what is wrong with `new`, as causes for `api.errors.invalid`; `old` is the stored object of an update.

    `new` has its defaults (`defaults.apply_defaults`). Values of wrong types hide what else may be wrong. A write that
    leaves all but the status as it was is not refused for what was stored before.
    """
    found = _by_schema(resource, new)
    if any(reason == "FieldValueTypeInvalid" for reason, _, _ in found):
        return found
    found += rule_causes(new, MISSING if old is None else old, schema_of(resource), sound=not found)
    if old is not None and _without_status(new) == _without_status(old):
        return found
    return found + validate_metadata(resource, new, old) + _by_kind(resource, new, old)


def _by_schema(resource: Resource, new: Object) -> Causes:
    schema = schema_of(resource)
    if isinstance(resource, CustomResource) or resource.group == GATEWAY_API:
        return schema_causes(new, schema)
    return type_causes(new, schema)


def _by_kind(resource: Resource, new: Object, old: Object | None) -> Causes:
    if isinstance(resource, CustomResource) or resource.group == GATEWAY_API:
        return []
    validator = _VALIDATORS.get((resource.group, resource.kind))
    if validator is not None:
        return validator(new, old)
    # Nobody wrote down what this kind means; its schema at least says what must be there.
    return schema_causes(_without_status(new), schema_of(resource))


def _without_status(obj: Object) -> Object:
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key not in _KEPT_BY_THE_SERVER}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


_KEPT_BY_THE_SERVER = ("managedFields", "resourceVersion", "generation")
