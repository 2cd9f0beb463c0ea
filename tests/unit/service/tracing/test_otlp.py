"""The whole way of a span: from a handler through the SDK to a collector, by OTLP."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from roadstead.service.interceptors import Errors, ThreadChain
from roadstead.service.interceptors.tracing import Tracing
from roadstead.service.tracing.client import ThreadTracing


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """As much of an OpenTelemetry collector as takes spans. It is traced itself by nobody."""

    def __init__(self) -> None:
        self.received = []

    def Export(self, request, context):
        self.received.extend(request.resource_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting():
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, interceptors=[ThreadChain(Errors())])
        collector = Collector()
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield collector, port
        finally:
            server.stop(None).wait()


@pytest.mark.parametrize("sort", ["async", "threads"])
def test_a_collector_gets_the_spans_of_both_sides(serving, sort, recorder):
    with collecting() as (collector, port):
        provider = TracerProvider(resource=Resource({"service.name": "echo"}))
        exporter = OTLPSpanExporter(f"127.0.0.1:{port}", insecure=True)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        with serving(sort, Tracing(provider), Errors(), recorder) as client:
            client._channel = grpc.intercept_channel(client._channel, ThreadTracing("echo:80", provider))
            assert client.call("unary_unary", b"hello").code == "OK"
            assert client.call("unary_unary", b"boom").code == "INTERNAL"
            recorder.wait(2)
        # Ends the exporter too, with all that it still has.
        provider.shutdown()
    (resource,) = {each.resource.SerializeToString(): each for each in collector.received}.values()
    assert resource.resource.attributes[0].value.string_value == "echo"
    scopes = [scope for each in collector.received for scope in each.scope_spans]
    assert {scope.schema_url for scope in scopes} == {"https://opentelemetry.io/schemas/1.44.0"}
    found = [span for scope in scopes for span in scope.spans]
    clients = {span.span_id: span for span in found if span.kind == span.SPAN_KIND_CLIENT}
    servers = [span for span in found if span.kind == span.SPAN_KIND_SERVER]
    assert len(clients) == len(servers) == 2
    assert all(clients[span.parent_span_id].trace_id == span.trace_id for span in servers)
    (failed,) = [span for span in servers if span.status.code == span.status.STATUS_CODE_ERROR]
    assert [event.name for event in failed.events] == ["exception"]
