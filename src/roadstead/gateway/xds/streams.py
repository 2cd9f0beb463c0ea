"""TLS connections that go to a backend as a whole: by name (SNI), by weight, without a look at what they carry.

A connection without a destination is closed at once: it is led to a cluster that never exists.
"""

from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import extension, seconds, uint32

REFUSED = "refused"
CONNECT_ATTEMPTS = 3

_LOG_FIELDS = {
    "time": "%START_TIME%",
    "protocol": "TLS",
    "sni": "%REQUESTED_SERVER_NAME%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%CONNECTION_TERMINATION_DETAILS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "duration_ms": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
}


def stream_filter(name: str, stream: ir.Stream, *, access_log: bool) -> Any:
    """Return the network filter that forwards bytes both ways, without a time limit on silence."""
    proxy = tcp_proxy_pb2.TcpProxy(
        stat_prefix=name, idle_timeout=seconds(0), max_connect_attempts=uint32(CONNECT_ATTEMPTS)
    )
    for cluster, weight in _weights(stream):
        proxy.weighted_clusters.clusters.add(name=cluster, weight=weight)
    if access_log:
        proxy.access_log.append(_access_log(stream))
    return extension(listener_components_pb2.Filter, "envoy.filters.network.tcp_proxy", proxy)


def _weights(stream: ir.Stream) -> list[tuple[str, int]]:
    refused = stream.refused if stream.destinations else 1
    found = [(each.cluster, each.weight) for each in stream.destinations]
    return [*found, (REFUSED, refused)] if refused else found


def _access_log(stream: ir.Stream) -> Any:
    """Write one line of JSON for each connection, when it ends."""
    shape = substitution_format_string_pb2.SubstitutionFormatString(omit_empty_values=True)
    told = {"route": str(stream.source or ""), "why": "" if stream.destinations else stream.why}
    shape.json_format.update(_LOG_FIELDS | {name: _literal(text) for name, text in told.items() if text})
    return extension(
        accesslog_pb2.AccessLog, "envoy.access_loggers.stdout", stream_pb2.StdoutAccessLog(log_format=shape)
    )


def _literal(text: str) -> str:
    """Return a text in which `%` means itself."""
    return text.replace("%", "%%")
