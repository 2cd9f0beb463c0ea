"""Ten thousand clients that watch and hear nothing harm nobody: not those who work, not the machine's memory."""

import asyncio
import contextlib
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from apiserver_bed import CONFIGMAPS, configmap, prepare
from apiserver_process import memory, open_files, running
from free_ports import free_port
from polling import until
from raw_http import RawConnection, request, trusting

from roadstead.apiserver.http.connections import most_connections, prepare_process

pytestmark = pytest.mark.e2e

WATCHES = 10_000
LEFT_FOR_OTHERS = 500
AT_ONCE = 50
SECRETS = "/api/v1/namespaces/default/secrets"


class IdleWatch(asyncio.Protocol):
    """A client that asks for events and waits."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._query)

    def data_received(self, data: bytes) -> None:
        self.received += data


def how_many() -> int:
    """Return how many of the watches this process can hold, once it is made fit for many connections itself."""
    prepare_process()
    return min(WATCHES, most_connections() - LEFT_FOR_OTHERS)


async def watch(tls: ssl.SSLContext, port: int, count: int) -> list[IdleWatch]:
    loop = asyncio.get_running_loop()
    query = request("GET", f"{SECRETS}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan")
    watches: list[IdleWatch] = []

    async def open_some(number: int) -> None:
        for _ in range(number):
            _, protocol = await loop.create_connection(
                lambda: IdleWatch(query), "127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1"
            )
            watches.append(protocol)

    shares = [count // AT_ONCE + (position < count % AT_ONCE) for position in range(AT_ONCE)]
    await asyncio.gather(*(open_some(share) for share in shares))
    await until(lambda: all(b"\r\n\r\n" in one.received for one in watches), timeout=60, every=0.1)
    return watches


async def typical(connection: RawConnection) -> tuple[float, float]:
    """Return the medians of the seconds that a read and a write take."""
    reads, writes = [], []
    for number in range(300):
        begun = time.perf_counter()
        assert (await connection.send("GET", f"{CONFIGMAPS}/a"))[0] == 200
        reads.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        assert (await connection.send("PUT", f"{CONFIGMAPS}/a", configmap("a", n=f"{number}")))[0] == 200
        writes.append(time.perf_counter() - begun)
    return statistics.median(reads), statistics.median(writes)


@contextlib.asynccontextmanager
async def reading(connection: RawConnection) -> AsyncIterator[list[float]]:
    """Read without pause while the context lasts; gives the seconds that each read took."""
    took: list[float] = []
    more = True

    async def read() -> None:
        while more:
            begun = time.perf_counter()
            assert (await connection.send("GET", f"{CONFIGMAPS}/a"))[0] == 200
            took.append(time.perf_counter() - begun)

    task = asyncio.get_running_loop().create_task(read())
    try:
        yield took
    finally:
        more = False
        await task


def test_ten_thousand_idle_watches_harm_nobody(tmp_path: Path) -> None:
    async def conversation() -> None:
        port = free_port()
        site = prepare(tmp_path, port=port)
        site.listening.close()
        tls, count = trusting(site.config.client_ca), how_many()
        async with running(site.folder, port) as process, asyncio.timeout(150):
            worker = await RawConnection.open(tls, port)
            await worker.send("POST", CONFIGMAPS, configmap("a"))
            read_before, write_before = await typical(worker)
            empty = memory(process.pid)
            watches = await watch(tls, port, count)
            each = (memory(process.pid) - empty) / count
            assert each < 100_000, "bytes of the server's memory per watch"

            read_during, write_during = await typical(worker)
            assert read_during < 3 * read_before + 0.001
            assert write_during < 3 * write_before + 0.001

            secret = {"metadata": {"name": "told-to-all"}, "stringData": {"a": "b"}}
            async with reading(worker) as took:
                other = await RawConnection.open(tls, port)
                assert (await other.send("POST", SECRETS, secret))[0] == 201
                await until(lambda: all(b"told-to-all" in one.received for one in watches), timeout=60, every=0.05)
            assert len(took) > 10, "while all are told, others are served"

            for one in watches:
                one.transport.abort()
            await until(lambda: open_files(process.pid) < 50, timeout=60)
            assert (await worker.send("GET", f"{CONFIGMAPS}/a"))[0] == 200

    asyncio.run(conversation())
