import importlib
import subprocess
import sys
import threading
from contextvars import copy_context

import grpc
import pytest
from echo_service import KINDS
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler
from opentelemetry.trace import SpanKind, StatusCode
from spans import Spans
from structlog.testing import capture_logs

from roadstead.service import standard_stages
from roadstead.service.interceptors import AccessLog, Call, Deadline, Errors, Outcome, Stage
from roadstead.service.interceptors.tracing import Tracing
from roadstead.service.refusal import unauthenticated

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = ("traceparent", f"00-{TRACE}-{PARENT}-01")


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def traced(serving, server_sort, spans):
    """Call the echo service with tracing on; returns how the call ended and its span."""

    def traced(kind: str, word: bytes, *stages: Stage, metadata=(), **options):
        with serving(server_sort, Tracing(spans.provider), Errors(), *stages) as client:
            ended = client.call(kind, word, metadata=metadata, **options)
            (span,) = spans.wait(1)
        return ended, span

    return traced


def hexadecimal(number: int, digits: int) -> str:
    return f"{number:0{digits}x}"


def test_an_rpc_is_a_span(traced, kind):
    _, span = traced(kind, b"hello")
    assert (span.name, span.kind, span.parent) == (f"test.Echo/{kind}", SpanKind.SERVER, None)
    attributes = dict(span.attributes)
    assert attributes.pop("network.peer.port") > 0
    assert attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"test.Echo/{kind}",
        "rpc.response.status_code": "OK",
        "network.peer.address": "127.0.0.1",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


def test_the_callers_span_is_its_parent(traced, kind):
    _, span = traced(kind, b"hello", metadata=(TRACEPARENT, ("tracestate", "vendor=1")))
    assert hexadecimal(span.context.trace_id, 32) == TRACE
    assert hexadecimal(span.parent.span_id, 16) == PARENT
    assert span.parent.is_remote
    assert dict(span.context.trace_state) == {"vendor": "1"}


@pytest.mark.parametrize("metadata", [
    (("traceparent", "nonsense"),),
    (("traceparent", f"00-{'0' * 32}-{PARENT}-01"),),
    (("traceparent", "x" * 5000),),
    (("traceparent", ""),),
    (("traceparent-bin", b"\xff"),),
    (("tracestate", "vendor=1"),),
    (("baggage", ",,;=" * 50),),
])  # fmt: skip
def test_nonsense_of_a_caller_begins_a_trace_of_its_own(traced, metadata):
    ended, span = traced("unary_unary", b"hello", metadata=metadata)
    assert (ended.code, span.parent) == ("OK", None)


_KEYS = st.sampled_from(["traceparent", "tracestate", "baggage", "x"])
_VALUES = st.one_of(
    st.text(max_size=60),
    st.binary(max_size=20),
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?", fullmatch=True),
    st.from_regex(r"([a-z]{1,4}=[a-z%;,=]{0,8},?){1,40}", fullmatch=True),
)


@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=6))
def test_whatever_a_stranger_sends_there_is_a_span(metadata):
    stage, call = Tracing(TracerProvider()), Call("test.Echo/unary_unary", metadata, 0.0, kind="unary")
    # In a context of its own, as every RPC has one: the span stays current there.
    assert copy_context().run(stage.admit, call) is None
    stage.observe(call, Outcome(grpc.StatusCode.OK, 0.001))
    assert call.span.get_span_context().is_valid


class Watching(Stage):
    """Notes which span is current, and the baggage that came along, wherever it is asked."""

    def __init__(self) -> None:
        self.seen = []

    def admit(self, call):
        self._note()

    def enter(self, call):
        self._note()
        call.judge_by(lambda call, message: self._note())

    def _note(self) -> None:
        context = trace.get_current_span().get_span_context()
        self.seen.append((context.span_id, baggage.get_baggage("tenant")))


def test_the_span_is_current_for_stages_and_handlers(traced, kind):
    watching = Watching()
    # Messages are judged within the handler's own context.
    _, span = traced(kind, b"hello", watching, metadata=(TRACEPARENT, ("baggage", "tenant=blue")))
    assert watching.seen == [(span.context.span_id, "blue")] * 3


def test_calls_do_not_inherit_spans_of_calls_before_them(serving, server_sort, kind, spans):
    with serving(server_sort, Tracing(spans.provider)) as client:
        client.call(kind, b"hello", metadata=(TRACEPARENT,))
        client.call(kind, b"hello")
        first, second = spans.wait(2)
    assert first.parent is not None
    assert second.parent is None
    assert first.context.trace_id != second.context.trace_id


def test_an_exception_is_recorded_and_not_told(traced, kind):
    ended, span = traced(kind, b"boom")
    assert "secret" not in ended.details
    assert (span.attributes["rpc.response.status_code"], span.attributes["error.type"]) == ("INTERNAL", "INTERNAL")
    assert span.status.status_code is StatusCode.ERROR
    # The id that the caller was told leads to the trace.
    error_id = ended.details.rpartition(" ")[2]
    assert span.status.description == f"ValueError (error_id {error_id})"
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert "do_sync" in event.attributes["exception.stacktrace"]


@pytest.mark.parametrize(("word", "code"), [(b"abort", "FAILED_PRECONDITION"), (b"refuse", "NOT_FOUND")])
def test_a_handlers_answer_to_a_caller_is_no_failure(traced, kind, word, code):
    _, span = traced(kind, word)
    assert span.attributes["rpc.response.status_code"] == code
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
    assert "error.type" not in span.attributes


class Refusing(Stage):
    def admit(self, call):
        return unauthenticated("unknown user")


