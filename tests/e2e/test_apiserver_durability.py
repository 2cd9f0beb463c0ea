"""What the server acknowledged is there after `kill -9`, whether it comes while it writes, compacts or starts."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from apiserver_bed import CONFIGMAPS, configmap
from apiserver_nursery import Nursery
from polling import until
from raw_http import RawConnection, trusting

pytestmark = pytest.mark.e2e

KILLS = 300
"""Most of them under writes; every tenth while the server starts."""
ENOUGH_SECONDS, ENOUGH_KILLS = 75, 100
"""A machine that has much else to do may stop earlier."""
WRITERS = 4


class Ledger:
    """What the server said about each object: its last acknowledged state, and whether a write was in flight."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str | None] = {}
        self.attempted: dict[str, str | None] = {}
        self.revision = 0
        self.writes = 0

    async def write(self, connection: RawConnection, writer: int, number: int) -> None:
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

    async def check(self, connection: RawConnection) -> None:
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


class Writer:
    """A client that writes until its server dies, and goes on with the next server."""

    def __init__(self, ledger: Ledger, identity: int) -> None:
        self._ledger = ledger
        self._identity = identity
        self._number = 0

    async def write_until_killed(self, connection: RawConnection) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self._number += 1
                await self._ledger.write(connection, self._identity, self._number)
        await connection.close()


def test_no_acknowledged_write_is_lost_by_kill_9(tmp_path: Path) -> None:
    chance = random.Random(7)

    async def whole() -> None:
        nursery, ledger = await Nursery.open(tmp_path), Ledger()
        port, tls = nursery.port, trusting(tmp_path / "ca.crt")
        writers = [Writer(ledger, number) for number in range(WRITERS)]
        late = asyncio.get_running_loop().time() + ENOUGH_SECONDS
        for kill in range(KILLS):
            if kill >= ENOUGH_KILLS and asyncio.get_running_loop().time() > late:
                break
            pid = await nursery.begin()
            if kill % 10 == 9:
                await asyncio.sleep(chance.random() * 0.05)
            else:
                await nursery.ready()
                connections = [await RawConnection.open(tls, port) for _ in writers]
                await ledger.check(connections[0])
                writing = [
                    asyncio.get_running_loop().create_task(writer.write_until_killed(connection))
                    for writer, connection in zip(writers, connections, strict=True)
                ]
                enough = ledger.writes + chance.randrange(1, 40)
                await until(lambda enough=enough: ledger.writes >= enough, every=0.0005)
            await nursery.kill(pid)
            if kill % 10 != 9:
                await asyncio.gather(*writing)
        pid = await nursery.begin()
        await nursery.ready()
        last = await RawConnection.open(tls, port)
        await ledger.check(last)
        await last.close()
        await nursery.kill(pid)
        await nursery.close()
        assert ledger.writes >= 10 * ENOUGH_KILLS, "the log was compacted"

    asyncio.run(whole())
    assert not list(tmp_path.glob("state/*.damaged*")), "nothing was damaged either"
