"""Health for the threaded server: the same board as `health.py`, waited for by threads.

Checks and watches have threads of their own: a probe that queues behind slow RPCs would make the kubelet kill a server
that is only busy, and clients that watch would take the threads that RPCs need.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2

from roadstead.service.health import Board, Status, handlers_of, is_of, leaving, unknown_service

_CHECKERS = 16
_MOST_WATCHERS = 64


class ThreadHealth(Board):
    """The status of the server ("") and of each of its services. For threads."""

    def __init__(self, services: Iterable[str] = ()) -> None:
        super().__init__(services)
        self._condition = threading.Condition()
        self._watchers = 0

    def _notify(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        """Answer how a service is; NOT_FOUND if there is none of this name."""
        status = self.status(request.service)
        if status is None:
            context.abort(*unknown_service(request.service))
        return health_pb2.HealthCheckResponse(status=status)

    def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> Iterator[health_pb2.HealthCheckResponse]:
        """Send how a service is, now and whenever it changes. RESOURCE_EXHAUSTED if too many watch already."""
        if not self._take_place():
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_MOST_WATCHERS} clients watch already; use Check")
        try:
            # Called when the client has gone, so that its thread does not wait for a change that may never come.
            context.add_callback(self._notify)
            for status in self._changes(request.service, context.is_active):
                yield health_pb2.HealthCheckResponse(status=status)
        finally:
            self._give_place_back()
        context.abort(*leaving())

    def _changes(self, service: str, is_active: Callable[[], bool]) -> Iterator[Status]:
        last: Status | None = None
        while is_active() and not self.is_closed():
            # Looked at under the lock, so that no change falls between the look and the wait; sent without it.
            with self._condition:
                status = is_of(self, service)
                if status == last and is_active() and not self.is_closed():
                    self._condition.wait(timeout=60)
            if status != last:
                last = status
                yield status

    def _take_place(self) -> bool:
        with self._condition:
            free = self._watchers < _MOST_WATCHERS
            self._watchers += free
        return free

    def _give_place_back(self) -> None:
        with self._condition:
            self._watchers -= 1


def thread_health_handlers(health: ThreadHealth) -> dict[str, Any]:
    """Return the method handlers for `add_registered_method_handlers`, each with threads of its own."""
    # One thread more than there are places: it tells those who come too many.
    checks = ThreadPoolExecutor(_CHECKERS, thread_name_prefix="health")
    watches = ThreadPoolExecutor(_MOST_WATCHERS + 1, thread_name_prefix="health-watch")
    return handlers_of(_on(checks, health.Check), _on(watches, health.Watch))


def _on(pool: ThreadPoolExecutor, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    function: Any = partial(behaviour)
    # grpc's threaded server looks for this attribute on a handler's function, and runs it there.
    function.experimental_thread_pool = pool
    return cast("Callable[..., Any]", function)
