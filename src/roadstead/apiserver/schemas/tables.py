"""The generated tables, read when first asked for: definitions at once, descriptions only for `kubectl explain`.

`schema_of` is what everybody asks: the compiled schema of a resource, whether built in or from a CRD.
"""

import gzip
import lzma
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.schemas.structure import Compiler, Schema

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
ANYTHING = Schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
"""The schema of a resource of which nothing is known."""
KINDS = "x-kubernetes-group-version-kind"


@dataclass(frozen=True, slots=True)
class CustomResource(Resource):
    """A resource that a CRD defines: its schema and columns, where `scale` finds its numbers, what fields select by."""

    schema: Schema = field(default=ANYTHING, compare=False, repr=False)
    raw_schema: Object = field(default_factory=dict, compare=False, repr=False)
    columns: tuple[Object, ...] = field(default=(), compare=False, repr=False)
    scale: Object | None = field(default=None, compare=False, repr=False)
    selectable: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


def _read(name: str) -> bytes:
    packed = files(__package__).joinpath(name).read_bytes()
    return lzma.decompress(packed) if name.endswith(".xz") else gzip.decompress(packed)


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.json.decode(_read("definitions.json.gz"))
    return facts


def definitions() -> dict[str, Object]:
    """Return the OpenAPI v3 definitions by name, without descriptions. Not to be changed by callers."""
    found: dict[str, Object] = _facts()["definitions"]
    return found


@cache
def descriptions() -> dict[str, Any]:
    """Return the trees of descriptions by definition: `""` the text, `p` of properties, `i` of items, `a` of values."""
    found: dict[str, Any] = msgspec.json.decode(_read("descriptions.json.xz"))
    return found


@cache
def protobuf_messages() -> dict[str, list[tuple[int, str, str, bool]]]:
    """Return the messages by definition: number, JSON name, Go type and whether an empty value is left out."""
    return msgspec.json.decode(_read("protobuf.json.gz"), type=dict[str, list[tuple[int, str, str, bool]]])


def printer_columns(resource: Resource) -> tuple[Object, ...]:
    """Return the `additionalPrinterColumns` of a CRD or of a built-in Gateway API kind; none for other kinds."""
    if isinstance(resource, CustomResource):
        return resource.columns
    return tuple(_facts()["columns"].get(f"{resource.group}/{resource.version}/{resource.kind}", ()))


@cache
def definition_names() -> dict[tuple[str, str, str], str]:
    """Return the definition's name of every (group, version, kind); requests' options are there under every group."""
    return {
        (kind["group"], kind["version"], kind["kind"]): name
        for name, schema in definitions().items()
        for kind in schema.get(KINDS, ())
    }


@cache
def _compiler() -> Compiler:
    return Compiler(definitions())


def schema_of(resource: Resource) -> Schema:
    """Return the compiled schema of a resource's objects; where none is known, one that takes anything."""
    if isinstance(resource, CustomResource):
        return resource.schema
    name = definition_names().get((resource.group, resource.version, resource.kind))
    return _compiler().definition(name) if name else ANYTHING


def compile_definition(name: str) -> Schema:
    """Return the compiled schema of a definition, such as `OBJECT_META`. Raises KeyError for an unknown name."""
    return _compiler().definition(name)
