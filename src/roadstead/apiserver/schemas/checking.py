"""Values against schemas: types, and whatever else a schema demands, with the field's path and all causes at once.

Wording follows kube-openapi's pkg/validation and apiextensions' pkg/apiserver/validation, which check CRDs in
Kubernetes. CEL rules (`x-kubernetes-validations`) are evaluated by `rules`.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Cause, Causes
from roadstead.apiserver.schemas.structure import Schema

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "int-or-string": (int, str),
    "quantity": (int, float, str),
}
_MAX_DEPTH = 150


def type_name(value: Any) -> str:
    """Return the JSON name of a value's type."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "object")


def type_causes(value: Any, schema: Schema, path: str = "") -> Causes:
    """Return a cause for every value of the wrong type, as its reader would need to mend it."""
    found: Causes = []
    _check_types(value, schema, path, found, 0)
    return found


def _check_types(value: Any, schema: Schema, path: str, found: Causes, depth: int) -> None:
    wanted = _PYTHON_TYPES.get(schema.type)
    if wanted is not None and (not isinstance(value, wanted) or isinstance(value, bool) is not (wanted == (bool,))):
        # Null is "not set", except as an entry of a list.
        if value is not None and not _is_whole(value, schema):
            found.append(_mistyped(value, schema, path))
    elif depth > _MAX_DEPTH:
        found.append(causes.invalid(path, "", "nested too deeply"))
    elif isinstance(value, dict):
        for name, entry in value.items():
            child = schema.properties.get(name) or schema.values
            if child is not None:
                _check_types(entry, child, f"{path}.{name}" if path else name, found, depth + 1)
    elif isinstance(value, list):
        _check_entry_types(value, schema.items, path, found, depth)
    elif (check := _SPELLINGS.get(schema.format or schema.type)) is not None:
        found += [causes.type_invalid(path, type_name(value), problem) for problem in check(value)]


def _check_entry_types(value: list[Any], schema: Schema | None, path: str, found: Causes, depth: int) -> None:
    if schema is None:
        return
    for position, entry in enumerate(value):
        if entry is None and schema.type != "any":
            found.append(_mistyped(None, schema, f"{path}[{position}]"))
        _check_types(entry, schema, f"{path}[{position}]", found, depth + 1)


def _time_problems(value: Any) -> list[str]:
    return [] if matches_format(value, "date-time") else ["must be a time like 2026-01-31T00:00:00Z"]


def _byte_problems(value: Any) -> list[str]:
    return [] if _is_base64(value.replace("\n", "").replace("\r", "")) else ["must be base64 encoded"]


def _number_problems(value: Any) -> list[str]:
    return [] if not isinstance(value, int) or -(1 << 31) <= value < 1 << 31 else ["must be a number of 32 bits"]


def _long_problems(value: Any) -> list[str]:
    return [] if not isinstance(value, int) or -(1 << 63) <= value < 1 << 63 else ["must be a number of 64 bits"]


