"""Server reflection: lets tools list and call the services of a server without their .proto files.

grpcio ships v1alpha only, while newer tools ask for v1 alone. Both versions have the same messages on the wire, so v1
is v1alpha under another name; its own descriptor is made by renaming v1alpha's. Whether to answer at all is a
matter of the environment: reflection tells a stranger everything that could be called.
"""

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
_OPEN_ENVIRONMENTS = frozenset(("development", "staging", "test"))


def allowed_in(environment: str) -> bool:
    """Tell whether reflection is on by default in an environment; an unknown one counts as production."""
    return environment.strip().lower() in _OPEN_ENVIRONMENTS


def reflection_handlers(services: Iterable[str], *, threaded: bool = False) -> dict[str, dict[str, Any]]:
    """Return the method handlers of both versions by service name, for `add_registered_method_handlers`."""
    listed = (*services, V1, V1ALPHA)
    make = reflection.ReflectionServicer if threaded else reflection.aio.ReflectionServicer
    servicer = make(listed, pool=_BothVersions())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {name: {"ServerReflectionInfo": handler} for name in (V1, V1ALPHA)}


class _BothVersions:
    """The program's descriptors and, behind them, v1's; as much of a DescriptorPool as the servicer asks for.

    v1 stays in a pool of its own: a program may import a package that brings the real one, and two files of one name
    in the default pool are an error.
    """

    def __init__(self) -> None:
        self._program = descriptor_pool.Default()
        self._own = descriptor_pool.DescriptorPool()
        self._own.Add(_renamed_to_v1())

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Find a file by what it defines. Methods count, which protobuf's own pool overlooks."""
        try:
            return self._first("FindFileContainingSymbol")(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._first("FindServiceByName")(service)
            return found.methods_by_name[method].containing_service.file

    def __getattr__(self, name: str) -> Any:
        return self._first(name)

    def _first(self, name: str) -> Callable[..., Any]:
        def first_found(*arguments: Any) -> Any:
            try:
                return getattr(self._program, name)(*arguments)
            except KeyError:
                return getattr(self._own, name)(*arguments)

        return first_found


def _renamed_to_v1() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = "grpc.reflection.v1"
    file.ClearField("options")
    fields = [field for message in file.message_type for field in message.field if field.type_name]
    methods = [method for service in file.service for method in service.method]
    for field in fields:
        field.type_name = _v1(field.type_name)
    for method in methods:
        method.input_type, method.output_type = _v1(method.input_type), _v1(method.output_type)
    return file


def _v1(type_name: str) -> str:
    return type_name.replace(".grpc.reflection.v1alpha.", ".grpc.reflection.v1.")
