import asyncio
import time

import grpc
import pytest
from echo_service import async_handlers
from polling import until

from roadstead.service import Server
from roadstead.service.channel import channel
from roadstead.service.hedging import Budget, Hedging, hedged

OK, AWAY, WRONG = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT


class Attempt:
    """As much of a grpc.aio call as hedging sees: ends when it is told how."""

    def __init__(self, trailing=()) -> None:
        self.trailing = trailing
        self.cancelled = False
        self._code: grpc.StatusCode | None = None
        self._callbacks = []

    def end(self, code: grpc.StatusCode) -> "Attempt":
        self._code = code
        for callback in self._callbacks:
            callback(self)
        return self

    def add_done_callback(self, callback) -> None:
        self._callbacks.append(callback)
        if self._code is not None:
            callback(self)

    async def code(self) -> grpc.StatusCode:
        return self._code

    async def trailing_metadata(self):
        return self.trailing

    def cancel(self) -> None:
        self.cancelled = True


class Bed:
    """Runs `hedged` over attempts; each ends by itself with a code, or stays open with None."""

    def __init__(self, *codes: grpc.StatusCode | None, trailing=()) -> None:
        self.attempts = [Attempt(trailing) for _ in codes]
        self._codes = codes
        self.started = 0

    async def start(self) -> Attempt:
        attempt, code = self.attempts[self.started], self._codes[self.started]
        self.started += 1
        return attempt if code is None else attempt.end(code)

    def run(self, budget: Budget | None = None, **settings) -> int:
        """Return the number of the attempt that counted."""
        hedging = Hedging(**{"delay": 0.01, **settings})
        chosen = asyncio.run(asyncio.wait_for(hedged(self.start, hedging, budget or Budget(1)), 5))
        return self.attempts.index(chosen)


@pytest.mark.parametrize(("codes", "attempts", "chosen", "started"), [
    ([OK], 2, 0, 1),
    ([WRONG], 2, 0, 1),
    ([None, OK], 2, 1, 2),
    ([None, WRONG], 2, 1, 2),
    ([AWAY, OK], 2, 1, 2),
    ([AWAY, AWAY], 2, 1, 2),
    ([None, AWAY, OK], 3, 2, 3),
    ([None, None, OK], 3, 2, 3),
    ([AWAY], 1, 0, 1),
])  # fmt: skip
def test_the_first_answer_counts(codes, attempts, chosen, started):
    bed = Bed(*codes)
    assert bed.run(attempts=attempts) == chosen
    assert bed.started == started
    open_ones = [attempt for attempt, code in zip(bed.attempts, codes, strict=True) if code is None]
    assert all(attempt.cancelled for attempt in open_ones)


def test_the_slow_one_may_still_win():
    async def scenario() -> tuple[int, bool]:
        bed = Bed(None, None)
        running = asyncio.get_running_loop().create_task(hedged(bed.start, Hedging(delay=0.01), Budget(1)))
        await until(lambda: bed.started == 2)
        bed.attempts[0].end(OK)
        return bed.attempts.index(await running), bed.attempts[1].cancelled

    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == (0, True)


def test_a_server_that_asks_for_rest_gets_it():
    bed = Bed(AWAY, OK, trailing=(("grpc-retry-pushback-ms", "-1"),))
    assert bed.run() == 0
    assert bed.started == 1


def test_hedges_are_few():
    budget = Budget(0.1, most=2)
    sent = []
    for _ in range(22):
        bed = Bed(AWAY, OK)
        bed.run(budget)
        sent.append(bed.started)
    assert sent[:2] == [2, 2]
    assert sum(sent) == 22 + 2 + 2, "two at once, then one in ten"


def test_a_caller_who_goes_away_takes_all_with_him():
    async def scenario() -> list[bool]:
        bed = Bed(None, None)
        running = asyncio.get_running_loop().create_task(hedged(bed.start, Hedging(delay=0.01), Budget(1)))
        await until(lambda: bed.started == 2)
        running.cancel()
        await asyncio.wait([running])
        return [attempt.cancelled for attempt in bed.attempts]

    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == [True, True]


def test_over_the_wire(loop_thread):
    slow, ended = asyncio.Event(), []

    async def scenario() -> tuple[bytes, float, int]:
        count = 0

        async def handler(request, context):
            nonlocal count
            count += 1
            if count == 1:
                try:
                    await slow.wait()
                except asyncio.CancelledError:
                    ended.append("cancelled")
                    raise
            return b"re:" + request

        server = Server(port=0, address="127.0.0.1")
        handlers = {**async_handlers(), "unary_unary": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        await server.start()
        async with channel(
            f"127.0.0.1:{server.port}", idempotent=["test.Echo/unary_unary"], hedging=Hedging(delay=0.1)
        ) as opened:
            started = time.monotonic()
            reply = await opened.unary_unary("/test.Echo/unary_unary")(b"x")
            seconds = time.monotonic() - started
            await until(lambda: ended)
        await server.stop()
        return reply, seconds, count

    reply, seconds, count = loop_thread.run(scenario())
    assert (reply, count, ended) == (b"re:x", 2, ["cancelled"])
    assert seconds >= 0.1


def test_other_methods_are_sent_once(loop_thread):
    async def scenario() -> int:
        seen = 0

        async def handler(request, context):
            nonlocal seen
            seen += 1
            await asyncio.sleep(0.1)
            return request

        server = Server(port=0, address="127.0.0.1")
        handlers = {"M": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
        await server.start()
        async with channel(f"127.0.0.1:{server.port}", idempotent=["t.Other"], hedging=Hedging(delay=0.01)) as opened:
            await opened.unary_unary("/t.T/M")(b"x")
        await server.stop()
        return seen

    assert loop_thread.run(scenario()) == 1


@pytest.mark.parametrize("attempts", [0, -1])
def test_there_is_one_attempt_at_least(attempts):
    with pytest.raises(ValueError, match=f"Hedging: attempts must be 1 or more, not {attempts}"):
        Hedging(attempts=attempts)
