"""An API server in a process of its own, to be killed: `python apiserver_process.py FOLDER PORT`."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from apiserver_bed import prepare, serving


async def start(folder: Path, port: int, *wrapper: str) -> asyncio.subprocess.Process:
    """Start a server and return once it serves; `wrapper` is a command that runs it."""
    process = await asyncio.create_subprocess_exec(
        *wrapper, sys.executable, __file__, str(folder), str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"ready\n"
    return process


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, *wrapper: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server for as long as the context lasts."""
    process = await start(folder, port, *wrapper)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def memory(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")


def open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def main(folder: Path, port: int) -> None:
    async with serving(prepare(folder, port=port)):
        print("ready", flush=True)  # noqa: T201 - the parent waits for this line
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
