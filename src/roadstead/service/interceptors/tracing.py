"""Where does the time of a request go, across services? A span of OpenTelemetry for every RPC that a server handles.

Its parent is the caller's span if the metadata names one (W3C Trace Context, or what the program's propagator reads).
It begins when the headers arrive, so it covers authentication too, and it is current from then on: in later stages, in
the handler, and for whatever either of them calls. It stays current for the rest of the RPC's own context and is never
taken away again: a generator that is closed from elsewhere cannot do that. Needs the extra `tracing`.
"""

from collections.abc import Callable
from typing import Any

import structlog

from roadstead.lib.tracebacks import traceback_of
from roadstead.service.health_methods import is_health
from roadstead.service.interceptors.stage import Admission, Call, Metadata, Outcome, Stage
from roadstead.service.refusal import RpcError
from roadstead.service.tracing import conventions

try:
    from opentelemetry import trace
    from opentelemetry.context import Context, attach
    from opentelemetry.propagate import extract
    from opentelemetry.propagators.textmap import Getter
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
except ModuleNotFoundError as missing:
    problem = "tracing needs opentelemetry-api: install it with `pip install 'roadstead[tracing]'`"
    raise ModuleNotFoundError(problem, name=missing.name) from missing


__all__ = ["Tracing", "is_health"]
_log = structlog.get_logger(__name__)


class Tracing(Stage):
    """Makes a span of every RPC except those for which `skip(method)` is true. Put it first.

    Spans go to `tracer_provider`, or to the one that the program has set for all. Health is skipped unless you say
    otherwise: probes ask so often that their spans would bury the others.
    """

    def __init__(
        self, tracer_provider: trace.TracerProvider | None = None, skip: Callable[[str], bool] = is_health
    ) -> None:
        self._tracer = trace.get_tracer(
            "roadstead.service", tracer_provider=tracer_provider, schema_url=conventions.SCHEMA_URL
        )
        self._skip = skip

    def admit(self, call: Call) -> Admission:
        """Begin the span and make it current; refuses nothing."""
        try:
            if not self._skip(call.method):
                self._begin(call)
        except Exception as error:  # noqa: BLE001  propagators and samplers are plugins: a fault must not refuse a call
            _log.error("an RPC cannot be traced", method=call.method, exception=traceback_of(error))
        return None

    def _begin(self, call: Call) -> None:
        # From nothing, not from what is current: in a server that is nobody's, or another call's.
        parent = extract(call.metadata, Context(), _GETTER)
        if call.kind:
            name, attributes = call.method, conventions.method_attributes(call.method)
        else:
            # Methods that are not there share one name: strangers can think of any number of them.
            name, attributes = "grpc", conventions.unknown_method_attributes(call.method)
        call.span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        attach(set_span_in_context(call.span, parent))

    def convert(self, call: Call, error: Exception) -> Admission:
        """Record an exception that a handler did not mean to be an answer; the caller's answer is for other stages."""
        if call.span is not None and not isinstance(error, RpcError):
            call.span.record_exception(error)
        return None

    def observe(self, call: Call, outcome: Outcome) -> None:
        """Say how it ended, and end the span."""
        span = call.span
        if span is None:
            return
        if span.is_recording():
            code = outcome.code.name
            span.set_attributes({**conventions.peer_attributes(call.peer), conventions.STATUS_CODE: code})
            if conventions.is_server_failure(outcome.code):
                span.set_attribute(conventions.ERROR_TYPE, code)
                span.set_status(Status(StatusCode.ERROR, call.reason or None))
        span.end()


class _MetadataGetter(Getter[Metadata]):
    """Reads metadata for OpenTelemetry; binary values are none of its business."""

    def get(self, carrier: Metadata, key: str) -> list[str] | None:
        found = [value for name, value in carrier if name == key and isinstance(value, str)]
        return found or None

    def keys(self, carrier: Metadata) -> list[str]:
        return [name for name, _ in carrier]


_GETTER: Any = _MetadataGetter()
