"""An Envoy that shall be drained asks all its clients to leave, also idle ones, and serves them meanwhile."""

import asyncio

import pytest
from envoy_bed import (
    HERE,
    Backend,
    any_grpc,
    call,
    channel,
    cluster,
    forward,
    free_port,
    host,
    http_listener,
    proxy,
    run,
    running,
    until,
)

from roadstead.gateway.drain import press

pytestmark = pytest.mark.e2e

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
GOAWAY = 7


class Idle(asyncio.Protocol):
    """An HTTP/2 connection that never calls; it notes the types of the frames that come."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(GREETING)

    def data_received(self, received: bytes) -> None:
        self._rest += received
        while len(self._rest) >= (length := 9 + int.from_bytes(self._rest[:3])):
            self.frames.append(self._rest[3])
            self._rest = self._rest[length:]


async def connect(port: int) -> Idle:
    _, idle = await asyncio.get_running_loop().create_connection(Idle, HERE, port)
    await until(lambda: idle.frames, "Envoy greets")
    return idle


def test_idle_connections_and_those_that_carry_a_stream_are_told_to_leave(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", foo)])
        async with running(tmp_path, served), channel(port) as over:
            stream = over.unary_stream("/com.example.User/Stream")(b"")
            assert await stream.read() == b"foo"
            early = await connect(port)
            assert GOAWAY not in early.frames
            press(tmp_path)
            await until(lambda: GOAWAY in early.frames, "the idle client is told")
            late = await connect(port)
            await until(lambda: GOAWAY in late.frames, "a client that comes late is told, too")
            assert await call(over) == "foo", "calls go over a new connection"
            assert [await stream.read() for _ in range(5)] == [b"foo"] * 5
            stream.cancel()

    run(test)