def _quantity_problems(value: Any) -> list[str]:
    try:
        parse_quantity(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        return [str(error)]
    return []


_SPELLINGS: dict[str, Callable[[Any], list[str]]] = {
    "byte": _byte_problems,
    "date-time": _time_problems,
    "int-or-string": _number_problems,
    "int32": _number_problems,
    "int64": _long_problems,
    "quantity": _quantity_problems,
}
"""How values of a right JSON type must be written to be what their format or type says."""


def _is_whole(value: Any, schema: Schema) -> bool:
    """Say whether a number like 3.0 stands where an integer is wanted; JSON does not tell them apart."""
    return schema.type == "integer" and isinstance(value, float) and value.is_integer()


def _mistyped(value: Any, schema: Schema, path: str) -> causes.Cause:
    """Return the cause for a value of a wrong type; it names the type and not the value, which may be a secret."""
    hint = ""
    if schema.type == "string" and isinstance(value, int | float):
        hint = "; put it in quotes"
    kinds = {"int-or-string": "integer or string", "quantity": "string or number"}
    return causes.type_invalid(path, type_name(value), f"must be of type {kinds.get(schema.type, schema.type)}{hint}")


def schema_causes(value: Any, schema: Schema, path: str = "") -> Causes:
    """Return everything about a value that its schema does not allow."""
    found: Causes = []
    _check(value, schema, path, found, 0)
    return found


def _check(value: Any, schema: Schema, path: str, found: Causes, depth: int) -> None:
    if value is None and (schema.nullable or schema.type == "any"):
        return
    wanted = _PYTHON_TYPES.get(schema.type)
    if wanted is not None and (not isinstance(value, wanted) or isinstance(value, bool) is not (wanted == (bool,))):
        if not _is_whole(value, schema):
            found.append(_wrong_type(value, schema, path))
        return
    if depth > _MAX_DEPTH:
        found.append(causes.invalid(path, "", "nested too deeply"))
        return
    if schema.enum and value not in schema.enum:
        found.append(_none_of(path, value, schema.enum))
    for check in _CHECKS.get(type(value), ()):
        check(value, schema, path, found)
    _check_children(value, schema, path, found, depth)
    if schema.all_of or schema.any_of or schema.one_of or schema.not_:
        _check_combinations(value, schema, path, found)


def _wrong_type(value: Any, schema: Schema, path: str) -> causes.Cause:
    shown = "null" if value is None else type_name(value)
    kind = "integer,string" if schema.type == "int-or-string" else schema.type
    where = path or "<nil>"
    return causes.type_invalid(path, shown, f'{where} in body must be of type {kind}: "{shown}"')


def _check_children(value: Any, schema: Schema, path: str, found: Causes, depth: int) -> None:
    if isinstance(value, dict):
        for name in schema.required:
            if name not in value:
                found.append(causes.required(f"{path}.{name}" if path else name))
        for name, entry in value.items():
            child = schema.properties.get(name) or schema.values
            if child is not None:
                _check(entry, child, f"{path}.{name}" if path else name, found, depth + 1)
    elif isinstance(value, list) and schema.items is not None:
        for position, entry in enumerate(value):
            _check(entry, schema.items, f"{path}[{position}]", found, depth + 1)


def _check_text(value: str, schema: Schema, path: str, found: Causes) -> None:
    limits = schema.limits
    if (limit := limits.get("maxLength")) is not None and len(value) > limit:
        found.append(causes.too_long(path, limit))
    if (limit := limits.get("minLength")) is not None and len(value) < limit:
        found.append(causes.invalid(path, value, f"{path} in body should be at least {limit} chars long"))
    found += _pattern_causes(value, schema, path)
    if schema.format and not matches_format(value, schema.format):
        detail = f"{path} in body must be of type {schema.format}: {json.dumps(value)}"
        found.append(causes.type_invalid(path, value, detail))


def _pattern_causes(value: str, schema: Schema, path: str) -> Causes:
    if schema.pattern is None or schema.pattern.search(value):
        return []
    return [causes.invalid(path, value, f"{path} in body should match '{schema.pattern_text}'")]


def _check_number(value: float, schema: Schema, path: str, found: Causes) -> None:
    limits = schema.limits
    if not limits:
        return
    if (limit := limits.get("maximum")) is not None:
        strict = limits.get("exclusiveMaximum")
        if value > limit or (strict and value == limit):
            words = "less than" if strict else "less than or equal to"
            found.append(causes.invalid(path, value, f"{path} in body should be {words} {limit:g}"))
    if (limit := limits.get("minimum")) is not None:
        strict = limits.get("exclusiveMinimum")
        if value < limit or (strict and value == limit):
            words = "greater than" if strict else "greater than or equal to"
            found.append(causes.invalid(path, value, f"{path} in body should be {words} {limit:g}"))
    if (factor := limits.get("multipleOf")) and value % factor:
        found.append(causes.invalid(path, value, f"{path} in body should be a multiple of {factor:g}"))


def _check_list(value: list[Any], schema: Schema, path: str, found: Causes) -> None:
    limits = schema.limits
    if (limit := limits.get("maxItems")) is not None and len(value) > limit:
        found.append(causes.too_many(path, len(value), limit))
    if (limit := limits.get("minItems")) is not None and len(value) < limit:
        found.append(causes.invalid(path, len(value), f"{path} in body should have at least {limit} items"))
    if schema.list_type in ("map", "set"):
        _check_duplicates(value, schema, path, found)


def _check_duplicates(value: list[Any], schema: Schema, path: str, found: Causes) -> None:
    seen: set[str] = set()
    for position, entry in enumerate(value):
        identity = entry
        if schema.list_type == "map" and isinstance(entry, dict):
            identity = {key: entry[key] for key in schema.map_keys if key in entry}
        text = json.dumps(identity, sort_keys=True)
        if text in seen:
            found.append(causes.duplicate(f"{path}[{position}]", identity))
        seen.add(text)


def _none_of(path: str, value: Any, choices: Iterable[Any]) -> Cause:
    """Say that a value is none of the choices, which are named in the schema's order."""
    named = ", ".join(map(causes.printed, choices))
    return ("FieldValueNotSupported", path, f"Unsupported value: {causes.printed(value)}: supported values: {named}")


def _check_size(value: dict[str, Any], schema: Schema, path: str, found: Causes) -> None:
    limits = schema.limits
    if (limit := limits.get("maxProperties")) is not None and len(value) > limit:
        found.append(causes.too_many(path, len(value), limit))
    if (limit := limits.get("minProperties")) is not None and len(value) < limit:
        found.append(causes.invalid(path, value, f"{path} in body should have at least {limit} properties"))


_CHECKS: dict[type, tuple[Callable[[Any, Schema, str, Causes], None], ...]] = {
    str: (_check_text,),
    int: (_check_number,),
    float: (_check_number,),
    list: (_check_list,),
    dict: (_check_size,),
}


def _check_combinations(value: Any, schema: Schema, path: str, found: Causes) -> None:
    for part in schema.all_of:
        _check(value, part, path, found, 0)
    fitting = sum(not schema_causes(value, part, path) for part in schema.any_of)
    if schema.any_of and not fitting:
        found.append(causes.invalid(path, "", f'"{path}" must validate at least one schema (anyOf)'))
    fitting = sum(not schema_causes(value, part, path) for part in schema.one_of)
    if schema.one_of and fitting != 1:
        outcome = "Found none valid" if not fitting else f"Found {fitting} valid alternatives"
        found.append(causes.invalid(path, "", f'"{path}" must validate one and only one schema (oneOf). {outcome}'))
    if schema.not_ is not None and not schema_causes(value, schema.not_, path):
        found.append(causes.invalid(path, "", f'"{path}" must not validate the schema (not)'))


# Formats that apiextensions enforces; any other is documentation.


def _is_base64(value: str) -> bool:
    try:
        return bool(base64.b64decode(value, validate=True)) or not value
    except (binascii.Error, ValueError):
        return False


_LONGEST_TIME = 64


def _is_date_time(value: str) -> bool:
    return len(value) <= _LONGEST_TIME and _is_moment(value)


@lru_cache(4096)
def _is_moment(value: str) -> bool:
    try:
        return "T" in value.upper() and datetime.fromisoformat(value.upper().replace("Z", "+00:00")).tzinfo is not None
    except ValueError:
        return False


def _is_date(value: str) -> bool:
    try:
        return len(value) == len("2026-01-31") and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_address(value: str, version: int) -> bool:
    try:
        return ip_address(value).version == version
    except ValueError:
        return False


def _is_network(value: str) -> bool:
    try:
        return "/" in value and bool(ip_network(value, strict=False))
    except ValueError:
        return False


_DURATION = r"[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+|[-+]?0"
_UUID = r"(?i)[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}"
_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_date_time,
    "date": _is_date,
    "duration": lambda value: re.fullmatch(_DURATION, value) is not None,
    "ipv4": lambda value: _is_address(value, 4),
    "ipv6": lambda value: _is_address(value, 6),
    "cidr": _is_network,
    "uuid": lambda value: re.fullmatch(_UUID, value) is not None,
    "byte": lambda value: re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", "".join(value.split())) is not None,
}


def matches_format(value: str, format_: str) -> bool:
    """Say whether a text has the format that a schema names; formats that nobody enforces always match."""
    check = _FORMATS.get(format_)
    return check is None or check(value)
