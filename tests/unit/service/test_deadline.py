"""A handler's deadline, and the calls that the handler makes."""

import asyncio
import time

import grpc
import pytest

from roadstead.service import Server
from roadstead.service.channel import channel
from roadstead.service.deadline import set_time_left, shorter, time_left
from roadstead.service.interceptors import Deadline


@pytest.mark.parametrize(("one", "other", "found"), [(1, 2, 1), (None, 2, 2), (1, None, 1), (None, None, None)])
def test_the_shorter_of_two(one, other, found):
    assert shorter(one, other) == found


def test_time_passes():
    async def scenario() -> None:
        assert time_left() is None
        set_time_left(60)
        assert 55 < time_left() <= 60
        set_time_left(-1)
        assert time_left() == 0
        set_time_left(None)
        assert time_left() is None

    asyncio.run(scenario())


async def _end(call) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


class Chain:
    """Two servers: the first asks the second, which notes how much time it has."""

    def __init__(self) -> None:
        self.remaining: list[float | None] = []

    async def back(self, request, context):
        self.remaining.append(context.time_remaining())
        return b"back"

    async def front(self, request, context):
        return await self.opened.unary_unary("/t.Back/M")(request)

    async def run(self, **call) -> str:
        front, back = [self._server(name, handler) for name, handler in (("Front", self.front), ("Back", self.back))]
        await back.start()
        await front.start()
        async with (
            channel(f"127.0.0.1:{back.port}", timeout=20) as self.opened,
            grpc.aio.insecure_channel(f"127.0.0.1:{front.port}") as outside,
        ):
            code = await _end(outside.unary_unary("/t.Front/M")(b"x", **call))
        await front.stop()
        await back.stop()
        return code

    def _server(self, name: str, handler) -> Server:
        server = Server(port=0, address="127.0.0.1", stages=[Deadline(cap=10 if name == "Front" else None)])
        handlers = {"M": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"t.{name}", handlers),))
        return server


@pytest.mark.parametrize(("call", "most"), [({"timeout": 4}, 4.5), ({}, 10.5), ({"timeout": 15}, 10.5)])
def test_a_handlers_calls_get_no_more_time_than_the_handler_has(loop_thread, call, most):
    chain = Chain()
    assert loop_thread.run(chain.run(**call)) == "OK"
    assert most - 2.5 < chain.remaining[0] < most  # grpc rounds up on the wire


def test_calls_outside_of_handlers_have_their_own(loop_thread):
    async def scenario() -> float:
        chain = Chain()
        server = chain._server("Back", chain.back)
        await server.start()
        async with channel(f"127.0.0.1:{server.port}", timeout=20) as opened:
            await opened.unary_unary("/t.Back/M")(b"x")
        await server.stop()
        return chain.remaining[0]

    assert 17 < loop_thread.run(scenario()) < 20.5


def test_no_time_left_is_an_answer_not_a_call(loop_thread):
    async def scenario() -> tuple[str, float, list]:
        chain = Chain()
        server = chain._server("Back", chain.back)
        await server.start()
        async with channel(f"127.0.0.1:{server.port}", timeout=20) as opened:
            set_time_left(0)
            started = time.monotonic()
            code = await _end(opened.unary_unary("/t.Back/M")(b"x"))
            seconds = time.monotonic() - started
        await server.stop()
        return code, seconds, chain.remaining

    code, seconds, remaining = loop_thread.run(scenario())
    assert (code, remaining) == ("DEADLINE_EXCEEDED", [])
    assert seconds < 5
