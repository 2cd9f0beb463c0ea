"""An API server in a process of its own, to be killed: `python apiserver_process.py FOLDER PORT`."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from apiserver_bed import prepare, serving


async def main(folder: Path, port: int) -> None:
    async with serving(prepare(folder, port=port)):
        print("ready", flush=True)  # noqa: T201 - the parent waits for this line
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
