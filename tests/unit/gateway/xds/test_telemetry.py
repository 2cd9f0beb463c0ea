from roadstead.gateway import ir
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.telemetry import route_metrics, tracing


def test_numbers_by_route(golden):
    golden("route-metrics", as_json(route_metrics()))


def test_spans(golden):
    golden("tracing", as_json(tracing(ir.Tracing("tools/otel/4317/h2", "user-platform/example-gateway", 50_000))))
