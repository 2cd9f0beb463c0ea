"""Which gRPC services a project has, read from its files: nothing is compiled, imported or run.

Descriptors are in what `protoc` made (`*_pb2.py`, descriptor sets); of a `.proto` file the names of services and
methods are enough. So a project needs to say nothing, as long as one of these lies below its folder or those of its
images.
"""

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import DecodeError

_SETS = (".binpb", ".pb", ".protoset", ".desc")
_SKIPPED = frozenset(("__pycache__", "node_modules", "site-packages", "venv"))
# A folder that is no project (somebody's home) must not hold up a command.
_MOST_FILES = 20_000
_COMMENT_OR_TEXT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'", re.DOTALL)
_PACKAGE = re.compile(r"(?:^|[;}\s])package\s+([\w.]+)\s*;")
_SERVICE = re.compile(r"(?:^|[;}\s])service\s+(\w+)\s*\{")
_RPC = re.compile(r"(?:^|[;{}\s])rpc\s+(\w+)\s*\(")
Fields = Mapping[str, FieldDescriptorProto]
# The numbers of an enumeration's values by their names.
Values = Mapping[str, int]


class Services(NamedTuple):
    """Services by full name with their methods, and of each method the full name of its request ("" if unknown).

    `messages` are fields by full name of the message, `enumerations` values by full name, as far as descriptors were
    found; `files` are these themselves.
    """

    methods: Mapping[str, Mapping[str, str]]
    messages: Mapping[str, Fields]
    enumerations: Mapping[str, Values]
    files: tuple[FileDescriptorProto, ...]


NONE = Services({}, {}, {}, ())


def read_services(paths: Iterable[Path]) -> Services:
    """Read what these files and folders say. What cannot be read says nothing."""
    methods: dict[str, dict[str, str]] = {}
    messages: dict[str, Fields] = {}
    enumerations: dict[str, Values] = {}
    files: list[FileDescriptorProto] = []
    for file in _files(paths):
        found = read_file(file)
        messages.update(found.messages)
        enumerations.update(found.enumerations)
        files += found.files
        for service, those in found.methods.items():
            known = methods.setdefault(service, {})
            known.update({name: request or known.get(name, "") for name, request in those.items()})
    return Services(methods, messages, enumerations, tuple(files))


def read_file(path: Path) -> Services:
    """Read one file, according to its name; NONE if it says nothing."""
    try:
        if path.suffix == ".proto":
            return services_of_source(path.read_text(encoding="utf-8", errors="replace"))
        if path.suffix == ".py":
            return services_of(_embedded(path.read_text(encoding="utf-8", errors="replace")))
        return services_of(FileDescriptorSet.FromString(path.read_bytes()).file)
    except (OSError, DecodeError, SyntaxError, ValueError, RecursionError):
        return NONE


def services_of(files: Iterable[FileDescriptorProto]) -> Services:
    """Return what descriptors say."""
    methods: dict[str, dict[str, str]] = {}
    messages: dict[str, Fields] = {}
    enumerations: dict[str, Values] = {}
    files = tuple(files)
    for file in files:
        prefix = f"{file.package}." if file.package else ""
        for service in file.service:
            methods[prefix + service.name] = {one.name: one.input_type.removeprefix(".") for one in service.method}
        for name, message in _messages(prefix, file.message_type):
            messages[name] = {field.name: field for field in message.field}
            enumerations.update(_enumerations(f"{name}.", message.enum_type))
        enumerations.update(_enumerations(prefix, file.enum_type))
    return Services(methods, messages, enumerations, files)


def services_of_source(text: str) -> Services:
    """Return the services of a `.proto` file's text; of requests and messages it says nothing here."""
    plain = _COMMENT_OR_TEXT.sub(" ", text)
    package = _PACKAGE.search(plain)
    prefix = f"{package[1]}." if package else ""
    methods = {prefix + name: dict.fromkeys(_RPC.findall(body), "") for name, body in _bodies(plain)}
    return Services(methods, {}, {}, ())


def _bodies(text: str) -> Iterator[tuple[str, str]]:
    for found in _SERVICE.finditer(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield found[1], text[found.end() : end]


def _messages(prefix: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        yield prefix + message.name, message
        yield from _messages(f"{prefix}{message.name}.", message.nested_type)


def _enumerations(prefix: str, enumerations: Iterable[EnumDescriptorProto]) -> Iterator[tuple[str, Values]]:
    for one in enumerations:
        yield prefix + one.name, {value.name: value.number for value in one.value}


def _embedded(text: str) -> Iterator[FileDescriptorProto]:
    """Yield the descriptors that `protoc` writes into a Python module, as bytes."""
    if "AddSerializedFile" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            value = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if node.func.attr == "AddSerializedFile" and isinstance(value, bytes):
                yield FileDescriptorProto.FromString(value)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each file once that may have descriptors; a path that is a file whatever its name."""
    seen: set[Path] = set()
    left = _MOST_FILES
    for path in paths:
        if path.is_file():
            seen.add(path)
            yield path
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(one for one in below if one not in _SKIPPED and not one.startswith("."))
            left -= len(names)
            if left < 0:
                return
            for file in (Path(folder, name) for name in sorted(names) if _may_describe(name)):
                if file not in seen:
                    seen.add(file)
                    yield file


def _may_describe(name: str) -> bool:
    return name.endswith((".proto", "_pb2.py", *_SETS))
