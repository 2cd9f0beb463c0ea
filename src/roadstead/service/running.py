"""The whole life of a server's process in one call: `run(server)`, for servers of both sorts.

    run(server)         # until SIGTERM

An event loop of uvloop's is used if it is installed: gRPC's calls cost a twentieth to a seventh less with it. Those who
want asyncio's own, or have a loop already, write `asyncio.run(server.run())`.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable

from roadstead.service.server import Server
from roadstead.service.threaded_server import ThreadedServer


def run(server: Server | ThreadedServer) -> None:
    """Serve until SIGTERM or SIGINT, then drain; with several processes, in the parent, supervise them.

    Raises RuntimeError if the port is taken, OSError or ValueError if TLS files are unusable, SystemExit if one of
    several processes did not end well. Only a process's main thread may call it.
    """
    if isinstance(server, ThreadedServer):
        server.run()
        return
    if server.supervise():
        return
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(server.run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loops; None (asyncio's own) if it is not installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    made: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return made
