"""Spans that a test has made, kept in memory."""

import time

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """A tracer provider, and what became of its spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def wait(self, count: int, seconds: float = 10) -> tuple[ReadableSpan, ...]:
        """Return the spans that have ended, in that order, as soon as there are so many."""
        deadline = time.monotonic() + seconds
        while len(spans := self._exporter.get_finished_spans()) < count:
            assert time.monotonic() < deadline, [span.name for span in spans]
            time.sleep(0.002)
        assert len(spans) == count, [span.name for span in spans]
        return spans
