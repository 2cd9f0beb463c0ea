"""`grpc.health.v1.Health`: what Kubernetes' probes, Envoy and grpc clients ask before they send anything here.

Written anew, since grpcio's holds a lock while it writes to a watcher (one that does not read would hold up the
shutdown) and its watches keep a stopping server waiting for the whole grace period.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE_NAME = "grpc.health.v1.Health"
Status = int
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """The status of the server ("") and of each of its services. For one event loop."""

    def __init__(self, services: Iterable[str] = ()) -> None:
        self._statuses: dict[str, Status] = dict.fromkeys(("", *services), NOT_SERVING)
        self._changed = asyncio.Event()
        self._draining = False
        self._closed = False

    def set(self, service: str, status: Status) -> None:
        """Say how a service is from now on. Once the server drains, nothing is SERVING any more."""
        self._statuses[service] = NOT_SERVING if self._draining else status
        self._notify()

    def set_all(self, status: Status) -> None:
        """Say how every service is."""
        for service in self._statuses:
            self.set(service, status)

    def drain(self) -> None:
        """Say NOT_SERVING for good."""
        self._draining = True
        self.set_all(NOT_SERVING)

    def close(self) -> None:
        """End every Watch, so that a stopping server need not wait for its watchers."""
        self._closed = True
        self._notify()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        """Answer how a service is; NOT_FOUND if there is none of this name."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        """Send how a service is, now and whenever it changes."""
        last: Status | None = None
        while not self._closed:
            status = self._statuses.get(request.service, _UNKNOWN)
            changed = self._changed
            if status != last:
                last = status
                await context.write(health_pb2.HealthCheckResponse(status=status))
                continue
            await changed.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    def _notify(self) -> None:
        # A fresh event for those who look next; a watcher that is busy writing looks again before it waits.
        self._changed.set()
        self._changed = asyncio.Event()
