"""The end of grpc.aio's own server is heard of at once, and the loop needs no timer for it."""

import asyncio
import codecs
import subprocess
import sys

import grpc
import pytest
from echo_service import async_handlers
from raw_http2 import sent
from structlog.testing import capture_logs

from roadstead.service import Drain, Server, main_loop
from roadstead.service.undecodable_paths import survive_undecodable_paths


def test_a_server_that_fails_all_the_same_ends_its_process(loop_thread, monkeypatch, caplog):
    server = Server(port=0, address="127.0.0.1", drain=Drain(lame_duck=0, grace=0))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", async_handlers()),))

    async def scenario() -> None:
        await server.start()
        # As in a process without the protection.
        codecs.register_error("strict", codecs.strict_errors)
        try:
            waiting = asyncio.get_running_loop().create_task(server.wait())
            with sent(server.port, b"/test.Echo/\xff"):
                async with asyncio.timeout(10):
                    await waiting
        finally:
            survive_undecodable_paths.cache_clear()
            survive_undecodable_paths()

    with pytest.raises(RuntimeError, match="grpc's server has failed") as failed:
        loop_thread.run(scenario())
    assert isinstance(failed.value.__cause__, UnicodeDecodeError)


def test_a_grpcio_without_such_a_task_is_told_of(loop_thread, monkeypatch):
    monkeypatch.setattr(main_loop, "_NAME", "AioServer.of_another_name")
    server = Server(port=0, address="127.0.0.1")
    with capture_logs() as logs:
        loop_thread.run(server.start())
    loop_thread.run(server.stop())
    assert "if grpc's server fails, this process will not end" in [each["event"] for each in logs]


# In a process of its own, since what other tests have left in their loop may set timers.
IDLE = """
import asyncio
from roadstead.service import Server

async def scenario():
    server = Server(port=0, address="127.0.0.1")
    await server.start()
    waiting = asyncio.create_task(server.wait())
    await asyncio.sleep(0)
    print(len(asyncio.get_running_loop()._scheduled), "timers")
    waiting.cancel()
    await server.stop()

asyncio.run(scenario())
"""


def test_a_server_that_waits_sets_no_timer():
    done = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "0 timers"
