import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2  # noqa: F401  its descriptor is what the tests look up
from grpc_reflection.v1alpha import reflection_pb2 as pb

from roadstead.service.reflection import V1, V1ALPHA, allowed_in, reflection_handlers


@pytest.mark.parametrize(("environment", "allowed"), [
    ("development", True), ("staging", True), ("Staging ", True), ("test", True),
    ("production", False), ("", False), ("prod", False), ("devel", False),
])  # fmt: skip
def test_environments(environment, allowed):
    assert allowed_in(environment) is allowed


@pytest.fixture
def ask(loop_thread):
    """Ask one version a question, as a client that knows only its full name."""

    async def start():
        server = grpc.aio.server()
        for name, handlers in reflection_handlers(["grpc.health.v1.Health"]).items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = loop_thread.run(start())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

        def ask(version: str, **question) -> pb.ServerReflectionResponse:
            call = channel.stream_stream(
                f"/{version}/ServerReflectionInfo",
                pb.ServerReflectionRequest.SerializeToString,
                pb.ServerReflectionResponse.FromString,
            )
            return next(iter(call(iter([pb.ServerReflectionRequest(**question)]), timeout=10)))

        yield ask
    loop_thread.run(server.stop(None))


def file_of(answer: pb.ServerReflectionResponse) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])


@pytest.mark.parametrize("version", [V1, V1ALPHA])
def test_both_versions_list_everything(ask, version):
    listed = [service.name for service in ask(version, list_services="").list_services_response.service]
    assert sorted(listed) == ["grpc.health.v1.Health", V1, V1ALPHA]


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("symbol", ["grpc.health.v1.Health", "grpc.health.v1.Health.Check", V1, V1ALPHA])
def test_both_versions_describe_everything_listed(ask, version, symbol):
    file = file_of(ask(version, file_containing_symbol=symbol))
    assert symbol.startswith(file.package + ".")


def test_v1_is_described_in_its_own_words(ask):
    file = file_of(ask(V1, file_containing_symbol=V1))
    assert file.name == "grpc/reflection/v1/reflection.proto"
    assert b"v1alpha" not in file.SerializeToString()
    assert file_of(ask(V1, file_by_filename=file.name)) == file


def test_what_is_not_there_is_not_found(ask):
    answer = ask(V1, file_containing_symbol="no.such.Thing")
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
