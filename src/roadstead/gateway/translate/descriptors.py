"""What a descriptor set says: which services there are, and under which HTTP paths their methods want to be called.

A descriptor set is what `protoc --descriptor_set_out` or reflection gives. It comes from users and strangers, so it is
judged here as Envoy would judge it: Envoy refuses a whole route table over one that is incomplete.
Source: google/api/http.proto for the templates of paths.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_VERBS = {"get": "GET", "put": "PUT", "post": "POST", "delete": "DELETE", "patch": "PATCH"}
_VARIABLE = re.compile(r"\{([\w.]+)(?:=([^{}]*))?\}")
_SEGMENT = re.compile(r"\*\*|\*|[^/*{}?#:]+")
_VERB = re.compile(r":[\w.~-]+$")
_PARSED = 64
_LARGEST = 4 << 20
_WELL_KNOWN = ("google/protobuf/", "google/api/", "google/rpc/")
_OF_ERRORS = tuple(each.DESCRIPTOR.name for each in (status_pb2, error_details_pb2))
"""What errors have in them (google.rpc): Envoy says nothing at all of one whose details it cannot read."""
_MANY = ".*"
REFLECTION = "reflection"


class DescriptorSource(NamedTuple):
    """Where descriptors are: an object of the route's namespace, and a key of it (empty: the only one).

    The kind `reflection` is each backend itself.
    """

    kind: str
    name: str
    key: str = ""

    @classmethod
    def of(cls, value: str) -> "DescriptorSource | None":
        """Read `ConfigMap/NAME`, `Secret/NAME/KEY` or `reflection`."""
        if value.strip() == REFLECTION:
            return cls(REFLECTION, "")
        kind, _, rest = value.strip().partition("/")
        name, _, key = rest.partition("/")
        return cls(kind, name, key) if kind in ("ConfigMap", "Secret") and name else None


class Binding(NamedTuple):
    """An HTTP method and a regular expression of paths (RE2, whole path) under which a method can be called."""

    verb: str
    path: str


class Method(NamedTuple):
    """A method of a service and what its `google.api.http` option says."""

    name: str
    bindings: tuple[Binding, ...] = ()


class Service(NamedTuple):
    """A service by its full name."""

    name: str
    methods: tuple[Method, ...]


@dataclass(frozen=True, slots=True)
class Descriptors:
    """A complete descriptor set, in an order in which every file comes after those that it imports."""

    encoded: bytes
    services: tuple[Service, ...]


@lru_cache(maxsize=_PARSED)
def read_descriptors(encoded: bytes) -> Descriptors | str:
    """Return what an encoded FileDescriptorSet says, or what is wrong with it as a sentence."""
    files = descriptor_pb2.FileDescriptorSet()
    if len(encoded) > _LARGEST:
        return f"is larger than {_LARGEST >> 20} MiB"
    try:
        files.ParseFromString(encoded)
    except DecodeError:
        return "is not a FileDescriptorSet; make one with protoc --include_imports --descriptor_set_out"
    named = {file.name: file for file in files.file}
    named |= {name: _well_known(name) for name in _OF_ERRORS if name not in named}
    try:
        ordered = _in_order(named)
        _check(ordered)
        services = tuple(_service(file.package, each) for file in files.file for each in file.service)
    except _MissingImportError as missing:
        return f"imports {missing}, which it does not have; make it with protoc --include_imports"
    except (TypeError, ValueError, KeyError) as error:
        return f"is not valid: {error}"
    if not services:
        return "has no service"
    _offer_own_paths(files.file)
    complete = descriptor_pb2.FileDescriptorSet(file=ordered)
    return Descriptors(complete.SerializeToString(deterministic=True), services)


class _MissingImportError(Exception):
    """A file is imported that is not there; the argument is its name."""


def _in_order(named: dict[str, Any]) -> list[Any]:
    """Return all files, each after its imports; those of protobuf and of google.api are ours to add."""
    found: dict[str, Any] = {}
    waiting = [iter(sorted(named))]
    trail: list[str] = []
    while waiting:
        name = next(waiting[-1], None)
        if name is None:
            waiting.pop()
            if trail:
                done = trail.pop()
                found[done] = named.get(done) or _well_known(done)
        elif name not in found:
            if name in trail:
                raise TypeError(f"{name} imports itself")
            trail.append(name)
            waiting.append(iter((named.get(name) or _well_known(name)).dependency))
    return list(found.values())


def _well_known(name: str) -> Any:
    if not name.startswith(_WELL_KNOWN):
        raise _MissingImportError(name)
    try:
        known = descriptor_pool.Default().FindFileByName(name)
    except KeyError as error:
        raise _MissingImportError(name) from error
    file = descriptor_pb2.FileDescriptorProto()
    known.CopyToProto(file)
    return file


def _check(ordered: list[Any]) -> None:
    """Link everything as Envoy will. Raises TypeError or ValueError that says what does not fit."""
    pool = descriptor_pool.DescriptorPool()
    for file in ordered:
        pool.AddSerializedFile(file.SerializeToString())
    for file in ordered:
        for service in file.service:
            linked = pool.FindServiceByName(_full_name(file.package, service.name))
            for method in (each for each in service.method if each.options.HasExtension(annotations_pb2.http)):
                rule, found = method.options.Extensions[annotations_pb2.http], linked.methods_by_name[method.name]
                for each in (rule, *rule.additional_bindings):
                    _check_field(found.input_type, each.body)
                    _check_field(found.output_type, each.response_body)


def _check_field(message: Any, path: str) -> None:
    """Raise ValueError unless a body is the whole message, none, or a field of it."""
    for name in path.split(".") if path not in ("", "*") else ():
        field = message.fields_by_name.get(name) if message is not None else None
        if field is None:
            raise ValueError(f"{path!r} is not a field of {message.full_name if message else path}")
        message = field.message_type


def _service(package: str, service: Any) -> Service:
    methods = (Method(each.name, tuple(_bindings(each.options))) for each in service.method)
    return Service(_full_name(package, service.name), tuple(methods))


def _offer_own_paths(files: Iterable[Any]) -> None:
    """Let every method be called by gRPC's own path: Envoy does that by itself for those without another path only."""
    for file in files:
        for service in file.service:
            for method in (each for each in service.method if each.options.HasExtension(annotations_pb2.http)):
                path = f"/{_full_name(file.package, service.name)}/{method.name}"
                method.options.Extensions[annotations_pb2.http].additional_bindings.add(post=path, body="*")


