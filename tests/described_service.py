"""A gRPC service with a descriptor: made at run time from a few words, with HTTP paths, reflecting if wanted."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from envoy_bed import HERE
from google.api import annotations_pb2
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def file_of(service: str, methods: Mapping[str, Mapping[str, str]], name: str = "") -> Any:
    """Return the file of a service. A method takes and gives `Item {string name; int32 count}`.

    `methods`: for each its `google.api.http` rule, for instance `{"Get": {"get": "/v1/items/{name}"}}`. A method whose
    name begins with `List` streams its answers.
    """
    package, _, short = service.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(name=name or f"{short.lower()}.proto", package=package, syntax="proto3")
    file.dependency.append("google/api/annotations.proto")
    item = file.message_type.add(name="Item")
    item.field.add(name="name", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL, json_name="name")
    item.field.add(name="count", number=2, type=_FIELD.TYPE_INT32, label=_FIELD.LABEL_OPTIONAL, json_name="count")
    made = file.service.add(name=short)
    for method, rule in methods.items():
        kind = f".{package}.Item"
        added = made.method.add(name=method, input_type=kind, output_type=kind)
        added.server_streaming = method.startswith("List")
        for field, value in rule.items():
            setattr(added.options.Extensions[annotations_pb2.http], field, value)
    return file


def descriptor_set(*files: Any) -> bytes:
    """Return what `protoc --descriptor_set_out` writes, without what these files import."""
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()


class DescribedService(grpc.GenericRpcHandler):
    """Serves a file's service: answers with the item that it got, the name in capitals.

    `missing` is NOT_FOUND; `refused` FAILED_PRECONDITION, after initial metadata and with details.
    """

    def __init__(self, file: Any, *, reflects: tuple[str, ...] = ()) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        for known in ("google/protobuf/descriptor.proto", "google/api/http.proto", "google/api/annotations.proto"):
            self.pool.AddSerializedFile(descriptor_pool.Default().FindFileByName(known).serialized_pb)
        self.pool.AddSerializedFile(file.SerializeToString())
        self.name = f"{file.package}.{file.service[0].name}"
        self.item = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"{file.package}.Item"))
        self.port, self.calls, self.metadata = 0, 0, {}
        self._reflects = reflects
        self._server = grpc.aio.server()

    async def start(self, *also: str) -> "DescribedService":
        """Listen on a port, and on these addresses, too."""
        self._server.add_generic_rpc_handlers((self,))
        for name in self._reflects:
            servicer = reflection.aio.ReflectionServicer((self.name, name), pool=self.pool)
            handler = grpc.stream_stream_rpc_method_handler(
                servicer.ServerReflectionInfo,
                request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
                response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
            )
            self._server.add_registered_method_handlers(name, {"ServerReflectionInfo": handler})
        self.port = self._server.add_insecure_port(f"{HERE}:0")
        for address in also:
            self._server.add_insecure_port(address)
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        service, _, method = details.method[1:].partition("/")
        if service != self.name:
            return None
        read, write = self.item.FromString, self.item.SerializeToString
        if method.startswith("List"):
            return grpc.unary_stream_rpc_method_handler(self._list, read, write)
        return grpc.unary_unary_rpc_method_handler(self._answer, read, write)

    async def _answer(self, item: Any, context: grpc.aio.ServicerContext) -> Any:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata() or ())
        if item.name == "refused":
            await context.send_initial_metadata((("x-pod", "one"),))
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.ErrorInfo(reason="CLOSED", domain="shop"))
            status = status_pb2.Status(code=9, message="closed", details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "closed")
        if item.name == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such item")
        return self.item(name=item.name.upper(), count=item.count)

    async def _list(self, item: Any, _context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        for number in range(item.count):
            yield self.item(name=item.name, count=number)
            await asyncio.sleep(0)
