"""The document as gnostic's messages: read back field by field. That client-go reads it, `kubectl explain` shows."""

import json
import struct

import pytest

from roadstead.api.resources import Scheme
from roadstead.apiserver.openapi.v2 import swagger
from roadstead.apiserver.openapi.v2_protobuf import encode

SCHEMA = {
    "type": "object",
    "description": "A schema.",
    "required": ["a", "b"],
    "maximum": 2.5,
    "maxLength": 300,
    "uniqueItems": True,
    "default": {"a": [1]},
    "enum": ["x", 1],
    "properties": {"a": {"$ref": "#/definitions/Other"}, "b": {"type": "array", "items": {"type": "string"}}},
    "additionalProperties": {"type": "integer", "format": "int32"},
    "x-kubernetes-list-map-keys": ["name"],
}
DOCUMENT = {
    "swagger": "2.0",
    "info": {"title": "T", "version": "V"},
    "definitions": {"Thing": SCHEMA},
    "paths": {
        "/a": {
            "parameters": [{"name": "name", "in": "path", "required": True, "type": "string"}],
            "patch": {
                "consumes": ["x/y"],
                "x-kubernetes-action": "patch",
                "parameters": [
                    {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Thing"}},
                    {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True},
                ],
                "responses": {"200": {"description": "OK", "schema": {"type": "object"}}},
            },
        }
    },
}


def fields(message):
    """Return the fields of a message: numbers, bytes, or eight bytes of a double, in lists by field number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            value = number()
        elif tag & 7 == 1:
            value, at = struct.unpack("<d", message[at : at + 8])[0], at + 8
        else:
            size = number()
            value, at = message[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def inner(message, *numbers):
    for number in numbers:
        message = fields(message)[number][0]
    return message


def test_the_document():
    document = encode(DOCUMENT)
    assert fields(document)[1] == [b"2.0"]
    assert inner(document, 2, 1) == b"T"
    named = inner(document, 9, 1)
    assert fields(named)[1] == [b"Thing"]


def test_a_schema():
    schema = fields(inner(encode(DOCUMENT), 9, 1, 2))
    assert schema[4] == [b"A schema."]
    assert schema[19] == [b"a", b"b"]
    assert schema[7] == [2.5]
    assert schema[12 - 1] == [300]
    assert schema[16] == [1]
    assert json.loads(inner(schema[5][0], 2)) == {"a": [1]}
    assert [json.loads(inner(entry, 2)) for entry in schema[20]] == ["x", 1]
    assert inner(schema[22][0], 1) == b"object"
    properties = [fields(entry) for entry in fields(schema[25][0])[1]]
    assert [entry[1][0] for entry in properties] == [b"a", b"b"]
    assert fields(properties[0][2][0])[1] == [b"#/definitions/Other"]
    assert inner(properties[1][2][0], 23, 1, 22, 1) == b"string"
    assert inner(schema[21][0], 1, 2) == b"int32"
    extension = fields(schema[31][0])
    assert (extension[1], json.loads(inner(extension[2][0], 2))) == ([b"x-kubernetes-list-map-keys"], ["name"])


def test_an_operation():
    item = inner(encode(DOCUMENT), 8, 2)
    assert fields(item)[1] == [b"/a"]
    path = fields(inner(item, 2))
    assert inner(path[9][0], 1, 2, 4, 4) == b"name"
    patch = fields(path[8][0])
    assert patch[7] == [b"x/y"]
    assert inner(patch[8][0], 1, 1, 5, 1) == b"#/definitions/Thing"
    assert inner(patch[8][1], 1, 2, 3, 4) == b"dryRun"
    answer = inner(patch[9][0], 1)
    assert (fields(answer)[1], inner(answer, 2, 1, 1)) == ([b"200"], b"OK")
    assert json.loads(inner(patch[13][0], 2, 2)) == "patch"


@pytest.mark.parametrize("flag", [True, False])
def test_additional_properties_may_be_a_flag(flag):
    document = encode({"definitions": {"A": {"additionalProperties": flag}}})
    assert fields(inner(document, 9, 1, 2, 21)) == {2: [int(flag)]}


def test_the_whole_document_can_be_written():
    named = fields(inner(encode(swagger(Scheme())), 9))[1]
    assert b"io.k8s.api.core.v1.Pod" in [inner(entry, 1) for entry in named]
