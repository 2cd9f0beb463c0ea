"""The type of a method's request, put together from the descriptors that a project has: messages as servers see them.

A message has default values for what was left out, and names and numbers of enumerations; JSON alone has neither.
"""

import importlib
import re
from collections.abc import Iterator, Mapping

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from roadstead.cluster.descriptors import Services

# What protoc and its plugins bring along; a set without imports lacks them.
_WELL_KNOWN = re.compile(r"(google/(?:protobuf|api|rpc|type)/\w+)\.proto")


def request_type(method: str, services: Services) -> type[Message] | None:
    """Return the class of the request of `package.Service/Method`; None if no descriptor has that method.

    Raises ValueError if descriptors that the request needs are missing, or do not fit.
    """
    service, _, name = method.partition("/")
    file = next((one for one in reversed(services.files) if service in _services(one)), None)
    if file is None or name not in services.methods[service]:
        return None
    pool = descriptor_pool.DescriptorPool()
    try:
        for each in _with_imports(file, {**{one.name: one for one in services.files}, file.name: file}):
            pool.AddSerializedFile(each.SerializeToString())
        return GetMessageClass(pool.FindServiceByName(service).methods_by_name[name].input_type)
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{file.name} cannot be put together: {error}") from error


def _services(file: FileDescriptorProto) -> tuple[str, ...]:
    prefix = f"{file.package}." if file.package else ""
    return tuple(prefix + service.name for service in file.service)


def _with_imports(file: FileDescriptorProto, known: Mapping[str, FileDescriptorProto]) -> Iterator[FileDescriptorProto]:
    """Yield a file's imports and theirs before the file, each once.

    Those that are nowhere are left out: as a rule they define options, of which a type of a message has no need.
    """
    done: set[str] = set()

    def visit(one: FileDescriptorProto) -> Iterator[FileDescriptorProto]:
        done.add(one.name)
        found = {name: known.get(name) or _well_known(name) for name in one.dependency}
        for imported in found.values():
            if imported is not None and imported.name not in done:
                yield from visit(imported)
        yield one if None not in found.values() else _without_others(one, found)

    yield from visit(file)


def _without_others(file: FileDescriptorProto, found: Mapping[str, FileDescriptorProto | None]) -> FileDescriptorProto:
    less = FileDescriptorProto()
    less.CopyFrom(file)
    for field in ("dependency", "public_dependency", "weak_dependency"):
        less.ClearField(field)
    less.dependency.extend(name for name, one in found.items() if one is not None)
    return less


def _well_known(name: str) -> FileDescriptorProto | None:
    """Return a file that the libraries of protobuf and googleapis have; None if it is none of theirs."""
    if not (path := _WELL_KNOWN.fullmatch(name)):
        return None
    try:
        module = importlib.import_module(f"{path[1].replace('/', '.')}_pb2")
    except ModuleNotFoundError:
        return None
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file
