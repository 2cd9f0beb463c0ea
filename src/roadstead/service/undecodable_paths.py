"""A request whose path is not UTF-8 must not end the server.

grpc.aio (1.85) turns the path of a method that it does not know into text in the one task that takes up all RPCs. If
that fails, the task fails, and with it the whole server: it closes its port and cancels every RPC. One request of
anybody who can connect is enough, long before an interceptor is asked. The threaded server is not affected.

Nothing of that task can be replaced from outside but what Python does about bytes that are no text. That is what is
done here, for this task alone: the bytes become U+FFFD, and the method is one that does not exist, like any other.
"""

import asyncio
import codecs
from functools import cache

from roadstead.service.main_loop import is_main_loop


@cache
def survive_undecodable_paths() -> None:
    """Keep the `grpc.aio` servers of this process serving, whatever a path consists of; once is enough."""
    codecs.register_error("strict", _strict)


def _strict(error: UnicodeError) -> tuple[str, int]:
    """Do what "strict" has always done, which is to raise the error, except in that one task."""
    if isinstance(error, UnicodeDecodeError) and _in_main_loop():
        return "\N{REPLACEMENT CHARACTER}", error.end
    raise error


def _in_main_loop() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and is_main_loop(task)
