"""What gRPC does on the wire passes through Envoy: many streams on a connection, pings, metadata, trailers alone."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import http2_frames as http2
import pytest
from envoy_bed import (
    HERE,
    SERVICE,
    any_grpc,
    call,
    cluster,
    failure,
    forward,
    host,
    http_get,
    http_listener,
    proxy,
    run,
    running,
    until,
)
from free_ports import free_port

from roadstead.lib.tasks import cancel_all, spawn

pytestmark = pytest.mark.e2e

STREAMS = 10_000
LARGE = 64 << 20
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
METADATA = (("grpc.max_metadata_size", 1 << 20), ("grpc.absolute_max_metadata_size", 1 << 20))
REQUEST = http2.block(
    (":method", "POST"),
    (":scheme", "http"),
    (":path", f"/{SERVICE}/Login"),
    (":authority", "foo.example.com"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
ANSWER = http2.block((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = http2.block(("grpc-status", "0"))
EMPTY_MESSAGE = bytes(5)


class Waiting:
    """A backend that answers nobody until it is told to, and then everybody."""

    def __init__(self) -> None:
        self.open: list[tuple[asyncio.StreamWriter, int]] = []
        self.port = self.resets = 0

    async def start(self) -> "Waiting":
        self._server = await asyncio.start_server(self._serve, HERE, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for found in http2.accept(reader, writer):
            if found.kind == http2.HEADERS:
                self.open.append((writer, found.stream))
            self.resets += found.kind == http2.RESET
        writer.close()

    async def answer_all(self) -> None:
        for writer, stream in self.open:
            writer.write(
                http2.frame(http2.HEADERS, http2.END_HEADERS, stream, ANSWER)
                + http2.frame(http2.DATA, 0, stream, EMPTY_MESSAGE)
                + http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, TRAILERS)
            )
            await writer.drain()


def scenario(tmp_path: Path, backend: Any, test: Callable[[int, Any], Awaitable[None]]) -> None:
    async def go() -> None:
        port = free_port()
        await backend.start()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", backend)])
        try:
            async with running(tmp_path, served) as bed:
                await test(port, bed)
        finally:
            await backend.stop()

    run(go)


def test_ten_thousand_streams_are_open_at_once_on_one_connection(tmp_path: Path) -> None:
    backend = Waiting()

    async def test(port: int, bed: Any) -> None:
        reader, writer = await http2.connect(HERE, port)
        ended, lost = set(), []

        async def read() -> None:
            async for found in http2.frames(reader, writer):
                if found.kind in (http2.RESET, http2.GOAWAY):
                    lost.append(found)
                elif found.flags & http2.END_STREAM and found.kind in (http2.HEADERS, http2.DATA):
                    ended.add(found.stream)

        reading = spawn(read(), name="read answers")
        for number in range(STREAMS):
            stream = 2 * number + 1
            writer.write(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, REQUEST))
            writer.write(http2.frame(http2.DATA, http2.END_STREAM, stream, EMPTY_MESSAGE))
            await writer.drain()
        await until(lambda: lost or len(backend.open) == STREAMS, f"all are open; {len(backend.open)} are")
        _, active = await http_get(bed.envoy.admin_port, f"/stats?filter=http.http-{port}.downstream_(rq|cx)_active")
        assert f"downstream_rq_active: {STREAMS}\n" in active
        assert "downstream_cx_active: 1\n" in active
        await backend.answer_all()  # Envoy takes so many frames at once for an attack, unless it is told otherwise.
        await until(lambda: lost or len(ended) == STREAMS or reading.done(), "all have ended")
        assert (len(ended), lost) == (STREAMS, [])
        await cancel_all([reading])
        writer.close()

    scenario(tmp_path, backend, test)


def test_thousands_of_streams_that_their_client_gives_up_harm_no_other_client(tmp_path: Path) -> None:
    backend = Waiting()

    async def test(port: int, _bed: Any) -> None:
        _, leaving = await http2.connect(HERE, port)
        reader, staying = await http2.connect(HERE, port)
        staying.write(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, REQUEST))
        for number in range(STREAMS // 2):
            leaving.write(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 2 * number + 1, REQUEST))
            await leaving.drain()
        await until(lambda: len(backend.open) == STREAMS // 2 + 1, "all are open")
        leaving.close()
        await until(lambda: backend.resets == STREAMS // 2, "all are reset")
        await backend.answer_all()
        frames = http2.frames(reader, staying)
        kinds = [found.kind async for found in _until_the_end(frames)]
        assert kinds[-3:] == [http2.HEADERS, http2.DATA, http2.HEADERS]
        staying.close()

    scenario(tmp_path, backend, test)


async def _until_the_end(frames: AsyncIterator[http2.Frame]) -> AsyncIterator[http2.Frame]:
    """Yield frames until a stream has ended."""
    async for found in frames:
        yield found
        if found.kind in (http2.HEADERS, http2.DATA) and found.flags & http2.END_STREAM:
            return


def test_a_client_may_ping_as_often_as_it_likes_also_in_a_quiet_stream(tmp_path: Path) -> None:
    backend = Waiting()

    async def test(port: int, _bed: Any) -> None:
        reader, writer = await http2.connect(HERE, port)
        writer.write(http2.frame(http2.HEADERS, http2.END_HEADERS, 1, REQUEST))
        echoed, others = [], []

        async def read() -> None:
            async for found in http2.frames(reader, writer):
                (echoed if found.kind == http2.PING else others).append(found)

        reading = spawn(read(), name="read pings")
        for number in range(300):
            writer.write(http2.frame(http2.PING, 0, 0, struct.pack(">Q", number)))
            await writer.drain()
            if number % 10 == 9:
                await until(lambda number=number: len(echoed) > number, f"ping {number} is answered")
        assert [struct.unpack(">Q", found.payload)[0] for found in echoed] == list(range(300))
        assert not [found for found in others if found.kind in (http2.GOAWAY, http2.RESET)]
        assert len(backend.open) == 1  # pings are for the gateway alone, and the stream lives
        await cancel_all([reading])
        writer.close()

    scenario(tmp_path, backend, test)


class Talker(grpc.GenericRpcHandler):
    """Sends metadata back, refuses with trailers alone, and echoes messages of any size."""

    def __init__(self) -> None:
        self.port = 0

    async def start(self) -> "Talker":
        self._server = grpc.aio.server(options=(*UNLIMITED, *METADATA))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"{HERE}:0")
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(getattr(self, details.method.rpartition("/")[2].lower()))

    async def refuse(self, _request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        context.set_trailing_metadata((("reason", "closed"), ("reason", "sold-out"), ("details-bin", b"\0\xff")))
        return await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nicht möglich: 100 %\nheute")

    async def tell(self, _request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        told = [pair for pair in context.invocation_metadata() or () if pair[0].startswith("my-")]
        await context.send_initial_metadata(told)
        context.set_trailing_metadata([(f"t-{name}", value) for name, value in told])
        return b""

    async def echo(self, request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        return request


def over(port: int) -> grpc.aio.Channel:
    options = [("grpc.default_authority", "foo.example.com"), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(f"{HERE}:{port}", [*options, *UNLIMITED, *METADATA])


def mine(metadata: Any) -> list[tuple[str, Any]]:
    return sorted((name, value) for name, value in metadata if "my-" in name)


def test_trailers_alone_carry_status_message_and_metadata(tmp_path: Path) -> None:
    async def test(port: int, _bed: Any) -> None:
        async with over(port) as client:
            refused = await failure(call(client, "Refuse"))
            assert refused.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert refused.details() == "nicht möglich: 100 %\nheute"
            trailers = [tuple(pair) for pair in refused.trailing_metadata()]
            for pair in (("reason", "closed"), ("reason", "sold-out"), ("details-bin", b"\0\xff")):
                assert pair in trailers

    scenario(tmp_path, Talker(), test)


def test_metadata_passes_both_ways_as_long_as_it_is_not_above_the_limit(tmp_path: Path) -> None:
    async def test(port: int, _bed: Any) -> None:
        sent = [("my-bin", bytes(range(256))), ("my-twice", "a"), ("my-twice", "b"), ("my-long", "x" * 20_000)]
        sent += [(f"my-{number}", "y" * 300) for number in range(20)]
        async with over(port) as client:
            answered = client.unary_unary(f"/{SERVICE}/Tell")(b"", metadata=sent, timeout=10)
            await answered
            assert mine(await answered.initial_metadata()) == sorted(sent)
            assert mine(await answered.trailing_metadata()) == sorted((f"t-{name}", value) for name, value in sent)
            too_long = [(f"my-{number}", "z" * 10_000) for number in range(7)]
            refused = await failure(call(client, "Tell", metadata=too_long))
            assert refused.code() is grpc.StatusCode.INTERNAL
            await call(client, "Tell", metadata=sent)  # on the same connection

    scenario(tmp_path, Talker(), test)


def test_messages_of_64_mib_pass_both_ways(tmp_path: Path) -> None:
    async def test(port: int, _bed: Any) -> None:
        async with over(port) as client:
            message = bytes(range(256)) * (LARGE // 256)
            assert await client.unary_unary(f"/{SERVICE}/Echo")(message, timeout=30) == message

    scenario(tmp_path, Talker(), test)
