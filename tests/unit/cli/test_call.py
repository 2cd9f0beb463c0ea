"""What `roadstead call` makes of its arguments, and how it finds methods by a real server's reflection."""

from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from roadstead.cli.call import find_method, metadata_from
from roadstead.cli.terminal import CommandError, InputError


@pytest.fixture(scope="module")
def channel():
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection((name, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None).wait()


def test_a_method_is_found_with_its_types(channel) -> None:
    method = find_method(channel, "grpc.health.v1.Health", "Check")
    assert method.input_type.full_name == "grpc.health.v1.HealthCheckRequest"
    assert method.output_type.full_name == "grpc.health.v1.HealthCheckResponse"


def test_an_unknown_service_names_those_that_are_known(channel) -> None:
    with pytest.raises(CommandError, match=r"knows no service 'com.example.User'.*grpc.health.v1.Health"):
        find_method(channel, "com.example.User", "Login")


def test_an_unknown_method_names_those_that_are_known(channel) -> None:
    with pytest.raises(CommandError, match=r"has no method 'Chek'; it has Check, List, Watch"):
        find_method(channel, "grpc.health.v1.Health", "Chek")


def test_without_reflection_the_remedy_is_named() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as nowhere, pytest.raises(CommandError, match="--reflect HOST"):
        find_method(nowhere, "grpc.health.v1.Health", "Check")


def test_headers_become_metadata() -> None:
    assert metadata_from(["Env=canary", "authorization=a=b"]) == (("env", "canary"), ("authorization", "a=b"))
    with pytest.raises(InputError, match="NAME=VALUE"):
        metadata_from(["canary"])