def _full_name(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


def _bindings(options: Any) -> Iterator[Binding]:
    if not options.HasExtension(annotations_pb2.http):
        return
    rule = options.Extensions[annotations_pb2.http]
    for each in (rule, *rule.additional_bindings):
        kind = each.WhichOneof("pattern")
        if kind in _VERBS:
            yield Binding(_VERBS[kind], template_expression(getattr(each, kind)))
        elif kind == "custom":
            yield Binding(each.custom.kind, template_expression(each.custom.path))


def template_expression(template: str) -> str:
    """Return the regular expression of a path template: `/v1/{name=shelves/*}:read` is `/v1/shelves/[^/]+:read`.

    Raises:
        ValueError: It is not a template.

    """
    flat = _VARIABLE.sub(lambda found: found[2] or "*", template)
    verb = _VERB.search(flat)
    path = flat[: verb.start()] if verb else flat
    if not path.startswith("/"):
        raise ValueError(f"{template!r} is not the template of a path")
    segments = [_segment(part, template) for part in path[1:].split("/")]
    if segments.count(_MANY) > 1:
        raise ValueError(f"{template!r} has ** more than once")
    return "/" + "/".join(segments) + (re.escape(verb[0]) if verb else "")


def _segment(segment: str, template: str) -> str:
    if not _SEGMENT.fullmatch(segment):
        raise ValueError(f"{template!r} is not the template of a path")
    return {"*": "[^/]+", "**": _MANY}.get(segment, re.escape(segment))
