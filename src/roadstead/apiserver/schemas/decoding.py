"""What Kubernetes says of a body that cannot be read into its Go types: one sentence about the first misfit.

The types are those of the generated protobuf table, which has every field's Go type. Asked only once something is known
to be wrong, so that sound requests pay nothing (encoding/json's decode.go and sigs.k8s.io/json, UnmarshalTypeError).
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from roadstead.api.quantities import parse_quantity
from roadstead.apiserver.schemas.checking import matches_format
from roadstead.apiserver.schemas.tables import protobuf_messages

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_RFC3339 = "2006-01-02T15:04:05Z07:00"
_MAX_DEPTH = 150


class _Misfit(Exception):
    """The first value that does not fit."""


class _Place:
    """Where the reader is: the innermost struct, and the fields on the way there, as Go's decoder keeps them."""

    __slots__ = ("depth", "fields", "struct")

    def __init__(self, struct: str, fields: tuple[str, ...], depth: int) -> None:
        self.struct, self.fields, self.depth = struct, fields, depth

    def into(self, struct: str, field: str) -> "_Place":
        return _Place(struct, (*self.fields, field), self.depth + 1)


def decoding_problem(value: Any, definition: str) -> str:
    """Return why a value cannot be read into the Go type of a definition, empty if it can or if nothing is known."""
    try:
        _read(value, definition, _Place("", (), 0))
    except _Misfit as misfit:
        return str(misfit)
    return ""


def _read(value: Any, type_: str, place: _Place) -> None:
    if value is None or place.depth > _MAX_DEPTH:
        return
    type_ = type_.lstrip("*")
    if (special := _SPECIAL.get(type_)) is not None:
        special(value, place)
    elif type_.startswith("[]") and type_ != "[]byte":
        _read_list(value, type_, place)
    elif type_.startswith("{}"):
        _read_map(value, type_, place)
    elif type_ in _SCALARS:
        _read_scalar(value, type_, place)
    elif type_ in protobuf_messages():
        _read_struct(value, type_, place)


def _read_list(value: Any, type_: str, place: _Place) -> None:
    if not isinstance(value, list):
        raise _mistyped(value, type_, place)
    for entry in value:
        _read(entry, type_[2:], place)


def _read_map(value: Any, type_: str, place: _Place) -> None:
    if not isinstance(value, dict):
        raise _mistyped(value, type_, place)
    for entry in value.values():
        _read(entry, type_[2:], place)


def _read_struct(value: Any, type_: str, place: _Place) -> None:
    if not isinstance(value, dict):
        raise _mistyped(value, type_, place)
    struct = type_.rpartition(".")[2]
    types = _fields_of(type_)
    for name, entry in value.items():
        if name in types:
            _read(entry, types[name], place.into(struct, name))


def _fields_of(type_: str) -> dict[str, str]:
    """Return the types of a struct's fields, those of embedded structs included."""
    found: dict[str, str] = {}
    for _, name, field_type, _ in protobuf_messages().get(type_, ()):
        found.update(_fields_of(field_type.lstrip("*")) if not name else {name: field_type})
    return found


_INTEGERS = {"int": 63, "int32": 31, "int64": 63, "byte": 8, "uint32": 32, "uint64": 64}
_SCALARS = {"string", "bool", "float64", "[]byte", "()string", *_INTEGERS}


def _read_scalar(value: Any, type_: str, place: _Place) -> None:
    if type_ == "()string":
        _read_list(value, "[]string", place)
    elif type_ == "[]byte":
        _read_bytes(value, place)
    elif type_ in _INTEGERS:
        _read_integer(value, type_, place)
    elif type_ == "float64":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _mistyped(value, type_, place)
    elif not isinstance(value, {"string": str, "bool": bool}[type_]):
        raise _mistyped(value, type_, place)


def _read_integer(value: Any, type_: str, place: _Place) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mistyped(value, type_, place)
    if not float(value).is_integer() or not -(1 << _INTEGERS[type_]) <= value < 1 << _INTEGERS[type_]:
        raise _misfit(f"number {value}", type_, place)


def _read_bytes(value: Any, place: _Place) -> None:
    if not isinstance(value, str):
        raise _mistyped(value, "[]uint8", place)
    text = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Misfit(f"illegal base64 data at input byte {_first_bad(text)}") from None


def _first_bad(text: str) -> int:
    sound = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return next((at for at, letter in enumerate(text) if letter not in sound), len(text) - len(text) % 4)


def _read_quantity(value: Any, place: _Place) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _mistyped(value, "resource.Quantity", place)
    try:
        parse_quantity(str(value))
    except ValueError as error:
        raise _Misfit(str(error)) from None


def _read_time(value: Any, place: _Place) -> None:
    if not isinstance(value, str):
        raise _misfit(_json_name(value), "string", _Place("", (), 0))
    if not matches_format(value, "date-time"):
        raise _Misfit(f'parsing time "{value}" as "{_RFC3339}": cannot parse "{value}" as "2006"')


def _read_int_or_string(value: Any, place: _Place) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _misfit(_json_name(value), "int32", _Place("", (), 0))
    _read_integer(value, "int32", _Place("", (), 0))


def _read_text(value: Any, place: _Place) -> None:
    if not isinstance(value, str):
        raise _misfit(_json_name(value), "string", _Place("", (), 0))


def _read_fields(value: Any, place: _Place) -> None:
    if not isinstance(value, dict):
        raise _mistyped(value, "v1.FieldsV1", place)


def _read_anything(value: Any, place: _Place) -> None:
    """Take it as it is: open content has no type."""


def _read_schemas(value: Any, place: _Place) -> None:
    """Read a schema where there may also be a list of them, a boolean or names."""
    for schema in value if isinstance(value, list) else [value]:
        if isinstance(schema, dict):
            _read(schema, _APIEXTENSIONS + "JSONSchemaProps", place)


_SPECIAL: dict[str, Callable[[Any, _Place], None]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _read_quantity,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _read_anything,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _read_int_or_string,
    _META + "Time": _read_time,
    _META + "MicroTime": _read_time,
    _META + "Duration": _read_text,
    _META + "FieldsV1": _read_fields,
    _APIEXTENSIONS + "JSON": _read_anything,
    _APIEXTENSIONS + "JSONSchemaPropsOrArray": _read_schemas,
    _APIEXTENSIONS + "JSONSchemaPropsOrBool": _read_schemas,
    _APIEXTENSIONS + "JSONSchemaPropsOrStringArray": _read_schemas,
}


def _mistyped(value: Any, type_: str, place: _Place) -> _Misfit:
    return _misfit(_json_name(value), type_, place)


def _misfit(found: str, type_: str, place: _Place) -> _Misfit:
    where = f"Go struct field {place.struct}.{'.'.join(place.fields)} of type" if place.struct else "Go value of type"
    return _Misfit(f"json: cannot unmarshal {found} into {where} {_go_type(type_)}")


def _json_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array"}
    return names.get(type(value), "object")


def _go_type(type_: str) -> str:
    """Write a type as Go prints it: `[]v1.Container`, `map[string]string`."""
    type_ = type_.lstrip("*")
    for prefix, printed in (("[]byte", "[]uint8"), ("()", "[]"), ("{}", "map[string]"), ("[]", "[]")):
        if type_.startswith(prefix):
            return printed + (_go_type(type_[len(prefix) :]) if prefix != "[]byte" else "")
    *_, package, name = ("", *type_.split("."))
    return f"{package}.{name}" if package else name
