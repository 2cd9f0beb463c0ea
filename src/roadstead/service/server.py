"""A gRPC server that behaves in Kubernetes: `Server` wires what every service needs around your servicers.

    server = Server(port=50051, stages=standard_stages(passwords="/etc/app/passwords", policy="/etc/app/policy.yaml"))
    add_UserServicer_to_server(User(), server)
    asyncio.run(server.run())                     # until SIGTERM

Health, reflection, interceptors, TLS and draining are files of their own in this folder; here they meet.
`threaded_server.py` does the same for servicers that are plain functions.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc.aio
import structlog

from roadstead.service import main_loop
from roadstead.service.health import Health, health_handlers
from roadstead.service.interceptors.asynchronous import AsyncWrapper
from roadstead.service.lifecycle import Drain, Lifecycle
from roadstead.service.undecodable_paths import survive_undecodable_paths
from roadstead.service.wiring import Wiring

_log = structlog.get_logger(__name__)


class Server(Wiring):
    """A `grpc.aio` server with health, reflection, interceptors and a graceful end.

    Its settings are those of `Wiring`. Make it inside or outside of a running loop; it is bound and started by `start`
    or `run`.
    """

    health: Health
    lifecycle: Lifecycle
    _server: grpc.aio.Server | None = None
    _failure: BaseException | None = None

    def _equip(self, drain: Drain) -> None:
        self.health = Health()
        self.lifecycle = Lifecycle(self.health, drain)

    async def start(self) -> None:
        """Bind and serve.

        Raises RuntimeError if the port is taken or the server was started before, OSError or ValueError if TLS files
        are unusable.
        """
        survive_undecodable_paths()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="handler")
        server = grpc.aio.server(pool, options=self._options())
        self._fill(server, AsyncWrapper(self.stages, pool), health_handlers(self.health))
        self._watch(await main_loop.start(server))
        # Kept here: grpc.aio stops listening, without a word, when its server object is collected.
        self._server = server
        self._say_serving(self.health)

    async def wait(self) -> None:
        """Serve until `lifecycle.leave()`, then drain. Raises RuntimeError if grpc's own server fails by itself."""
        if self._server is None:
            raise RuntimeError("start the server first")
        await self.lifecycle.run(self._server)
        if self._failure is not None:
            raise RuntimeError("grpc's server has failed") from self._failure

    def _watch(self, task: "asyncio.Task[Any] | None") -> None:
        if task is None:
            _log.warning("if grpc's server fails, this process will not end", grpcio=grpc.__version__)
        else:
            task.add_done_callback(self._main_loop_ended)

    def _main_loop_ended(self, task: "asyncio.Task[Any]") -> None:
        # A process that listens no more is of no use to anybody: it has to end, so that a new one is started.
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self.lifecycle.leave()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; the whole life of a server's process."""
        if self.supervise():
            return
        loop = asyncio.get_running_loop()
        self.lifecycle.listen(loop, interrupt=self._place is None)
        await self.start()
        if self._place is not None:
            self._place.tell_serving(lambda: loop.call_soon_threadsafe(self.lifecycle.leave))
        await self.wait()

    async def stop(self, grace: float | None = None) -> None:
        """Stop without the lame duck phase; for tests and for servers inside other programs."""
        self.health.drain()
        self.health.close()
        if self._server is not None:
            await self._server.stop(grace)
