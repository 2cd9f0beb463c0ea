import asyncio
from typing import Any

import grpc
from described_service import file_of
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from roadstead.gateway import ir
from roadstead.gateway.reflection.asking import Asker, Silence
from roadstead.gateway.reflection.learning import Learner, described
from roadstead.lib.tasks import cancel_all, spawn

SILENCE = Silence(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def importing(*names: str) -> Any:
    file = file_of("shop.Shop", {"Get": {}})
    del file.dependency[:]
    file.dependency.extend(names)
    return file


class Backend(Asker):
    """Answers what it is told to, without a network."""

    def __init__(self, services: Any, *files: Any) -> None:
        self._services = services
        self._files = {file.name: file for file in files}
        self.asked: list[str] = []

    async def services(self, _cluster: str) -> Any:
        return self._services

    async def ask(self, _cluster: str, request: Any) -> Any:
        symbol, name = request.file_containing_symbol, request.file_by_filename
        self.asked.append(symbol or name)
        found = [file for file in self._files.values() if file.name == name or (symbol and file.service)]
        answer = reflection_pb2.ServerReflectionResponse()
        if found:
            sent = [file.SerializeToString() for file in found[:1]]
            answer.file_descriptor_response.file_descriptor_proto.extend(sent)
        else:
            answer.error_response.error_message = "not found"
        return answer


def names_of(encoded: bytes | str) -> list[str]:
    assert isinstance(encoded, bytes), encoded
    return [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(encoded).file]


def test_files_are_fetched_with_all_that_they_import_but_what_nobody_tells() -> None:
    more = descriptor_pb2.FileDescriptorProto(name="more.proto", dependency=["google/protobuf/empty.proto"])
    backend = Backend(frozenset({"shop.Shop"}), importing("more.proto"), more)
    assert names_of(asyncio.run(described(backend, "c"))) == ["shop.proto", "more.proto"]
    assert backend.asked == ["shop.Shop", "more.proto", "google/protobuf/empty.proto"]


def test_reflection_is_no_service_to_learn() -> None:
    services = frozenset({"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"})
    backend = Backend(services)
    assert asyncio.run(described(backend, "c")) == b""
    assert backend.asked == []


def test_why_a_backend_cannot_be_described() -> None:
    assert asyncio.run(described(Backend(SILENCE), "c")) == (
        "its reflection does not answer: UNIMPLEMENTED: Method not found!"
    )
    assert asyncio.run(described(Backend(frozenset({"a.B"})), "c")) == (
        "its reflection does not tell what a.B is: not found"
    )


def test_what_is_asked_for_is_worth_knowing_and_nobody_waits() -> None:
    async def test() -> None:
        proxy = ir.Proxy("p", ir.Workload("n", "p"), clusters=(ir.Cluster("c", "c", "h2"),))
        sockets: list[str] = []
        learner = Learner(lambda: {"p": proxy}, lambda _: sockets)
        learned = asyncio.Event()
        learner.on_change(lambda cluster: learned.set() if cluster == "c" else None)
        assert learner.get("c") is None
        assert (list(learner), len(learner)) == ([], 0)
        running = spawn(learner.run(), name="learn")
        await asyncio.sleep(0.05)
        assert not learned.is_set()  # no Envoy is there to ask through
        sockets.append("/no/such/socket")
        learner.look()
        async with asyncio.timeout(10):
            await learned.wait()
        assert "its reflection does not answer: UNAVAILABLE" in str(learner["c"])
        await cancel_all([running])

    asyncio.run(test())
