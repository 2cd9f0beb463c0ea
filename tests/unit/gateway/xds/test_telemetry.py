import pytest

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.telemetry import access_log, route_metrics, tracing

TRACED = ir.Telemetry(tracing=ir.Tracing("tools/otel/4317/h2", "user-platform/example-gateway"))


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("told", [TRACED, ir.Telemetry()])
def test_the_log_asks_for_no_field_that_is_always_empty(tls: bool, told: ir.Telemetry) -> None:
    fields = as_json(access_log(told, tls=tls))["typed_config"]["log_format"]["json_format"]
    assert ("sni" in fields, "trace_id" in fields) == (tls, told is TRACED)
    assert {"route", "cluster", "upstream", "grpc_status", "request_id"} <= fields.keys()


def test_numbers_by_route(golden):
    golden("route-metrics", as_json(route_metrics()))


def test_spans(golden):
    golden("tracing", as_json(tracing(ir.Tracing("tools/otel/4317/h2", "user-platform/example-gateway", 50_000))))
