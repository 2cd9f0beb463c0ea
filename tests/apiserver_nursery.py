"""API servers that are killed one after the other; each is a fork of a process that has imported everything.

As a program (`python apiserver_nursery.py FOLDER`) it says its port. Then, for each line on its input, it forks a
server, which says its process id, and `ready` once it serves; `gone` is said once it was killed. Nothing but the fork
runs in the parent: no loop, no threads.
"""

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path

from apiserver_bed import Site, prepare, serving


class Nursery:
    """The program, as a test speaks to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._orders, self._reports = process, process.stdin, process.stdout
        self.port = 0

    @classmethod
    async def open(cls, folder: Path, *wrapper: str) -> "Nursery":
        """Start it; `wrapper` is a command that executes it."""
        pipe = asyncio.subprocess.PIPE
        command = (*wrapper, sys.executable, __file__, str(folder))
        nursery = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
        nursery.port = int(await nursery._reports.readline())
        return nursery

    @property
    def pid(self) -> int:
        return self._process.pid

    async def begin(self) -> int:
        """Begin a server and return its process id at once."""
        self._orders.write(b"start\n")
        return int(await self._reports.readline())

    async def ready(self) -> None:
        """Wait until the server serves."""
        async with asyncio.timeout(30):
            assert await self._reports.readline() == b"ready\n"

    async def kill(self, pid: int) -> None:
        """Kill the server and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        while (report := await self._reports.readline()) != b"gone\n":
            assert report == b"ready\n", report

    async def close(self) -> None:
        """End the program; a server that still runs is killed."""
        self._process.kill()
        await self._process.wait()


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Voice:
    """Takes standard output for reports; what servers log goes to standard error."""

    def __init__(self) -> None:
        self._output = os.dup(1)
        os.dup2(2, 1)

    def say(self, text: object) -> None:
        os.write(self._output, f"{text}\n".encode())


async def serve(site: Site, voice: Voice) -> None:
    async with serving(site):
        voice.say("ready")
        await asyncio.Event().wait()


def main(folder: Path) -> None:
    voice = Voice()
    site = prepare(folder)
    site.listening.listen(64)
    voice.say(site.port)
    while os.read(0, 64):
        child = os.fork()
        if child == 0:
            end_with_parent()
            voice.say(os.getpid())
            asyncio.run(serve(site, voice))
            os._exit(1)
        os.waitpid(child, 0)
        voice.say("gone")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
