"""The OpenAPI v2 document as protobuf (gnostic's OpenAPIv2.proto): the only form in which client-go reads it.

A message is what `_MESSAGES` says of it: for each key of the JSON the field's number and how its value is written. All
other keys that begin with `x-` are vendor extensions, whose values are written as YAML, of which JSON is a part.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from roadstead.api.objects import ReadOnlyObject

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED_FOR = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""What clients call it; the second is no proper media type, so no answer may be called so."""
Writer = Callable[[int, Any], bytes]
"""Writes a field: its number and its JSON value become bytes on the wire."""


def encode(swagger: ReadOnlyObject) -> bytes:
    """Return the message of a whole document."""
    return _encoded("Document", swagger)


# The wire format: https://protobuf.dev/programming-guides/encoding/


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, value: Any) -> bytes:
    return _delimited(number, str(value).encode("utf-8", "replace"))


def _flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(int(bool(value)))


def _integer(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _double(number: int, value: Any) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", float(value))


def _texts(number: int, value: Any) -> bytes:
    return b"".join(_text(number, entry) for entry in value)


def _any(number: int, value: Any) -> bytes:
    return _delimited(number, _delimited(2, msgspec.json.encode(value)))


def _anys(number: int, value: Any) -> bytes:
    return b"".join(_any(number, entry) for entry in value)


def _message(name: str) -> Writer:
    return lambda number, value: _delimited(number, _encoded(name, value))


def _messages(name: str) -> Writer:
    return lambda number, value: b"".join(_delimited(number, _encoded(name, entry)) for entry in value)


def _named(name: str, inside: int = 1, *around: int) -> Writer:
    """Write a map as a message of named entries; `around` are the numbers of messages that wrap each value."""

    def write(number: int, value: Any) -> bytes:
        entries = b"".join(_delimited(inside, _text(1, key) + _wrapped(name, entry)) for key, entry in value.items())
        return _delimited(number, entries)

    def _wrapped(name: str, entry: Any) -> bytes:
        content = _encoded(name, entry)
        for number in around:
            content = _delimited(number, content)
        return _delimited(2, content)

    return write


def _type(number: int, value: Any) -> bytes:
    return _delimited(number, _texts(1, [value] if isinstance(value, str) else value))


def _items(number: int, value: Any) -> bytes:
    return _delimited(number, _delimited(1, _encoded("Schema", value)))


def _additional(number: int, value: Any) -> bytes:
    if isinstance(value, bool):
        return _delimited(number, _flag(2, value))
    return _delimited(number, _delimited(1, _encoded("Schema", value)))


def _schema_item(number: int, value: Any) -> bytes:
    return _delimited(number, _delimited(1, _encoded("Schema", value)))


def _parameters(number: int, value: Any) -> bytes:
    return b"".join(_delimited(number, _delimited(1, _parameter(entry))) for entry in value)


def _parameter(value: ReadOnlyObject) -> bytes:
    if value["in"] == "body":
        return _delimited(1, _encoded("BodyParameter", value))
    path = value["in"] == "path"
    name, number = ("PathParameter", 4) if path else ("QueryParameter", 3)
    return _delimited(2, _delimited(number, _encoded(name, value)))


_MESSAGES: Mapping[str, Mapping[str, tuple[int, Writer]]] = {
    "Document": {
        "swagger": (1, _text),
        "info": (2, _message("Info")),
        "paths": (8, _named("PathItem", 2)),
        "definitions": (9, _named("Schema")),
    },
    "Info": {"title": (1, _text), "version": (2, _text)},
    "PathItem": {
        "get": (2, _message("Operation")),
        "put": (3, _message("Operation")),
        "post": (4, _message("Operation")),
        "delete": (5, _message("Operation")),
        "patch": (8, _message("Operation")),
        "parameters": (9, _parameters),
    },
    "Operation": {
        "tags": (1, _texts),
        "operationId": (5, _text),
        "produces": (6, _texts),
        "consumes": (7, _texts),
        "parameters": (8, _parameters),
        "responses": (9, _named("Response", 1, 1)),
    },
    "Response": {"description": (1, _text), "schema": (2, _schema_item)},
    "BodyParameter": {
        "description": (1, _text),
        "name": (2, _text),
        "in": (3, _text),
        "required": (4, _flag),
        "schema": (5, _message("Schema")),
    },
    "PathParameter": {
        "required": (1, _flag),
        "in": (2, _text),
        "name": (4, _text),
        "type": (5, _text),
        "uniqueItems": (18, _flag),
    },
    "QueryParameter": {
        "required": (1, _flag),
        "in": (2, _text),
        "name": (4, _text),
        "type": (6, _text),
        "uniqueItems": (19, _flag),
    },
    "Schema": {
        "$ref": (1, _text),
        "format": (2, _text),
        "title": (3, _text),
        "description": (4, _text),
        "default": (5, _any),
        "multipleOf": (6, _double),
        "maximum": (7, _double),
        "exclusiveMaximum": (8, _flag),
        "minimum": (9, _double),
        "exclusiveMinimum": (10, _flag),
        "maxLength": (11, _integer),
        "minLength": (12, _integer),
        "pattern": (13, _text),
        "maxItems": (14, _integer),
        "minItems": (15, _integer),
        "uniqueItems": (16, _flag),
        "maxProperties": (17, _integer),
        "minProperties": (18, _integer),
        "required": (19, _texts),
        "enum": (20, _anys),
        "additionalProperties": (21, _additional),
        "type": (22, _type),
        "items": (23, _items),
        "properties": (25, _named("Schema")),
    },
}
_EXTENSIONS = {"PathItem": 10, "Operation": 13, "Schema": 31}


def _encoded(name: str, value: ReadOnlyObject) -> bytes:
    fields = _MESSAGES[name]
    parts: list[bytes] = []
    for key, entry in value.items():
        if key in fields:
            number, write = fields[key]
            parts.append(write(number, entry))
        elif key.startswith("x-") and name in _EXTENSIONS:
            parts.append(_delimited(_EXTENSIONS[name], _text(1, key) + _any(2, entry)))
    return b"".join(parts)
