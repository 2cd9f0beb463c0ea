"""Bodies and media types: what the client sent becomes JSON, and what it accepts becomes a form of answer.

Requests come as JSON, YAML or Kubernetes protobuf (client-go's generated clients send it whatever the server says);
answers are always JSON, which every client accepts beside protobuf.
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from roadstead.api.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from roadstead.api.objects import Object
from roadstead.apiserver.http import protobuf
from roadstead.apiserver.http.yaml_bodies import read_yaml

PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
_JSON = frozenset({"", "application/json"})
_TRUNCATED = "Input data was truncated"
_SHOWN = 30
_YAML = frozenset({"application/yaml"})


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def decode_object(content_type: str, body: bytes, expected: str = "") -> Object:
    """Read the object, of an expected kind, in a request's body. Raises BadRequest or UnsupportedMediaType."""
    kind = media_type(content_type)
    if kind in _JSON:
        decoded = _decode_kind(body, expected) if expected else decode_json(body)
    elif kind in _YAML:
        decoded = decode_yaml(body)
    elif kind == PROTOBUF:
        decoded = protobuf.decode(body)
    else:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: "
            f"application/json, application/yaml, {PROTOBUF}"
        )
    if decoded is None:  # an object without any field
        decoded = {}
    if not isinstance(decoded, dict):
        raise BadRequest(f"the body of the request must be an object, not {type(decoded).__name__}")
    return decoded


def _decode_kind(body: bytes, expected: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problem = "unexpected end of JSON input" if str(error) == _TRUNCATED else str(error)
    raise BadRequest(
        f"the object provided is unrecognized (must be of type {expected}): "
        f"couldn't get version/kind; json parse error: {problem} ({_summary(body)})"
    )


def _summary(body: bytes) -> str:
    """Return as much of a body as Kubernetes shows: its beginning, in hexadecimal if it does not look like JSON."""
    if not body:
        return "<empty>"
    looks_right = body.lstrip()[:1] == b"{"
    shown = str(body, "utf-8", "replace") if looks_right else body.hex()
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."


def decode_json(body: bytes) -> Any:
    """Read JSON. Raises BadRequest that says where it is broken."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body of the request is not JSON: {error}") from None


def decode_yaml(body: bytes) -> Any:
    """Read YAML (JSON is YAML). Raises BadRequest that says where it is broken."""
    return decode_json(body) if body[:1] == b"{" else read_yaml(body)


@dataclass(frozen=True, slots=True)
class Form:
    """How objects are to be written: whole, as rows of a table, or their metadata alone."""

    kind: Literal["object", "table", "metadata"]
    include_object: str = "Metadata"


WHOLE = Form("object")


def negotiate(accept: str, include_object: str) -> Form:
    """Choose the first form in an Accept header that we can produce. Raises NotAcceptable."""
    for choice in accept.split(",") if accept else ["application/json"]:
        kind, *parameters = [part.strip() for part in choice.split(";")]
        if kind not in {"application/json", "application/*", "*/*"}:
            continue
        wanted = dict(parameter.partition("=")[::2] for parameter in parameters)
        form = _form(wanted.get("as", ""), wanted.get("v", "v1"), include_object)
        if form is not None:
            return form
    raise NotAcceptable(
        "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io, "
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    )


def _form(representation: str, version: str, include_object: str) -> Form | None:
    if representation == "":
        return WHOLE
    if version != "v1":
        return None
    if representation == "Table":
        return Form("table", include_object or "Metadata")
    if representation in {"PartialObjectMetadata", "PartialObjectMetadataList"}:
        return Form("metadata")
    return None
