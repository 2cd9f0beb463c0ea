"""What a proxy tells of the requests that it serves: a line of log, numbers by route, spans of a trace.

Numbers and spans cost something for every request and every route, so a Gateway has them only if it says so. The trace
context of a client reaches the backend in any case: without spans of ours it passes as it is.
"""

from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import grpc_service_pb2, substitution_format_string_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from envoy.type.tracing.v3 import custom_tag_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import wrappers_pb2

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import PARTS, extension, seconds

EXPORT_TIMEOUT = 5.0
_LOG_FIELDS = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "duration_ms": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
}
_BY_ROUTE = {"route": "%ROUTE_NAME%", "backend": "%UPSTREAM_CLUSTER%"}
_BY_OUTCOME = {**_BY_ROUTE, "status": "%RESPONSE_CODE%", "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%"}
_SPAN_TAGS = {"roadstead.route": "%ROUTE_NAME%", "rpc.grpc.status": "%GRPC_STATUS(SNAKE_STRING)%"}
_RPC = "%PATH(NQ)%"


def access_log(telemetry: ir.Telemetry, *, tls: bool) -> Any:
    """Return the logger that writes one line of JSON for each request to standard output, for `kubectl logs`.

    What would be empty in every line is not asked for: each field costs about half a percent of a call. What is empty
    in some lines is null there: to leave it out costs every line a third more (`omit_empty_values`).
    """
    empty = {"sni": not tls, "trace_id": telemetry.tracing is None}
    shape = substitution_format_string_pb2.SubstitutionFormatString()
    shape.json_format.update({name: value for name, value in _LOG_FIELDS.items() if not empty.get(name)})
    return extension(
        accesslog_pb2.AccessLog, "envoy.access_loggers.stdout", stream_pb2.StdoutAccessLog(log_format=shape)
    )


def route_metrics() -> Any:
    """Return the logger that counts requests, bytes and time, by what Envoy knows only when a request is over.

    Envoy's own statistics know the HTTP status, which is 200 for every call of gRPC, however it ends.
    """
    config, once = stats_pb2.Config, wrappers_pb2.UInt64Value(value=1)
    settings = config(
        stat_prefix="roadstead_route",
        counters=[
            config.Counter(stat=_stat("requests", _BY_OUTCOME), value_fixed=once),
            config.Counter(stat=_stat("request_bytes", _BY_ROUTE), value_format="%BYTES_RECEIVED%"),
            config.Counter(stat=_stat("response_bytes", _BY_ROUTE), value_format="%BYTES_SENT%"),
        ],
    )
    settings.histograms.add(
        stat=_stat("duration", _BY_ROUTE), unit=config.Histogram.Milliseconds, value_format="%DURATION%"
    )
    return extension(accesslog_pb2.AccessLog, "envoy.access_loggers.stats", settings)


def _stat(name: str, tags: dict[str, str]) -> Any:
    made = [stats_pb2.Config.Tag(name=tag, value_format=value) for tag, value in tags.items()]
    return stats_pb2.Config.Stat(name=name, tags=made)


def tracing(source: ir.Tracing) -> Any:
    """Return the setting that makes a span of a request and sends it to an OTLP collector.

    A client's decision whether its trace is recorded holds; `share` is of the requests that come without one.
    """
    exporter = grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=source.cluster), timeout=seconds(EXPORT_TIMEOUT)
    )
    tracer = opentelemetry_pb2.OpenTelemetryConfig(grpc_service=exporter, service_name=source.service)
    share = min(max(source.parts_per_million, 0), PARTS) * 100 / PARTS
    return manager.HttpConnectionManager.Tracing(
        provider=extension(http_tracer_pb2.Tracing.Http, "envoy.tracers.opentelemetry", tracer),
        random_sampling=percent_pb2.Percent(value=share),
        custom_tags=[custom_tag_pb2.CustomTag(tag=name, value=value) for name, value in _SPAN_TAGS.items()],
        operation=_RPC,
        upstream_operation=_RPC,
    )
