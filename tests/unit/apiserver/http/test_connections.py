"""Rude clients on real sockets: what they may take is bounded, and polite ones do not notice them."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, PODS, HostKubelet, configmap, pod, prepare, serving
from polling import until
from raw_http import RawConnection, request, trusting

from roadstead.apiserver.http import connections, exchange
from roadstead.apiserver.server import ApiServer
from roadstead.apiserver.streams.kubelet import STDOUT


class Table:
    """A server and those who sit down at it."""

    def __init__(self, server: ApiServer, folder: Path, port: int) -> None:
        self.server = server
        self._tls = trusting(folder / "ca.crt")
        self._port = port
        self._open: list[RawConnection] = []

    async def connect(self, *, receive_buffer: int = 0) -> RawConnection:
        connection = await RawConnection.open(self._tls, self._port, receive_buffer=receive_buffer)
        self._open.append(connection)
        return connection

    async def is_well(self) -> bool:
        """Say whether a polite client is served."""
        polite = await self.connect()
        code, _ = await polite.send("GET", CONFIGMAPS)
        await polite.close()
        return code == 200

    @property
    def watchers(self) -> int:
        assert self.server._assembly is not None
        return self.server._assembly.hub.watchers

    @property
    def connections(self) -> int:
        assert self.server._listener is not None
        return len(self.server._listener.server_state.connections)

    async def leave(self) -> None:
        for connection in self._open:
            connection.writer.transport.abort()


def talk(folder: Path, conversation: Callable[[Table], Awaitable[None]]) -> None:
    async def whole() -> None:
        site = prepare(folder, durable=False)
        async with serving(site) as server, asyncio.timeout(30):
            table = Table(server, folder, site.port)
            try:
                await conversation(table)
            finally:
                await table.leave()

    asyncio.run(whole())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits for half a second where it would wait for half a minute."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(connections, "_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.5)


async def drip(connection: RawConnection, drop: bytes) -> None:
    """Send something small again and again, for as long as the server lets us."""
    while not connection.writer.transport.is_closing():
        connection.writer.write(drop)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [(b"", b"\r\n"), (b"GET /version HTTP/1.1\r\n", b"x-y: z\r\n"), (b"GET /", b"a")],
    ids=["nothing", "headers", "path"],
)
@pytest.mark.usefixtures("impatient")
def test_a_head_that_never_ends_ends_its_connection(tmp_path: Path, beginning: bytes, drop: bytes) -> None:
    async def conversation(table: Table) -> None:
        slow = await table.connect()
        slow.writer.write(beginning)
        await drip(slow, drop)
        assert await slow.ended()
        assert await table.is_well()

    talk(tmp_path, conversation)


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_says_nothing_ends(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        silent = await table.connect()
        assert await silent.ended()

    talk(tmp_path, conversation)


@pytest.mark.usefixtures("impatient")
def test_a_connection_may_rest_between_requests(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        polite = await table.connect()
        assert (await polite.send("GET", CONFIGMAPS))[0] == 200
        await asyncio.sleep(2)
        assert (await polite.send("GET", CONFIGMAPS))[0] == 200

    talk(tmp_path, conversation)


@pytest.mark.usefixtures("impatient")
def test_a_body_that_never_ends_is_answered_and_then_ends_its_connection(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        slow = await table.connect()
        slow.writer.write(request("POST", CONFIGMAPS, "content-length: 100000"))
        dripping = asyncio.get_running_loop().create_task(drip(slow, b" "))
        code, status = await slow.answer()
        assert (code, status["reason"]) == (504, "Timeout")
        assert await slow.ended()
        await dripping

    talk(tmp_path, conversation)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /version HTTP/1.1\r\nx-long: " + b"x" * (2 << 20),
        b"GET /version HTTP/1.1\r\n" + b"x-many: y\r\n" * 200_000,
        b"GET /" + b"x" * (2 << 20) + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=["one header", "many headers", "path"],
)
def test_a_head_that_is_too_large_is_refused(tmp_path: Path, head: bytes) -> None:
    async def conversation(table: Table) -> None:
        rude = await table.connect()
        rude.writer.write(head)
        assert (await rude.head())[0] == 431
        assert await rude.ended()
        assert await table.is_well()

    talk(tmp_path, conversation)


def test_a_long_query_is_read(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        names = ",".join(f"name-{number}" for number in range(5_000))
        polite = await table.connect()
        assert (await polite.send("GET", f"{CONFIGMAPS}?labelSelector=app+in+({names})"))[0] == 200

    talk(tmp_path, conversation)


def test_a_body_that_is_too_large_is_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        client = await table.connect()
        code, status = await client.send("POST", CONFIGMAPS, configmap("a", x="y" * (4 << 20)))
        assert (code, status["reason"]) == (413, "RequestEntityTooLarge")
        assert (await client.send("GET", CONFIGMAPS))[0] == 200

    talk(tmp_path, conversation)


def test_a_client_that_asks_first_is_told_before_it_sends(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        client = await table.connect()
        client.writer.write(request("POST", CONFIGMAPS, "expect: 100-continue", "content-length: 9000000"))
        assert (await client.answer())[0] == 413

    talk(tmp_path, conversation)


def test_a_stream_of_a_body_without_end_is_refused_and_then_cut_off(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        rude = await table.connect()
        rude.writer.write(request("POST", CONFIGMAPS, "transfer-encoding: chunked"))
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        while not rude.writer.transport.is_closing() and sent < 100 << 20:
            rude.writer.write(chunk)
            sent += len(chunk)
            await asyncio.sleep(0)
        assert sent < 100 << 20, "the server took it all"
        assert await table.is_well()

    talk(tmp_path, conversation)


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_nobody_reads_ends_its_connection_and_is_forgotten(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        client = await table.connect()
        for number in range(20):
            await client.send("POST", CONFIGMAPS, configmap(f"n{number}", x="y" * 900_000))
        hungry = [await table.connect(receive_buffer=4096) for _ in range(5)]
        for connection in hungry:
            connection.writer.transport.pause_reading()
            connection.writer.write(request("GET", CONFIGMAPS))
        await until(lambda: table.connections == 1)
        code, listed = await client.send("GET", CONFIGMAPS)
        assert (code, len(listed["items"])) == (200, 20), "18 MB for one who reads"

    talk(tmp_path, conversation)


@pytest.mark.usefixtures("impatient")
def test_a_watcher_that_does_not_read_is_cut_off_and_told_to_list_again(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        writer, reading = await table.connect(), await table.connect()
        _, listed = await writer.send("GET", CONFIGMAPS)
        watch = f"{CONFIGMAPS}?watch=true&resourceVersion={listed['metadata']['resourceVersion']}"
        slow = [await table.connect(receive_buffer=4096) for _ in range(10)]
        for connection in slow:
            connection.writer.transport.pause_reading()
            connection.writer.write(request("GET", watch))
        reading.writer.write(request("GET", watch))
        await reading.head()
        await until(lambda: table.watchers == 11)
        await writer.send("POST", CONFIGMAPS, configmap("a", n="-1"))
        for number in range(60):  # 27 MB: more than the kernel and the server keep
            assert (await writer.send("PUT", f"{CONFIGMAPS}/a", configmap("a", n=f"{number}", x="y" * 450_000)))[
                0
            ] == 200
        for number in range(60):
            await reading.reader.readuntil(f'"n":"{number}"'.encode())
        await until(lambda: table.watchers == 1)
        again = await table.connect()
        again.writer.write(request("GET", watch))
        assert (await again.head())[0] == 200
        assert b'"type":"ERROR","object":{"kind":"Status"' in await again.reader.readuntil(b'"code":410')

    talk(tmp_path, conversation)


def test_who_comes_when_there_are_too_many_is_sent_away_and_may_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 10)

    async def conversation(table: Table) -> None:
        seated = [await table.connect() for _ in range(10)]
        for connection in seated:
            assert (await connection.send("GET", CONFIGMAPS))[0] == 200
        for _ in range(5):
            assert await (await table.connect()).ended()
        for connection in seated:
            assert (await connection.send("GET", CONFIGMAPS))[0] == 200
        await seated[0].close()
        await until(lambda: table.connections < 10)
        assert await table.is_well()

    talk(tmp_path, conversation)


def test_clients_that_vanish_leave_nothing_behind(tmp_path: Path) -> None:
    async def conversation(table: Table) -> None:
        polite = await table.connect()
        for number in range(10):
            await polite.send("POST", CONFIGMAPS, configmap(f"n{number}", x="y" * 100_000))
        begun = [
            b"GET /ver",
            request("POST", CONFIGMAPS, "content-length: 1000") + b"{",
            request("GET", CONFIGMAPS),
            request("GET", f"{CONFIGMAPS}?watch=true"),
            request("PUT", f"{CONFIGMAPS}/n1", body=b'{"data": {"x": "z"}}'),
        ]
        for number in range(50):
            gone = await table.connect(receive_buffer=4096)
            gone.writer.write(begun[number % len(begun)])
            await asyncio.sleep(0.001 * (number % 7))
            gone.vanish()
        await until(lambda: table.watchers == 0 and table.connections == 1)
        assert (await polite.send("GET", CONFIGMAPS))[0] == 200

    talk(tmp_path, conversation)


class Talk:
    """A program that has said ten things and ended before anybody asked."""

    def __init__(self) -> None:
        self._parts = [(STDOUT, b"%d" % number) for number in range(10)]

    async def read(self) -> tuple[int, bytes] | None:
        return self._parts.pop(0) if self._parts else None

    async def close_stdin(self) -> None:
        pass

    async def wait(self) -> int:
        return 0

    async def close(self) -> None:
        pass


class TalkativeKubelet(HostKubelet):
    async def exec(self, *_: Any, **__: Any) -> Any:
        return Talk()


def test_each_frame_of_a_websocket_is_a_message_of_its_own(tmp_path: Path) -> None:
    """Clients poll the socket before each frame, and would not see a second one that TLS has already taken from it."""
    path = f"{PODS}/a/exec?command=anything&stdout=true&stderr=true"
    fields = (
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: " + "x" * 22,
    )

    def follow(tls: ssl.SSLContext, port: int) -> list[tuple[int, bytes]]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(request("GET", path, *fields, "sec-websocket-protocol: v4.channel.k8s.io"))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            assert head.startswith(b"HTTP/1.1 101")
            frames = []
            while not frames or frames[-1][0] != 8:
                assert not connection.pending()
                code, length = connection.recv(2)
                frames.append((code & 15, connection.recv(length) if length else b""))
            return frames

    async def whole() -> None:
        site = prepare(tmp_path, durable=False)
        async with serving(site, TalkativeKubelet()), asyncio.timeout(30):
            tls = trusting(site.config.client_ca)
            client = await RawConnection.open(tls, site.port)
            await client.send("POST", PODS, pod("a", node="here"))
            frames = await asyncio.to_thread(follow, tls, site.port)
            assert b"".join(content[1:] for _, content in frames if content[:1] == b"\1") == b"0123456789"
            await client.close()

    asyncio.run(whole())


def test_a_process_may_open_as_many_files_as_it_can() -> None:
    connections.prepare_process()
    assert connections.most_connections() > 800
