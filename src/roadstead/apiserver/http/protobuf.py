r"""Protobuf request bodies: client-go's generated clients send nothing else for built-in kinds.

A body is the magic `k8s\0` and a `runtime.Unknown` around the object (apimachinery's pkg/runtime/types.go). Field
numbers and which empty values mean "not set" come from the generated table; answers may always be JSON, so nothing is
ever encoded. Next: the object is handled like any decoded JSON.
"""

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from roadstead.api.errors import BadRequest, UnsupportedMediaType
from roadstead.api.objects import Object
from roadstead.apiserver.schemas.tables import definition_names, protobuf_messages

MAGIC = b"k8s\x00"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_ZERO_TIME = -62135596800
_MAX_DEPTH = 100

Wire = int | bytes
Reader = Callable[[Wire, int], Any]
"""Makes JSON of a value on the wire; the number is the depth of nesting."""


def decode(body: bytes) -> Object:
    """Return the object in a protobuf body, `apiVersion` and `kind` included.

    Raises BadRequest for a body that is malformed or of a kind that has no protobuf form, and UnsupportedMediaType for
    an encoding inside the envelope.
    """
    if not body.startswith(MAGIC):
        raise BadRequest("the body does not start with the protobuf magic number of Kubernetes")
    try:
        envelope = dict(_fields(body[len(MAGIC) :]))
        kind = {number: _text(value, 0) for number, value in _fields(_bytes(envelope.get(1, b"")))}
        api_version, name = kind.get(1, ""), kind.get(2, "")
        if envelope.get(3):
            raise UnsupportedMediaType(f"content encoding {_text(envelope[3], 0)!r} is not supported")
        decoded = _message(_definition(api_version, name))(_bytes(envelope.get(2, b"")), 0)
    except ValueError as error:
        raise BadRequest(f"the protobuf body cannot be decoded: {error}") from error
    return {"apiVersion": api_version, "kind": name, **decoded}


