"""Validation: is every field known, of the right type, and meaningful? All causes at once, worded as Kubernetes.

What a schema knows is checked for every kind; what only a kind's meaning tells is in one module per family of kinds.
Next: an object without causes is stored.
"""

from roadstead.api.errors import ApiError, BadRequest, invalid
from roadstead.api.objects import Object, clone
from roadstead.api.resources import Resource
from roadstead.apiserver.admission.defaults import GATEWAY_API
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.parts import fresh
from roadstead.apiserver.schemas import CustomResource, schema_of
from roadstead.apiserver.schemas.checking import schema_causes, type_causes
from roadstead.apiserver.schemas.decoding import decoding_problem
from roadstead.apiserver.schemas.normalizing import normalize
from roadstead.apiserver.schemas.pruning import unknown_paths
from roadstead.apiserver.schemas.rules import rule_causes
from roadstead.apiserver.schemas.structure import MISSING
from roadstead.apiserver.schemas.tables import definition_names
from roadstead.apiserver.validation.admission_policies import VALIDATORS as ADMISSION_POLICIES
from roadstead.apiserver.validation.autoscalers import VALIDATORS as AUTOSCALERS
from roadstead.apiserver.validation.configuration import VALIDATORS as CONFIGURATION
from roadstead.apiserver.validation.declarative import declared_last
from roadstead.apiserver.validation.definitions import VALIDATORS as DEFINITIONS
from roadstead.apiserver.validation.fields import Validator
from roadstead.apiserver.validation.jobs import VALIDATORS as JOBS
from roadstead.apiserver.validation.limits import VALIDATORS as LIMITS
from roadstead.apiserver.validation.metadata import validate_metadata
from roadstead.apiserver.validation.network import VALIDATORS as NETWORK
from roadstead.apiserver.validation.others import VALIDATORS as OTHERS
from roadstead.apiserver.validation.persistent_volumes import VALIDATORS as PERSISTENT_VOLUMES
from roadstead.apiserver.validation.pods import validate_pod
from roadstead.apiserver.validation.services import VALIDATORS as SERVICES
from roadstead.apiserver.validation.storage import VALIDATORS as STORAGE
from roadstead.apiserver.validation.workloads import VALIDATORS as WORKLOADS

__all__ = ["Undecodable", "check_types", "refusal", "unknown_fields", "validate"]

_VALIDATORS: dict[tuple[str, str], Validator] = {
    ("", "Pod"): validate_pod,
    **ADMISSION_POLICIES,
    **AUTOSCALERS,
    **CONFIGURATION,
    **DEFINITIONS,
    **JOBS,
    **LIMITS,
    **NETWORK,
    **OTHERS,
    **PERSISTENT_VOLUMES,
    **SERVICES,
    **STORAGE,
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


class Undecodable(BadRequest):
    """A body whose values are not of the types that its kind has; `problem` is what Kubernetes' decoder says of it."""

    def __init__(self, resource: Resource, problem: str) -> None:
        kind = resource.kind
        super().__init__(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {problem}')
        self.problem = problem


def check_types(resource: Resource, body: Object) -> None:
    """Refuse a body of a built-in kind that has values of wrong types. Raises Undecodable."""
    found = [] if _is_custom(resource) else type_causes(body, schema_of(resource))
    if found:
        raise refusal(resource, body, found)


def refusal(resource: Resource, obj: Object, causes: Causes) -> ApiError:
    """Return the error for what is wrong with an object.

    Values of wrong types are no object of a built-in kind at all, so that is a bad request; those of a custom one are
    invalid like anything else that its schema does not allow.
    """
    mistyped = next((cause for cause in causes if cause[0] == "FieldValueTypeInvalid"), None)
    if mistyped is not None and not _is_custom(resource):
        name = definition_names().get((resource.group, resource.version, resource.kind), "")
        return Undecodable(resource, decoding_problem(obj, name) or f"{mistyped[1]}: {mistyped[2]}")
    metadata = obj.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    return invalid(resource.kind, resource.group, name, causes)


def _is_custom(resource: Resource) -> bool:
    return isinstance(resource, CustomResource) or resource.group == GATEWAY_API


def validate(resource: Resource, new: Object, old: Object | None) -> Causes:
    """Return what is wrong with `new`, as causes for `api.errors.invalid`; `old` is the stored object of an update.

    `new` has its defaults (`defaults.apply_defaults`). Values of wrong types hide what else may be wrong. A write that
    leaves all but the status as it was is not refused for what was stored before.
    """
    found, schema = _by_schema(resource, new, old), schema_of(resource)
    reasons = {reason for reason, _, _ in found}
    blocked = isinstance(resource, CustomResource) and schema.has_rules() and not _BLOCKING.isdisjoint(reasons)
    if blocked:
        found.append(_UNCHECKED)
    if "FieldValueTypeInvalid" in reasons:
        return found
    if not blocked:
        found += rule_causes(new, MISSING if old is None else old, schema, sound=not found)
    if old is not None and _without_status(new) == _without_status(old):
        return found
    found += validate_metadata(resource, new, old) + _by_kind(resource, new, old)
    return declared_last(resource.group, resource.kind, found)


def _by_schema(resource: Resource, new: Object, old: Object | None) -> Causes:
    schema = schema_of(resource)
    if _is_custom(resource):
        return schema_causes(new, schema)
    return type_causes(fresh(new, old), schema)


def _by_kind(resource: Resource, new: Object, old: Object | None) -> Causes:
    if _is_custom(resource):
        return []
    validator = _VALIDATORS.get((resource.group, resource.kind))
    if validator is not None:
        return validator(new, old)
    # Nobody wrote down what this kind means; its schema at least says what must be there. A null is nothing.
    said: Object = clone(_without_status(new))
    normalize(said, schema_of(resource))
    return schema_causes(said, schema_of(resource))


def _without_status(obj: Object) -> Object:
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key not in _KEPT_BY_THE_SERVER}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


_BLOCKING = frozenset({
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
})  # fmt: skip
_UNCHECKED = (
    "FieldValueInvalid",
    "<nil>",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
"""What is said instead of what rules find in an object of a custom kind that is not even of its form."""
_KEPT_BY_THE_SERVER = ("managedFields", "resourceVersion", "generation")
