"""Bodies are read in every format that clients send; answers are chosen from what they accept."""

import pytest

from roadstead.api.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from roadstead.apiserver.http.content import Form, decode_object, negotiate

KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": 1}'),
        ("", b'{"a": 1}'),
        ("application/json; charset=utf-8", b'{"a": 1}'),
        ("application/yaml", b"a: 1"),
        ("application/yaml", b'{"a": 1}'),
    ],
)
def test_objects_are_read_as_json_and_yaml(content_type: str, body: bytes) -> None:
    assert decode_object(content_type, body) == {"a": 1}


def test_objects_are_read_as_protobuf() -> None:
    # k8s magic, then Unknown{typeMeta{v1, Namespace}, raw: Namespace{metadata{name: "a"}}}
    inner = bytes([0x0A, 3, 0x0A, 1]) + b"a"
    kind = bytes([0x0A, 2]) + b"v1" + bytes([0x12, 9]) + b"Namespace"
    body = b"k8s\0" + bytes([0x0A, len(kind)]) + kind + bytes([0x12, len(inner)]) + inner
    obj = decode_object("application/vnd.kubernetes.protobuf", body)
    assert (obj["apiVersion"], obj["kind"], obj["metadata"]["name"]) == ("v1", "Namespace", "a")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000),
        ("application/yaml", b"a: [1"),
        ("application/yaml", b"just text"),
        ("application/vnd.kubernetes.protobuf", b"nothing"),
    ],
)
def test_what_is_no_object_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_object(content_type, body)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="application/yaml"):
        decode_object("application/cbor", b"")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Form("object")),
        ("*/*", Form("object")),
        ("application/vnd.kubernetes.protobuf,application/json", Form("object")),
        (KUBECTL, Form("table", "Metadata")),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form("metadata")),
        ("application/json;as=Something;v=v1,application/json", Form("object")),
    ],
)
def test_the_first_form_that_we_have_is_chosen(accept: str, expected: Form) -> None:
    assert negotiate(accept, "") == expected


def test_a_table_may_carry_whole_objects() -> None:
    assert negotiate(KUBECTL, "Object") == Form("table", "Object")


@pytest.mark.parametrize("accept", ["application/cbor", "text/html", "application/json;as=Table;v=v9"])
def test_nothing_acceptable_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(accept, "")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "json parse error: unexpected end of JSON input (<empty>)"),
        (b'{"kind":"Pod"', 'json parse error: unexpected end of JSON input ({"kind":"Pod")'),
        (b'{"apiVersion": "v1", "kind": "Pod", }', '({"apiVersion": "v1", "kind": " ...)'),
        (b"x", "(78)"),
    ],
)
def test_what_is_no_object_is_told_with_the_kind_that_was_expected(body, problem):
    with pytest.raises(BadRequest) as refused:
        decode_object("application/json", body, "Pod")
    assert refused.value.message.startswith("the object provided is unrecognized (must be of type Pod): ")
    assert refused.value.message.endswith(problem)


def test_null_is_an_object_without_fields():
    assert decode_object("application/json", b"null") == {}
