"""What is wrong with one field, in the words of Kubernetes (apimachinery's pkg/util/validation/field/errors.go).

A cause is `(reason, field, message)`, the form that `api.errors.invalid` takes. Next: `schemas.checking` finds causes
that a schema knows of, `validation` those that only the meaning of a kind tells.
"""

import json
from collections.abc import Iterable
from typing import Any

Cause = tuple[str, str, str]
Causes = list[Cause]


def printed(value: Any) -> str:
    """Return a value as Kubernetes prints it in an error: strings in quotes, objects as JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def _worded(words: str, value: Any, detail: str) -> str:
    return f"{words}: {printed(value)}" + (f": {detail}" if detail else "")


def required(field: str, detail: str = "") -> Cause:
    """Say that a field must be set."""
    return ("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid(field: str, value: Any, detail: str) -> Cause:
    """Say that a field's value is malformed or out of bounds."""
    return ("FieldValueInvalid", field, _worded("Invalid value", value, detail))


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    """Say that a field's value is of the wrong type."""
    return ("FieldValueTypeInvalid", field, _worded("Invalid value", value, detail))


def not_supported(field: str, value: Any, supported: Iterable[Any]) -> Cause:
    """Say that a field's value is none of those that are known."""
    choices = ", ".join(printed(choice) for choice in supported)
    return ("FieldValueNotSupported", field, _worded("Unsupported value", value, f"supported values: {choices}"))


def duplicate(field: str, value: Any) -> Cause:
    """Say that a value is there twice where it must be unique."""
    return ("FieldValueDuplicate", field, _worded("Duplicate value", value, ""))


def forbidden(field: str, detail: str) -> Cause:
    """Say that a field may not be set here, or not be changed."""
    return ("FieldValueForbidden", field, f"Forbidden: {detail}")


def not_found(field: str, value: Any) -> Cause:
    """Say that a field refers to something that is not there."""
    return ("FieldValueNotFound", field, _worded("Not found", value, ""))


def too_long(field: str, limit: int) -> Cause:
    """Say that a text has more bytes than it may have."""
    return ("FieldValueTooLong", field, f"Too long: may not be more than {limit} {'byte' if limit == 1 else 'bytes'}")


def too_many(field: str, actual: int, limit: int) -> Cause:
    """Say that a list or map has more entries than it may have."""
    items = "item" if limit == 1 else "items"
    return ("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} {items}")
