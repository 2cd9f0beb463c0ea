import json

import structlog
from opentelemetry import trace
from spans import Spans

from roadstead.service.logs import log_as_json
from roadstead.service.tracing.logs import add_trace_ids


def test_a_line_within_a_span_names_it():
    with Spans().provider.get_tracer("test").start_as_current_span("work") as span:
        event = add_trace_ids(None, "info", {"event": "done"})
    context = span.get_span_context()
    ids = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
    assert event == {"event": "done", **ids}


def test_a_line_outside_names_none():
    assert add_trace_ids(None, "info", {"event": "done"}) == {"event": "done"}


def test_ids_that_are_there_stay():
    with Spans().provider.get_tracer("test").start_as_current_span("work"):
        assert add_trace_ids(None, "info", {"trace_id": "1", "span_id": "2"}) == {"trace_id": "1", "span_id": "2"}


def test_json_lines_name_it_if_wanted(capsysbinary):
    try:
        log_as_json(trace_ids=True, variables={})
        with Spans().provider.get_tracer("test").start_as_current_span("work"):
            structlog.get_logger("test").info("done")
    finally:
        structlog.reset_defaults()
    line = json.loads(capsysbinary.readouterr().out)
    assert len(line["trace_id"]) == 32
