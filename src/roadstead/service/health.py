"""`grpc.health.v1.Health`: what Kubernetes' probes, Envoy and grpc clients ask before they send anything here.

Written anew, since grpcio's holds a lock while it writes to a watcher (one that does not read would hold up the
shutdown) and its watches keep a stopping server waiting for the whole grace period. `thread_health.py` is the same
for threads.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = int
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Board:
    """The statuses, and what may become of them. `_notify` wakes whoever waits for a change."""

    def __init__(self, services: Iterable[str] = ()) -> None:
        self._statuses: dict[str, Status] = dict.fromkeys(("", *services), NOT_SERVING)
        self._draining = False
        self._closed = False

    def status(self, service: str) -> Status | None:
        """Return how a service is; None if there is none of this name."""
        return self._statuses.get(service)

    def set(self, service: str, status: Status) -> None:
        """Say how a service is from now on. Once the server drains, nothing is SERVING any more."""
        self._statuses[service] = NOT_SERVING if self._draining else status
        self._notify()

    def set_all(self, status: Status) -> None:
        """Say how every service is."""
        for service in tuple(self._statuses):
            self.set(service, status)

    def drain(self) -> None:
        """Say NOT_SERVING for good."""
        self._draining = True
        self.set_all(NOT_SERVING)

    def close(self) -> None:
        """End every Watch, so that a stopping server need not wait for its watchers."""
        self._closed = True
        self._notify()

    def is_closed(self) -> bool:
        """Tell whether watches are to end."""
        return self._closed

    def _notify(self) -> None:
        raise NotImplementedError


class Health(Board, health_pb2_grpc.HealthServicer):
    """The status of the server ("") and of each of its services. For one event loop."""

    def __init__(self, services: Iterable[str] = ()) -> None:
        super().__init__(services)
        self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        """Answer how a service is; NOT_FOUND if there is none of this name."""
        status = self.status(request.service)
        if status is None:
            await context.abort(*unknown_service(request.service))
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        """Send how a service is, now and whenever it changes."""
        last: Status | None = None
        while not self.is_closed():
            status = is_of(self, request.service)
            changed = self._changed
            if status != last:
                last = status
                await context.write(health_pb2.HealthCheckResponse(status=status))
                continue
            await changed.wait()
        await context.abort(*leaving())

    def _notify(self) -> None:
        # A fresh event for those who look next; a watcher that is busy writing looks again before it waits.
        self._changed.set()
        self._changed = asyncio.Event()


def health_handlers(health: Health) -> dict[str, Any]:
    """Return the method handlers for `add_registered_method_handlers`."""
    return handlers_of(health.Check, health.Watch)


def handlers_of(check: Callable[..., Any], watch: Callable[..., Any]) -> dict[str, Any]:
    """Return the method handlers of the two functions, asynchronous or not."""
    read, write = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    return {
        "Check": grpc.unary_unary_rpc_method_handler(check, read, write),
        "Watch": grpc.unary_stream_rpc_method_handler(watch, read, write),
    }


def is_of(board: Board, service: str) -> Status:
    """Return what a watcher is told about a service; the protocol knows a status for those that do not exist."""
    status = board.status(service)
    return UNKNOWN if status is None else status


def unknown_service(service: str) -> tuple[grpc.StatusCode, str]:
    """Return how a Check for a service that is not here ends."""
    return grpc.StatusCode.NOT_FOUND, f"no service {service!r} here"


def leaving() -> tuple[grpc.StatusCode, str]:
    """Return how a Watch ends when the server does."""
    return grpc.StatusCode.UNAVAILABLE, "the server is shutting down"
