"""The one task in which a `grpc.aio` server takes up all RPCs, for those who must know how it fares.

It is private to grpc.aio (1.85), which tells of its end only who asks again and again: `wait_for_termination` raises
what ended it if it has a time limit; without one it first waits until the last connection has gone. But a loop that has
a timer looks at it in each of its turns, a dozen for every RPC, and that takes 4 % of a server's time.
"""

import asyncio
from typing import Any

import grpc.aio

_NAME = "AioServer._server_main_loop"


def is_main_loop(task: asyncio.Task[Any]) -> bool:
    """Tell whether a task is the main loop of a server of `grpc.aio`."""
    return getattr(task.get_coro(), "__qualname__", "") == _NAME


async def start(server: grpc.aio.Server) -> asyncio.Task[Any] | None:
    """Start a server and return its main loop; None if this grpcio has no such task."""
    before = asyncio.all_tasks()
    await server.start()
    return next((task for task in asyncio.all_tasks() - before if is_main_loop(task)), None)
