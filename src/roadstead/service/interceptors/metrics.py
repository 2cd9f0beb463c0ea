"""How many, how long, and how did they end? Prometheus metrics under the names that gRPC's middlewares use.

    grpc_server_started_total{grpc_type, grpc_service, grpc_method}
    grpc_server_handled_total{grpc_type, grpc_service, grpc_method, grpc_code}
    grpc_server_handling_seconds{grpc_type, grpc_service, grpc_method}

Dashboards and alerts that were made for go-grpc-middleware fit; it also counts a stream's messages, which is left out
here. Needs the extra `metrics`.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import grpc

from roadstead.service.interceptors.stage import Admission, Call, Outcome, Stage
from roadstead.service.processes import place
from roadstead.service.processes.shared_metrics import directory
from roadstead.service.wiring import shared_network_address

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector
except ModuleNotFoundError as missing:
    problem = "metrics need prometheus-client: install it with `pip install 'roadstead[metrics]'`"
    raise ModuleNotFoundError(problem, name=missing.name) from missing

_LABELS = ("grpc_type", "grpc_service", "grpc_method")
# A method that is not here may have any name: a label for each would let strangers fill the memory.
_UNKNOWN = ("unary", "unknown", "unknown")


class _Families(NamedTuple):
    started: Counter
    handled: Counter
    seconds: Histogram


@cache
def _families(registry: CollectorRegistry) -> _Families:
    """Return the metrics of a registry, which takes each name once; servers of one process share them."""
    return _Families(
        Counter("grpc_server_started_total", "RPCs started on the server.", _LABELS, registry=registry),
        Counter(
            "grpc_server_handled_total", "RPCs completed, by status code.", (*_LABELS, "grpc_code"), registry=registry
        ),
        Histogram("grpc_server_handling_seconds", "How long RPCs took.", _LABELS, registry=registry),
    )


class Metrics(Stage):
    """Counts every RPC. Put it first, so that refusals count too."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._families = _families(registry)
        # What `labels` finds, found again ten times as fast.
        self._started: dict[tuple[str, str], Any] = {}
        self._ended: dict[tuple[str, str, grpc.StatusCode], tuple[Any, Any]] = {}

    def admit(self, call: Call) -> Admission:
        """Count the beginning; refuses nothing."""
        key = (call.kind, call.method if call.kind else "")
        counter = self._started.get(key)
        if counter is None:
            counter = self._started[key] = self._families.started.labels(*_labels(call))
        counter.inc()
        return None

    def observe(self, call: Call, outcome: Outcome) -> None:
        """Count the end."""
        key = (call.kind, call.method if call.kind else "", outcome.code)
        found = self._ended.get(key)
        if found is None:
            labels = _labels(call)
            handled = self._families.handled.labels(*labels, _code_name(outcome.code))
            found = self._ended[key] = (handled, self._families.seconds.labels(*labels))
        found[0].inc()
        found[1].observe(outcome.seconds)


def serve_metrics(
    port: int = 9090, *, registry: CollectorRegistry = REGISTRY, variables: Mapping[str, str] = os.environ
) -> int:
    """Serve `/metrics` by HTTP, in a thread, and return the port. Raises OSError if the port is taken.

    On a port of its own: Prometheus speaks no gRPC and should need no credentials of the service. Which pods may ask is
    a matter for a NetworkPolicy. Of several processes of a server the parent alone serves them, for all.
    """
    if place(variables) is not None:
        return port
    address = shared_network_address(variables) or "0.0.0.0"
    server, _ = start_http_server(port, addr=address, registry=_OfAllProcesses(registry))
    return int(server.server_port)


class _OfAllProcesses(CollectorRegistry):
    """What this process counted or, if it is the parent of several, what they did."""

    def __init__(self, own: CollectorRegistry) -> None:
        super().__init__()
        self._own = own

    def collect(self) -> Iterable[Metric]:
        shared = directory()
        if shared is None:
            return self._own.collect()
        found: Iterable[Metric] = MultiProcessCollector(None, path=shared).collect()  # type: ignore[no-untyped-call]
        return found


def _labels(call: Call) -> tuple[str, str, str]:
    if not call.kind:
        return _UNKNOWN
    service, _, method = call.method.rpartition("/")
    return call.kind, service, method


def _code_name(code: grpc.StatusCode) -> str:
    """Return a status as gRPC's middlewares write it: `PermissionDenied`, and `OK`."""
    return (
        code.name if code is grpc.StatusCode.OK else code.name.title().replace("_", "").replace("Cancelled", "Canceled")
    )