def test_a_refusal_is_a_span_too(traced, kind):
    _, span = traced(kind, b"hello", Refusing())
    assert span.attributes["rpc.response.status_code"] == "UNAUTHENTICATED"
    assert span.attributes["network.peer.address"] == "127.0.0.1"
    assert span.status.status_code is StatusCode.UNSET


def test_a_time_limit_is_a_failure_of_the_server(traced, kind):
    _, span = traced(kind, b"sleep", Deadline(cap=0.2), timeout=20)
    assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"
    assert span.status.status_code is StatusCode.ERROR


class Begun(Stage):
    def __init__(self) -> None:
        self.event = threading.Event()

    def enter(self, call):
        self.event.set()


def test_a_call_that_is_cancelled_ends_its_span(serving, kind, spans):
    begun = Begun()
    with serving("async", Tracing(spans.provider), begun) as client:
        call = client.open(kind, b"sleep")
        assert begun.event.wait(10)
        call.cancel()
        (span,) = spans.wait(1)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"


def test_methods_that_are_not_here_share_one_name(serving, server_sort, spans):
    with serving(server_sort, Tracing(spans.provider)) as client:
        client.call("unary_unary", b"x", method="Nothing", metadata=(TRACEPARENT,))
        (span,) = spans.wait(1)
    assert (span.name, span.attributes["rpc.method"]) == ("grpc", "_OTHER")
    assert span.attributes["rpc.method_original"] == "test.Echo/Nothing"
    assert span.attributes["error.type"] == "UNIMPLEMENTED"
    assert hexadecimal(span.context.trace_id, 32) == TRACE
    assert span.start_time <= span.end_time


def test_what_is_skipped_costs_no_span(serving, server_sort, spans):
    with serving(server_sort, Tracing(spans.provider, skip=lambda method: method.endswith("unary_unary"))) as client:
        client.call("unary_unary", b"hello")
        client.call("stream_stream", b"hello")
        (span,) = spans.wait(1)
    assert span.name == "test.Echo/stream_stream"


def test_health_is_skipped():
    assert Tracing().admit(_Health()) is None
    assert _Health.span is None


class _Health:
    method = "grpc.health.v1.Health/Check"
    metadata = ()
    span = None


def test_the_access_log_names_the_trace(serving, server_sort, kind, spans, recorder):
    with (
        capture_logs() as logs,
        serving(server_sort, Tracing(spans.provider), AccessLog(), Errors(), recorder) as client,
    ):
        client.call(kind, b"boom", metadata=(TRACEPARENT,))
        (span,) = spans.wait(1)
        recorder.wait(1)
    ids = {"trace_id": TRACE, "span_id": hexadecimal(span.context.span_id, 16)}
    assert {log["event"] for log in logs} == {"rpc", "handler failed"}
    assert all(ids.items() <= log.items() for log in logs)


def test_without_tracing_the_access_log_names_none(serving, server_sort, recorder):
    with capture_logs() as logs, serving(server_sort, AccessLog(), recorder) as client:
        client.call("unary_unary", b"hello", metadata=(TRACEPARENT,))
        recorder.wait(1)
    assert "trace_id" not in logs[0]


@pytest.mark.parametrize("kind", KINDS[:1])
def test_without_an_sdk_the_callers_trace_is_still_passed_on(serving, server_sort, kind):
    watching = Watching()
    with (
        capture_logs() as logs,
        serving(server_sort, Tracing(trace.NoOpTracerProvider()), AccessLog(), watching) as client,
    ):
        assert client.call(kind, b"hello", metadata=(TRACEPARENT,)).code == "OK"
    assert {span for span, _ in watching.seen} == {int(PARENT, 16)}
    assert logs[0]["trace_id"] == TRACE


class BrokenSampler(StaticSampler):
    def should_sample(self, *arguments, **more):
        raise RuntimeError("the plugin is broken")


def test_a_broken_plugin_of_the_tracer_refuses_no_call(serving, server_sort, kind):
    stage = Tracing(TracerProvider(sampler=BrokenSampler(Decision.RECORD_AND_SAMPLE)))
    with capture_logs() as logs, serving(server_sort, stage, Errors()) as client:
        assert client.call(kind, b"hello").code == "OK"
    assert "an RPC cannot be traced" in {log["event"] for log in logs}


def test_what_a_broken_plugin_was_given_is_not_in_the_log(serving, server_sort, kind, capsys):
    def broken(given: str) -> bool:
        password = "wonderland"[: len(given)]
        raise RuntimeError(f"the plugin is broken after {len(password)}")

    with serving(server_sort, Tracing(skip=broken)) as client:
        assert client.call(kind, b"hello").code == "OK"
    said = capsys.readouterr().out
    assert "an RPC cannot be traced" in said
    assert "the plugin is broken after 10" in said
    assert "wonderland" not in said


def test_standard_stages_trace_first():
    assert isinstance(standard_stages(tracing=True, metrics=True)[0], Tracing)
    assert not any(isinstance(stage, Tracing) for stage in standard_stages())


def test_nothing_of_opentelemetry_is_loaded_unless_it_is_wanted():
    program = (
        "import sys, roadstead.service, roadstead.service.channel, roadstead.service.interceptors\n"
        "from roadstead.service.logs import log_as_json\n"
        "roadstead.service.standard_stages(); log_as_json()\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('opentelemetry', 'protovalidate')])\n"
        "print([name for name in sys.modules if name.startswith('google.rpc')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "[]"]


@pytest.mark.parametrize("module", ["interceptors.tracing", "tracing.client"])
def test_without_the_library_the_extra_is_named(monkeypatch, module):
    importlib.import_module(f"roadstead.service.{module}")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, f"roadstead.service.{module}")
    with pytest.raises(ModuleNotFoundError, match=r"roadstead\[tracing\]"):
        importlib.import_module(f"roadstead.service.{module}")
