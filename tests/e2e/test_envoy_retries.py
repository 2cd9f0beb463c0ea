"""What Envoy tries again: codes that a route names, before a byte has gone to the client; never a begun stream."""

import asyncio
from collections.abc import AsyncIterator

import gateway_objects as made
import grpc
import pytest
from envoy_bed import HERE, SERVICE, Backend, call, channel, failure, http_get, run, running
from free_ports import free_port

from roadstead.api.objects import Object
from roadstead.gateway import ir

pytestmark = pytest.mark.e2e


class Flaky(Backend):
    """Fails the first calls with a code; a stream fails after its first message."""

    def __init__(self, name: str, failures: int, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        super().__init__(name)
        self._left, self._code = failures, code

    async def _unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.calls += 1
        if self._left:
            self._left -= 1
            await context.abort(self._code, "try later")
        return self.name.encode()

    async def _stream(self, request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        self.calls += 1
        yield b"first"
        await context.abort(self._code, "in the middle")


def served(port: int, backend: int, route: Object) -> ir.Proxy:
    return made.served_here(port, {"foo": backend}, made.gateway(), route)


def grpc_route(**annotations: str) -> Object:
    named = {f"roadstead.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return made.grpc_route("foo", made.rule(made.backend("foo")), annotations=named)


@pytest.mark.parametrize(
    ("annotations", "failures", "answer", "calls"),
    [
        ({"retry_on": "UNAVAILABLE"}, 2, "foo", 3),
        ({"retry_on": "UNAVAILABLE", "retry_attempts": "1"}, 2, "UNAVAILABLE", 2),
        ({"retry_on": "RESOURCE_EXHAUSTED"}, 1, "UNAVAILABLE", 1),
        ({}, 1, "UNAVAILABLE", 1),
    ],
)
def test_a_code_before_the_first_message_is_tried_again_where_the_route_says_so(
    annotations, failures, answer, calls, tmp_path
):
    async def test():
        port, flaky = free_port(), await Flaky("foo", failures).start()
        async with running(tmp_path, served(port, flaky.port, grpc_route(**annotations))), channel(port) as over:
            if answer == "foo":
                assert await call(over) == answer
            else:
                error = await failure(call(over))
                assert (error.code().name, error.details()) == (answer, "try later")
        assert flaky.calls == calls

    run(test)


def test_a_stream_that_has_begun_is_never_tried_again(tmp_path):
    async def test():
        port, flaky = free_port(), await Flaky("foo", 0).start()
        route = grpc_route(retry_on="UNAVAILABLE")
        async with running(tmp_path, served(port, flaky.port, route)), channel(port) as over:
            stream = over.unary_stream(f"/{SERVICE}/Stream")(b"")
            assert await stream.read() == b"first"
            error = await failure(stream.read())
            assert error.details() == "in the middle"
        assert flaky.calls == 1

    run(test)


@pytest.mark.parametrize(("stanza", "tries"), [({"retry": {"attempts": 2, "backoff": "10ms"}}, 3), ({}, 1)])
def test_a_lost_connection_is_tried_again_where_the_stanza_says_so(stanza, tries, tmp_path):
    async def test():
        port, requests = free_port(), []

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(await reader.readline())
            writer.close()

        server = await asyncio.start_server(hang_up, HERE, 0)
        backend = server.sockets[0].getsockname()[1]
        route = made.http_route("foo", made.rule(made.backend("foo"), **stanza))
        async with running(tmp_path, served(port, backend, route)):
            status, _ = await http_get(port, "/")
            assert status == 503
            assert len(requests) == tries
        server.close()

    run(test)


def test_a_backend_that_takes_too_long_is_asked_again(tmp_path):
    async def test():
        port, requests, never = free_port(), [], asyncio.Event()

        async def slow_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(await reader.readline())
            if len(requests) == 1:
                await never.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(slow_at_first, HERE, 0)
        backend = server.sockets[0].getsockname()[1]
        rule = made.rule(made.backend("foo"), retry={"attempts": 1}, timeouts={"backendRequest": "200ms"})
        async with running(tmp_path, served(port, backend, made.http_route("foo", rule))):
            status, _ = await http_get(port, "/")
            assert (status, len(requests)) == (200, 2)
        never.set()
        server.close()

    run(test)
