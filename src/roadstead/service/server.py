"""A gRPC server that behaves in Kubernetes: `Server` wires what every service needs around your servicers.

    server = Server(port=50051, stages=standard_stages(passwords="/etc/app/passwords", policy="/etc/app/policy.yaml"))
    add_UserServicer_to_server(User(), server)
    asyncio.run(server.run())                     # until SIGTERM

Health, reflection, interceptors, TLS and draining are files of their own in this folder; here they meet.
`threaded_server.py` does the same for servicers that are plain functions.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc.aio

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.service.health import Health, health_handlers
from roadstead.service.interceptors.asynchronous import AsyncWrapper
from roadstead.service.lifecycle import Drain, Lifecycle
from roadstead.service.undecodable_paths import survive_undecodable_paths
from roadstead.service.wiring import Wiring


class Server(Wiring):
    """A `grpc.aio` server with health, reflection, interceptors and a graceful end.

    Its settings are those of `Wiring`. Make it inside or outside of a running loop; it is bound and started by `start`
    or `run`.
    """

    health: Health
    lifecycle: Lifecycle
    # How often it is looked whether grpc's server has failed.
    watch_seconds = 5.0
    _server: grpc.aio.Server | None = None
    _failure: Exception | None = None

    def _equip(self, drain: Drain) -> None:
        self.health = Health()
        self.lifecycle = Lifecycle(self.health, drain)

    async def start(self) -> None:
        """Bind and serve. Raises RuntimeError if the port is taken, OSError or ValueError if TLS files are unusable."""
        survive_undecodable_paths()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="handler")
        server = grpc.aio.server(pool, options=self._options())
        self._fill(server, AsyncWrapper(self.stages, pool), health_handlers(self.health))
        await server.start()
        # Kept here: grpc.aio stops listening, without a word, when its server object is collected.
        self._server = server
        self._say_serving(self.health)

    async def wait(self) -> None:
        """Serve until `lifecycle.leave()`, then drain. Raises RuntimeError if grpc's own server fails by itself."""
        server = self._server
        if server is None:
            raise RuntimeError("start the server first")
        watch = spawn(self._watch(server), name="watch grpc server")
        try:
            await self.lifecycle.run(server)
        finally:
            await cancel_all([watch])
        if self._failure is not None:
            raise RuntimeError("grpc's server has failed") from self._failure

    async def _watch(self, server: grpc.aio.Server) -> None:
        # A process that listens no more is of no use to anybody: it has to end, so that a new one is started.
        try:
            while await server.wait_for_termination(timeout=self.watch_seconds):
                pass
        except Exception as error:  # noqa: BLE001  whatever ended grpc's server is told by `wait`
            self._failure = error
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
