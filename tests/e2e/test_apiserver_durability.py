"""What the server acknowledged is there after `kill -9`, at whatever moment it comes."""

import asyncio
import contextlib
import json
import random
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, Site, configmap, prepare
from polling import until

pytestmark = pytest.mark.e2e

ROUNDS = 30
WRITERS = 4
PROCESS = Path(__file__).with_name("apiserver_process.py")


class Connection:
    """One keep-alive connection that speaks just enough HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, site: Site, port: int) -> "Connection":
        tls = ssl.create_default_context(cafile=site.config.client_ca)
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        raw = json.dumps(body).encode() if body is not None else b""
        fields = ["host: x", "authorization: Bearer admin-token", f"content-length: {len(raw)}", "", ""]
        self._writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *fields]).encode() + raw)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in answer.splitlines() if line.lower().startswith("content-length:"))
        return int(answer.split()[1]), json.loads(await self._reader.readexactly(length))

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def start(site: Site, port: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROCESS), str(site.folder), str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"ready\n"
    return process


class Ledger:
    """What the server said about each object: its last acknowledged state, and whether a write was in flight."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str | None] = {}
        self.attempted: dict[str, str | None] = {}
        self.revision = 0
        self.writes = 0

    async def write(self, connection: Connection, writer: int, number: int) -> None:
        name, value = f"w{writer}-{number % 7}", f"{number}"
        exists = self.acknowledged.get(name) is not None
        if exists and number % 5 == 0:
            self.attempted[name] = None
            code, _ = await connection.send("DELETE", f"{CONFIGMAPS}/{name}")
        else:
            self.attempted[name] = value
            body = configmap(name, n=value)
            method, path = ("PUT", f"{CONFIGMAPS}/{name}") if exists else ("POST", CONFIGMAPS)
            code, answer = await connection.send(method, path, body)
            self.revision = max(self.revision, int(answer["metadata"]["resourceVersion"]))
        assert code in {200, 201}, code
        self.acknowledged[name] = self.attempted.pop(name)
        self.writes += 1

    async def check(self, connection: Connection) -> None:
        code, answer = await connection.send("GET", CONFIGMAPS)
        assert code == 200
        found = {item["metadata"]["name"]: item["data"]["n"] for item in answer["items"]}
        assert int(answer["metadata"]["resourceVersion"]) >= self.revision
        for name, value in self.acknowledged.items():
            allowed = {value, self.attempted[name]} if name in self.attempted else {value}
            assert found.get(name) in allowed, (name, found.get(name), allowed)
        for name, value in found.items():
            assert value in {self.acknowledged.get(name), self.attempted.get(name)}, "something came out of nowhere"
        self.acknowledged = dict(found)
        self.attempted.clear()


async def write_until_killed(site: Site, port: int, ledger: Ledger, writer: int, numbers: "Counter") -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        connection = await Connection.open(site, port)
        try:
            while True:
                await ledger.write(connection, writer, numbers.next())
        finally:
            await connection.close()


class Counter:
    def __init__(self) -> None:
        self.value = 0

    def next(self) -> int:
        self.value += 1
        return self.value


def test_no_acknowledged_write_is_lost_by_kill_9(tmp_path: Path) -> None:
    chance = random.Random(7)

    async def whole() -> None:
        site = prepare(tmp_path)
        port = site.port
        site.listening.close()
        ledger, counters = Ledger(), [Counter() for _ in range(WRITERS)]
        for _ in range(ROUNDS):
            process = await start(site, port)
            checking = await Connection.open(site, port)
            await ledger.check(checking)
            await checking.close()
            writers = [
                asyncio.get_running_loop().create_task(write_until_killed(site, port, ledger, number, counter))
                for number, counter in enumerate(counters)
            ]
            enough = ledger.writes + chance.randrange(1, 60)
            await until(lambda enough=enough: ledger.writes >= enough, every=0.0005)
            process.kill()
            await process.wait()
            await asyncio.gather(*writers)
        process = await start(site, port)
        checking = await Connection.open(site, port)
        await ledger.check(checking)
        await checking.close()
        process.kill()
        await process.wait()
        assert ledger.writes >= 500
        assert not list(site.folder.glob("state/*.damaged*")), "nothing was damaged either"

    asyncio.run(whole())
