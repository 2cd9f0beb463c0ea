"""A disk that is full fails the write and nothing else: readers go on, nothing is lost, and writes go on with space."""

import asyncio
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from apiserver_bed import CONFIGMAPS, configmap
from apiserver_nursery import Nursery
from raw_http import RawConnection, request, trusting

pytestmark = pytest.mark.e2e

BIG = "x" * 100_000
ROUNDS = 3


class Disk:
    """What a conversation fills: `begin` starts a server on it, `free` makes room for one that runs."""

    def __init__(self, nursery: Nursery, folder: Path, free: Callable[[int], None]) -> None:
        self.nursery = nursery
        self.free = free
        self.stored: dict[str, str] = {}
        self._tls = trusting(folder / "ca.crt")

    async def begin(self) -> int:
        pid = await self.nursery.begin()
        await self.nursery.ready()
        return pid

    async def connect(self) -> RawConnection:
        return await RawConnection.open(self._tls, self.nursery.port)

    async def write(self, client: RawConnection, name: str, text: str) -> str:
        """Write an object; returns the server's complaint, empty if it was stored."""
        if name in self.stored:
            code, answer = await client.send("PUT", f"{CONFIGMAPS}/{name}", configmap(name, text=text))
        else:
            code, answer = await client.send("POST", CONFIGMAPS, configmap(name, text=text))
        if code < 300:
            self.stored[name] = text
            return ""
        assert (code, answer["reason"]) == (500, "InternalError")
        return str(answer["message"])

    async def fill(self, client: RawConnection) -> str:
        """Write until the server complains, and return the complaint."""
        for number in range(1000):
            if complaint := await self.write(client, f"n{number % 20}", f"{number} {BIG}"):
                return complaint
        raise AssertionError("a thousand writes of 100 kB did not fill the disk")

    async def check(self, client: RawConnection) -> None:
        """Hold the server to what it acknowledged."""
        code, listed = await client.send("GET", CONFIGMAPS)
        assert code == 200
        assert {item["metadata"]["name"]: item["data"]["text"] for item in listed["items"]} == self.stored


async def converse(disk: Disk, cause: str) -> None:
    pid = await disk.begin()
    client, watcher = await disk.connect(), await disk.connect()
    watcher.writer.write(request("GET", f"{CONFIGMAPS}?watch=true"))
    await watcher.head()
    for _ in range(ROUNDS):
        complaint = await disk.fill(client)
        assert "state.db" in complaint
        assert cause in complaint
        await disk.check(client)
    await disk.nursery.kill(pid)

    pid = await disk.begin()
    client = await disk.connect()
    await disk.check(client)
    assert await disk.write(client, "n0", f"again {BIG * 5}"), "the disk is still full"
    await disk.check(client)

    disk.free(pid)
    for number in range(30):
        assert await disk.write(client, f"n{number}", "small again") == ""
    await disk.check(client)
    await disk.nursery.kill(pid)
    pid = await disk.begin()
    await disk.check(await disk.connect())
    await disk.nursery.kill(pid)


def talk(folder: Path, wrapper: list[str], free: Callable[[Nursery, int], None], cause: str) -> None:
    async def whole() -> None:
        nursery = await Nursery.open(folder, *wrapper)
        try:
            async with asyncio.timeout(100):
                await converse(Disk(nursery, folder, lambda pid: free(nursery, pid)), cause)
        finally:
            await nursery.close()

    asyncio.run(whole())
    assert not list(folder.glob("state/*.damaged*"))


def may_mount() -> bool:
    return os.system("unshare --user --map-root-user --mount mount -t tmpfs tmpfs /mnt 2>/dev/null") == 0


def test_a_file_system_that_is_full(tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("needs to mount a file system: neither root nor user namespaces here")
    state = tmp_path / "state"
    state.mkdir()
    mount = f'mount -t tmpfs -o size=8m tmpfs {state} && head -c 3m /dev/zero > {state}/ballast && exec "$@"'
    wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]

    def free(nursery: Nursery, _: int) -> None:
        Path(f"/proc/{nursery.pid}/root{state}/ballast").unlink()

    talk(tmp_path, wrapper, free, "the disk is full")


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """What an ordinary user's quota does, at a limit that any user can set."""
    limit = 2_000_000

    def free(_: Nursery, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    talk(tmp_path, ["prlimit", f"--fsize={limit}:unlimited"], free, "disk I/O error")
