"""What becomes of empty values: Kubernetes decodes every object into Go types and encodes it again.

A field whose tag says `omitempty` is gone if it is empty (a pointer only if it is nil); one without is always there, as
null or zero; a struct that is no pointer is always there, if only as `{}`. Which field is which stands in the generated
table of Go types. Custom resources have no Go types: nothing here is about them. Next: `admission.defaults` drops what
is empty, and the `writer` puts what is always there into what it stores.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.schemas.tables import definition_names, protobuf_messages

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCHEMAS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_ZERO_OF_SCALAR = {"string": "", "bool": False, "float64": 0, "[]byte": None}
_ZERO_OF_WRITTEN: dict[str, Any] = {
    _META + "Time": None,
    _META + "MicroTime": None,
    _META + "FieldsV1": None,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "0",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": 0,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": None,
    _SCHEMAS + "JSON": None,
    _SCHEMAS + "JSONSchemaPropsOrArray": None,
    _SCHEMAS + "JSONSchemaPropsOrBool": None,
    _SCHEMAS + "JSONSchemaPropsOrStringArray": None,
}
"""Types that encode themselves, and how they write their zero."""


class _Field(NamedTuple):
    optional: bool
    """Whether the encoder leaves it out if it is empty."""
    zero: Any
    """What is written for it if it is empty; of a pointer, a list and a map null."""
    drops: tuple[Any, ...]
    """Which values the encoder takes for empty, beside empty lists and maps."""
    inner: str
    """The definition of the structs in it, if there are any."""
    within: str
    """Whether a struct is the value itself (`struct`, `pointer`) or stands in a `list` or a `map`."""


def definition_of(resource: Resource) -> str:
    """Return the name of a built-in resource's definition; empty if it has no Go type."""
    name = definition_names().get((resource.group, resource.version, resource.kind), "")
    return name if name in protobuf_messages() else ""


@cache
def _fields(definition: str) -> dict[str, _Field]:
    fields: dict[str, _Field] = {}
    for _, name, type_, optional in protobuf_messages().get(definition, ()):
        if name:
            fields[name] = _field(type_, optional)
        else:
            fields.update(_fields(type_.lstrip("*")))
    return fields


def _field(type_: str, optional: bool) -> _Field:
    if type_.startswith("*"):
        return _Field(optional, None, (), _struct(type_[1:]), "pointer")
    if type_.startswith("[]") and type_ != "[]byte":
        return _Field(optional, None, (), _struct(type_[2:].lstrip("*")), "list")
    if type_.startswith("{}"):
        return _Field(optional, None, (), _struct(type_[2:].lstrip("*")), "map")
    if type_.startswith("()"):
        return _Field(optional, None, (), _struct(type_[2:]), "list")
    if type_ in _ZERO_OF_WRITTEN:
        return _Field(optional, _ZERO_OF_WRITTEN[type_], (), "", "scalar")
    if type_ in protobuf_messages():
        return _Field(optional, {}, (), type_, "struct")
    return _Field(optional, _ZERO_OF_SCALAR.get(type_, 0), ("", 0) if optional else (), "", "scalar")


def _struct(type_: str) -> str:
    return type_ if type_ in protobuf_messages() and type_ not in _ZERO_OF_WRITTEN else ""


def drop_empty(value: Object, definition: str) -> None:
    """Remove, in place, what the encoder leaves out of a value whose types are right."""
    fields = _fields(definition)
    empty: list[str] = []
    for name, entry in value.items():
        field = fields.get(name)
        if field is None:
            continue
        if isinstance(entry, dict | list):
            if not entry and field.optional and field.within in ("list", "map"):
                empty.append(name)
            for struct in _structs(entry, field):
                drop_empty(struct, field.inner)
        elif field.drops and entry in field.drops:
            empty.append(name)
    for name in empty:
        del value[name]


def fill_in_zeros(value: Object, definition: str) -> None:
    """Add, in place, what the encoder always writes to a value whose types are right."""
    for name, field in _always_written(definition):
        entry = value.get(name)
        if entry is None and (name not in value or field.within == "struct"):
            if field.optional:
                continue
            value[name] = entry = {} if field.within == "struct" else field.zero
        if (entry and field.inner) or field.within == "struct":
            for struct in _structs(entry, field):
                fill_in_zeros(struct, field.inner)


@cache
def _always_written(definition: str) -> list[tuple[str, _Field]]:
    """Return the fields of a definition that are always written, or in which something is."""
    return [(name, field) for name, field in _fields(definition).items() if _adds(field, frozenset({definition}))]


def _adds(field: _Field, above: frozenset[str]) -> bool:
    if not field.optional:
        return True
    if not field.inner or field.inner in above:
        return False
    return any(_adds(one, above | {field.inner}) for one in _fields(field.inner).values())


def _structs(entry: Any, field: _Field) -> Iterator[Object]:
    if not field.inner:
        return
    if isinstance(entry, list):
        yield from (item for item in entry if isinstance(item, dict))
    elif isinstance(entry, dict):
        if field.within == "map":
            yield from (item for item in entry.values() if isinstance(item, dict))
        else:
            yield entry


@cache
def _nothing_set(definition: str) -> Object:
    nothing: Object = {}
    fill_in_zeros(nothing, definition)
    return nothing


def nothing_set(resource: Resource) -> Object:
    """Return what an object of a resource is before anything is set. Not to be changed by callers."""
    definition = definition_of(resource)
    return _nothing_set(definition) if definition else {}
