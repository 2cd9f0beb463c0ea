"""API servers that are killed one after the other: `python apiserver_nursery.py FOLDER`.

Says its port. Then, for each line on its input, it forks a server, which says its process id, and `ready` once it
serves; `gone` is said once it was killed. Nothing but the fork runs in the parent: no loop, no threads.
"""

import asyncio
import os
import sys
from pathlib import Path

from apiserver_bed import Site, prepare, serving


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


async def serve(site: Site) -> None:
    async with serving(site):
        say("ready")
        await asyncio.Event().wait()


def main(folder: Path) -> None:
    site = prepare(folder)
    site.listening.listen(64)
    say(site.port)
    while os.read(0, 64):
        child = os.fork()
        if child == 0:
            say(os.getpid())
            asyncio.run(serve(site))
            os._exit(1)
        os.waitpid(child, 0)
        say("gone")


main(Path(sys.argv[1]))
