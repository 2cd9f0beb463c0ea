"""The ids of the current span in every line of a log, so that a line leads to its trace and back."""

from collections.abc import MutableMapping
from typing import Any

from opentelemetry.trace import get_current_span


def add_trace_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add `trace_id` and `span_id` to an event of structlog if a span is current: a processor."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        event.setdefault("trace_id", f"{context.trace_id:032x}")
        event.setdefault("span_id", f"{context.span_id:016x}")
    return event
