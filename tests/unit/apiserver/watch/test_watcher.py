"""What one client is still to be sent: directly while it keeps up, kept for it while it does not, and not for ever."""

import asyncio
from collections.abc import Awaitable, Callable

from roadstead.apiserver.watch import watcher as module
from roadstead.apiserver.watch.watcher import Watcher
from roadstead.lib.tasks import spawn


class Connection:
    """Takes what is pushed while it is not busy."""

    def __init__(self) -> None:
        self.busy = False
        self.sent: list[bytes] = []

    def push(self, part: bytes) -> bool:
        if not self.busy:
            self.sent.append(part)
        return not self.busy


def talk(conversation: Callable[[Watcher, Connection], Awaitable[None]], limit: int = 100) -> None:
    async def whole() -> None:
        connection, watcher = Connection(), Watcher(limit)
        watcher.push = connection.push
        async with asyncio.timeout(10):
            await conversation(watcher, connection)

    asyncio.run(whole())


def test_lines_go_directly_to_a_client_that_waits_for_them() -> None:
    async def conversation(watcher: Watcher, connection: Connection) -> None:
        waiting = spawn(watcher.fetch(60), name="stream")
        await asyncio.sleep(0)
        watcher.take(b"1")
        watcher.take(b"2")
        assert connection.sent == [b"1", b"2"]
        watcher.close()
        assert await waiting == b""

    talk(conversation)


def test_lines_are_kept_in_order_while_the_stream_still_sends_what_came_before() -> None:
    async def conversation(watcher: Watcher, connection: Connection) -> None:
        watcher.take(b"1")
        assert await watcher.fetch(60) == b"1"
        watcher.take(b"2")
        assert connection.sent == [], "the stream may not have sent 1 yet"
        assert await watcher.fetch(60) == b"2"

    talk(conversation)


def test_lines_are_kept_while_the_connection_is_busy() -> None:
    async def conversation(watcher: Watcher, connection: Connection) -> None:
        waiting = spawn(watcher.fetch(60), name="stream")
        await asyncio.sleep(0)
        connection.busy = True
        watcher.take(b"1")
        connection.busy = False
        watcher.take(b"2")
        assert connection.sent == [], "1 was not sent yet"
        assert await waiting == b"12"

    talk(conversation)


def test_nothing_came() -> None:
    async def conversation(watcher: Watcher, connection: Connection) -> None:
        assert await watcher.fetch(0.01) == b""
        assert not watcher.closed

    talk(conversation)


def test_a_client_that_does_not_read_is_cut_off_and_holds_no_memory() -> None:
    async def conversation(watcher: Watcher, connection: Connection) -> None:
        connection.busy = True
        for _ in range(11):
            watcher.take(b"0123456789")
        assert watcher.closed
        assert await watcher.fetch(60) == b"", "a part of what it missed would be worse than nothing"

    talk(conversation)


def test_what_was_kept_before_the_end_is_still_sent() -> None:
    async def conversation(watcher: Watcher, connection: Connection) -> None:
        watcher.take(b"1")
        watcher.close()
        watcher.take(b"2")
        assert await watcher.fetch(60) == b"1"

    talk(conversation)


def test_a_long_backlog_is_fetched_in_pieces() -> None:
    half = b"x" * (module.CHUNK_BYTES // 2)

    async def conversation(watcher: Watcher, connection: Connection) -> None:
        for _ in range(3):
            watcher.take(half)
        assert len(await watcher.fetch(60)) == 2 * len(half)
        assert len(await watcher.fetch(60)) == len(half)

    talk(conversation, limit=4 * module.CHUNK_BYTES)
