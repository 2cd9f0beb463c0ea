"""The same server for servicers that are plain functions: `grpc.server` with a pool of threads.

    server = ThreadedServer(port=50051, threads=32, stages=standard_stages(…))
    add_UserServicer_to_server(User(), server)
    server.run()                                  # until SIGTERM

Choose it for handlers that wait in libraries without asyncio. Every running RPC holds a thread, an open stream for as
long as it lives; health has threads of its own, so that a probe is answered when all others are taken.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc

from roadstead.service.interceptors.threaded import ThreadWrapper
from roadstead.service.lifecycle import Drain, ThreadLifecycle
from roadstead.service.thread_health import ThreadHealth, thread_health_handlers
from roadstead.service.wiring import Wiring


class ThreadedServer(Wiring):
    """A threaded `grpc.server` with health, reflection, interceptors and a graceful end; settings as for `Wiring`."""

    threaded = True
    health: ThreadHealth
    lifecycle: ThreadLifecycle
    _server: grpc.Server | None = None

    def _equip(self, drain: Drain) -> None:
        self.health = ThreadHealth()
        self.lifecycle = ThreadLifecycle(self.health, drain)

    def start(self) -> None:
        """Bind and serve.

        Raises RuntimeError if the port is taken or the server was started before, OSError or ValueError if TLS files
        are unusable.
        """
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="handler")
        server = grpc.server(pool, options=self._options())
        self._fill(server, ThreadWrapper(self.stages), thread_health_handlers(self.health))
        server.start()
        self._server = server
        self._say_serving(self.health)

    def wait(self) -> None:
        """Serve until `lifecycle.leave()`, then drain."""
        if self._server is None:
            raise RuntimeError("start the server first")
        self.lifecycle.run(self._server)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; the whole life of a server's process, in its main thread."""
        if self.supervise():
            return
        self.lifecycle.listen(interrupt=self._place is None)
        self.start()
        if self._place is not None:
            self._place.tell_serving(self.lifecycle.leave)
        self.wait()

    def stop(self, grace: float | None = None) -> None:
        """Stop without the lame duck phase; for tests and for servers inside other programs."""
        self.health.drain()
        self.health.close()
        if self._server is not None:
            self._server.stop(grace).wait()