def _definition(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    name = definition_names().get((group, version, kind), _META + kind)
    if name not in protobuf_messages():
        raise ValueError(f"no kind {kind!r} is registered for version {api_version!r}")
    return name


# The wire format: https://protobuf.dev/programming-guides/encoding/


def _fields(message: bytes) -> Iterator[tuple[int, Wire]]:
    """Yield the field numbers and values of a message. Raises ValueError for a truncated or malformed one."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, position = _varint(message, position)
        elif not length:
            raise ValueError(f"wire type {kind} is not used by Kubernetes")
        if position + length > end:
            raise ValueError("unexpected end of the message")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    for byte in message[position : position + 10]:
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise ValueError("unexpected end of a number")


def _bytes(value: Wire) -> bytes:
    if isinstance(value, int):
        raise ValueError("expected bytes, got a number")
    return value


def _signed(value: Wire) -> int:
    if not isinstance(value, int):
        raise ValueError("expected a number, got bytes")
    return value - (1 << 64) if value >> 63 else value


# Readers of scalars and of the types that write themselves as JSON in a way of their own.


def _text(value: Wire, depth: int) -> str:
    return _bytes(value).decode()


def _number(value: Wire, depth: int) -> int:
    return _signed(value)


def _flag(value: Wire, depth: int) -> bool:
    return bool(_signed(value))


def _float(value: Wire, depth: int) -> float:
    content = _bytes(value)
    if len(content) != 8:
        raise ValueError("expected eight bytes of a floating point number")
    number: float = struct.unpack("<d", content)[0]
    return number


def _base64(value: Wire, depth: int) -> str:
    return base64.b64encode(_bytes(value)).decode()


def _list_message(value: Wire, depth: int) -> list[str]:
    """A named list of strings is a message of its own, such as ExtraValue."""
    return [_text(entry, depth) for _, entry in _fields(_bytes(value))]


def _quantity(value: Wire, depth: int) -> str:
    return _text(dict(_fields(_bytes(value))).get(1, b""), depth) or "0"


def _time(value: Wire, depth: int) -> str | None:
    moment, _ = _moment(value)
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _micro_time(value: Wire, depth: int) -> str | None:
    moment, nanoseconds = _moment(value)
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"


def _moment(value: Wire) -> tuple[datetime | None, int]:
    numbers = {number: _signed(entry) for number, entry in _fields(_bytes(value))}
    seconds, nanoseconds = numbers.get(1, 0), numbers.get(2, 0)
    if seconds in (0, _ZERO_TIME) and not nanoseconds:
        return None, 0
    try:
        return datetime.fromtimestamp(seconds, UTC), nanoseconds % 1_000_000_000
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} seconds are out of the range of time") from error


def _duration(value: Wire, depth: int) -> str:
    return go_duration(_signed(dict(_fields(_bytes(value))).get(1, 0)))


def go_duration(nanoseconds: int) -> str:
    """Return a duration as Go prints it: `1h0m0s`, `1.5s`, `300ms`."""
    if abs(nanoseconds) < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1000), ("ns", 1)):
            if abs(nanoseconds) >= size:
                return f"{_decimal(nanoseconds, size)}{unit}"
        return "0s"
    sign, left = "-" if nanoseconds < 0 else "", abs(nanoseconds)
    minutes, rest = divmod(left, 60_000_000_000)
    seconds = f"{_decimal(rest, 1_000_000_000)}s"
    if not minutes:
        return sign + seconds
    return f"{sign}{minutes // 60}h{minutes % 60}m{seconds}" if minutes >= 60 else f"{sign}{minutes}m{seconds}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(abs(value), unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return ("-" if value < 0 else "") + (f"{whole}.{digits}" if digits else str(whole))


def _json(value: Wire, depth: int) -> Any:
    raw = dict(_fields(_bytes(value))).get(1, b"")
    return msgspec.json.decode(_bytes(raw)) if raw else None


def _int_or_string(value: Wire, depth: int) -> int | str:
    union = dict(_fields(_bytes(value)))
    if _signed(union.get(1, 0)) == 1:
        return _text(union.get(3, b""), depth)
    return _signed(union.get(2, 0))


def _schema_or_array(value: Wire, depth: int) -> Any:
    members = list(_fields(_bytes(value)))
    schemas = [_nested_schema(entry, depth) for number, entry in members if number == 2]
    return schemas or _first_schema(members, depth)


def _first_schema(members: list[tuple[int, Wire]], depth: int) -> Any:
    return next((_nested_schema(entry, depth) for number, entry in members if number == 1), None)


def _schema_or_bool(value: Wire, depth: int) -> Any:
    union = dict(_fields(_bytes(value)))
    return _nested_schema(union[2], depth) if 2 in union else bool(_signed(union.get(1, 0)))


def _schema_or_strings(value: Wire, depth: int) -> Any:
    members = list(_fields(_bytes(value)))
    strings = [_text(entry, depth) for number, entry in members if number == 2]
    return strings or _first_schema(members, depth)


def _nested_schema(value: Wire, depth: int) -> Any:
    return _message(_APIEXTENSIONS + "JSONSchemaProps")(value, depth + 1)


_READERS: dict[str, Reader] = {
    "string": _text,
    "bool": _flag,
    "int": _number,
    "int32": _number,
    "int64": _number,
    "uint32": _number,
    "uint64": _number,
    "byte": _number,
    "float64": _float,
    "[]byte": _base64,
    "()string": _list_message,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _quantity,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _json,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "Duration": _duration,
    _META + "FieldsV1": _json,
    _APIEXTENSIONS + "JSON": _json,
    _APIEXTENSIONS + "JSONSchemaPropsOrArray": _schema_or_array,
    _APIEXTENSIONS + "JSONSchemaPropsOrBool": _schema_or_bool,
    _APIEXTENSIONS + "JSONSchemaPropsOrStringArray": _schema_or_strings,
}


# Messages: put into the object what each field says.

Putter = Callable[[Object, Wire, int], None]


@cache
def _message(definition: str) -> Reader:
    """Return the reader of a message; one of which the table knows nothing is an empty object."""
    putters: dict[int, Putter] = {}

    def read(value: Wire, depth: int) -> Object:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        obj: Object = {}
        for number, entry in _fields(_bytes(value)):
            if (put := putters.get(number)) is not None:
                put(obj, entry, depth + 1)
        return obj

    for number, name, type_, omit_empty in protobuf_messages().get(definition, ()):
        putters[number] = _putter(name, type_, omit_empty)
    return read


def _lazy(type_: str) -> Reader:
    """Return a reader that looks up a message only when it is used: messages refer to each other in circles."""
    return _READERS.get(type_) or (lambda value, depth: _message(type_)(value, depth))


def _putter(name: str, type_: str, omit_empty: bool) -> Putter:
    if type_.startswith("{}"):
        return _map_putter(name, type_[2:])
    if type_.startswith("[]") and type_ != "[]byte":
        return _list_putter(name, _lazy(type_[2:].lstrip("*")))
    read = _lazy(type_.lstrip("*"))
    if not name:
        return lambda obj, value, depth: obj.update(read(value, depth))
    if type_.startswith("*"):
        return lambda obj, value, depth: _put_unless(obj, name, read(value, depth), (None,))
    said = type_ in _SCALARS and not omit_empty
    return lambda obj, value, depth: _put_unless(obj, name, read(value, depth), (None,) if said else _EMPTY)


_SCALARS = frozenset(_READERS) - {name for name in _READERS if "." in name}
_EMPTY: tuple[Any, ...] = (None, "", 0, {})


def _put_unless(obj: Object, name: str, value: Any, absent: tuple[Any, ...]) -> None:
    if value not in absent:
        obj[name] = value


def _list_putter(name: str, read: Reader) -> Putter:
    def put(obj: Object, value: Wire, depth: int) -> None:
        obj.setdefault(name, []).append(read(value, depth))

    return put


def _map_putter(name: str, type_: str) -> Putter:
    read = _lazy(type_)
    empty: Wire = 0 if type_ in ("bool", "int", "int32", "int64") else b""

    def put(obj: Object, value: Wire, depth: int) -> None:
        entry = dict(_fields(_bytes(value)))
        obj.setdefault(name, {})[_text(entry.get(1, b""), depth)] = read(entry.get(2, empty), depth)

    return put
