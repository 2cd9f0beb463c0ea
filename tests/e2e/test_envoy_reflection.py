"""Reflection through one host answers for all of its backends, in both versions, and by the rules that lead to them."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import gateway_objects as made
import grpc
import pytest
from described_service import V1, V1ALPHA, DescribedService, file_of
from envoy_bed import HERE, Bed, call, channel, failure, run, running
from free_ports import free_port
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.reflection.serving import ReflectionServer, find_place
from roadstead.gateway.reflection.wiring import SERVER_SOCKET

pytestmark = pytest.mark.e2e

ON = {"annotations": {"roadstead.dev/reflection": "merged"}}
Ask = Callable[..., Awaitable[Any]]


def shop(method: str = "Get") -> Any:
    return file_of("shop.Shop", {method: {}}, name="api.proto")


def user() -> Any:
    return file_of("user.User", {"Login": {}}, name="api.proto")


def to(name: str, *matches: Object) -> Object:
    return made.rule(made.backend(name), matches=matches)


def canary(match: Object) -> Object:
    return match | {"headers": [{"name": "env", "value": "canary"}]}


class Reflecting:
    """A Gateway with reflection, and the services behind it."""

    def __init__(self, directory: Path, route: Object, services: dict[str, DescribedService]) -> None:
        self._directory, self._route, self._services = directory, route, services
        self.port = free_port()

    def _proxy(self) -> ir.Proxy:
        objects = [self._route]
        for name, service in self._services.items():
            objects += [made.service(name), made.endpoint_slice(name, HERE, port=service.port)]
        gateway = made.gateway(made.http_listener(port=self.port))
        return made.translated(made.gateway_class(), gateway, *objects).proxies[made.PROXY]

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[Bed]:
        async with contextlib.AsyncExitStack() as stack:
            for service in self._services.values():
                await service.start()
                stack.push_async_callback(service.stop)
            proxy = self._proxy()
            bed = await stack.enter_async_context(running(self._directory, proxy))
            server = ReflectionServer(lambda key: find_place(key, {proxy.key: proxy}, bed.server.reflection_sockets))
            await server.start(Path(bed.socket).with_name(SERVER_SOCKET))
            stack.push_async_callback(server.stop)
            yield bed


async def ask(port: int, *questions: dict[str, str], version: str = V1, metadata: Any = ()) -> list[Any]:
    """Ask in one conversation."""
    async with channel(port) as over:
        call = over.stream_stream(
            f"/{version}/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )(metadata=metadata, timeout=10)
        answers = []
        for question in questions:
            await call.write(reflection_pb2.ServerReflectionRequest(host="h", **question))
            answers.append(await call.read())
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        return answers


async def names(port: int, **more: Any) -> set[str]:
    (answer,) = await ask(port, {"list_services": "*"}, **more)
    return {one.name for one in answer.list_services_response.service} - {V1, V1ALPHA}


def methods(answer: Any) -> set[str]:
    files = map(descriptor_pb2.FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return {f"{each.name}/{method.name}" for file in files for each in file.service for method in each.method}


@pytest.mark.parametrize("version", [V1, V1ALPHA])
def test_a_host_answers_for_all_backends_whatever_version_they_speak(version: str, tmp_path: Path) -> None:
    async def test() -> None:
        services = {
            "shop": DescribedService(shop(), reflects=(V1ALPHA,)),
            "user": DescribedService(user(), reflects=(V1,)),
            "mute": DescribedService(file_of("mute.Mute", {"Speak": {}})),
        }
        rules = to("shop", made.method("shop.Shop")), to("user", made.method("user.User")), to("mute")
        reflecting = Reflecting(tmp_path, made.grpc_route("all", *rules, **ON), services)
        async with reflecting():
            assert await names(reflecting.port, version=version) == {"shop.Shop", "user.User"}
            one, other, file = await ask(
                reflecting.port,
                {"file_containing_symbol": "shop.Shop.Get"},
                {"file_containing_symbol": "user.User"},
                {"file_by_filename": "api.proto"},  # both have one of this name: that of the one who answered last
                version=version,
            )
            assert methods(one) == {"Shop/Get"}
            assert methods(other) == methods(file) == {"User/Login"}
            assert one.valid_host == "h"
            assert one.original_request.file_containing_symbol == "shop.Shop.Get"
            (unknown,) = await ask(reflecting.port, {"file_containing_symbol": "no.Such"}, version=version)
            assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]

    run(test)


def test_rules_decide_whose_answer_counts(tmp_path: Path) -> None:
    """Both backends define shop.Shop; what a call would reach is what is told."""

    async def test() -> None:
        services = {
            "stable": DescribedService(shop("Get"), reflects=(V1,)),
            "canary": DescribedService(shop("Fetch"), reflects=(V1,)),
            "user": DescribedService(user(), reflects=(V1,)),
        }
        match = made.method("shop.Shop")
        rules = to("canary", canary(match)), to("stable", match), to("user", made.method("other.Service"))
        reflecting = Reflecting(tmp_path, made.grpc_route("all", *rules, **ON), services)
        async with reflecting():
            asked = {"file_containing_symbol": "shop.Shop"}
            (answer,) = await ask(reflecting.port, asked)
            assert methods(answer) == {"Shop/Get"}
            (answer,) = await ask(reflecting.port, asked, metadata=[("env", "canary")])
            assert methods(answer) == {"Shop/Fetch"}
            assert await names(reflecting.port) == {"shop.Shop"}  # no rule leads to user.User

    run(test)


def test_a_client_cannot_ask_at_another_host_and_not_without_the_annotation(tmp_path: Path) -> None:
    async def test() -> None:
        services = {"shop": DescribedService(shop(), reflects=(V1,))}
        route = made.grpc_route("all", to("shop", made.method("shop.Shop")), hostnames=["foo.example.com"], **ON)
        reflecting = Reflecting(tmp_path, route, services)
        async with reflecting():
            spoofed = [("x-roadstead-virtual-host", "bar.example.com x"), ("x-roadstead-cluster", "other")]
            assert await names(reflecting.port, metadata=spoofed) == {"shop.Shop"}
            async with channel(reflecting.port, "bar.example.com") as over:
                refused = await failure(call(over, "ServerReflectionInfo", service=V1))
            assert refused.code() is grpc.StatusCode.UNIMPLEMENTED

    run(test)


def test_what_no_backend_tells_is_an_error_with_the_reason(tmp_path: Path) -> None:
    async def test() -> None:
        services = {"mute": DescribedService(file_of("mute.Mute", {"Speak": {}}))}
        reflecting = Reflecting(tmp_path, made.grpc_route("all", to("mute"), **ON), services)
        async with reflecting() as bed:
            (answer,) = await ask(reflecting.port, {"list_services": "*"})
            assert answer.error_response.error_code == grpc.StatusCode.UNIMPLEMENTED.value[0]
            assert "no backend of this host answers reflection" in answer.error_response.error_message
            assert bed.envoy.alive

    run(test)


def test_without_the_control_plane_it_is_unavailable_and_calls_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        service = DescribedService(shop())
        reflecting = Reflecting(tmp_path, made.grpc_route("all", to("shop"), **ON), {"shop": service})
        async with reflecting() as bed:
            Path(bed.socket).with_name(SERVER_SOCKET).unlink()
            async with channel(reflecting.port) as over:
                refused = await failure(call(over, "ServerReflectionInfo", service=V1))
                assert refused.code() is grpc.StatusCode.UNAVAILABLE
                assert await call(over, "Get", service="shop.Shop") == ""

    run(test)
