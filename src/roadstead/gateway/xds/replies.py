"""What clients read when Envoy itself ends a request: every such answer has a message that says what happened where.

To a gRPC client the text is `grpc-message`, to others the body. Envoy's own words ("reset reason: remote reset") tell
nobody which backend is meant. Two things cannot be said, because HTTP/2 has no answer for them: metadata above the
limits resets the stream, and a stream whose answer has begun can only be reset.
"""

from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager

NOTHING_MATCHES = "no route of this gateway matches the request"
NO_CLUSTER = "the backend of this route is not known to the proxy yet"

_BY_FLAG = {
    "NR": NOTHING_MATCHES,
    "NC": NO_CLUSTER,
    "UH": "no endpoint of %UPSTREAM_CLUSTER% is ready (%ROUTE_NAME%)",
    "UO": "%UPSTREAM_CLUSTER% has as many requests as it may have at once (%ROUTE_NAME%)",
    "UF": "no connection to %UPSTREAM_CLUSTER% could be made: %UPSTREAM_TRANSPORT_FAILURE_REASON% (%ROUTE_NAME%)",
    "UPE": "%UPSTREAM_CLUSTER% does not speak the protocol that the route expects of it (%ROUTE_NAME%)",
    "UC": "%UPSTREAM_CLUSTER% closed the connection before it answered (%ROUTE_NAME%)",
    "UR": "%UPSTREAM_CLUSTER% reset the request before it answered (%ROUTE_NAME%)",
    "UT": "%UPSTREAM_CLUSTER% did not answer within the time that the route allows (%ROUTE_NAME%)",
    "SI": "for as long as the route allows no byte came or went (%ROUTE_NAME%)",
}
"""By Envoy's response flag (Envoy's access_log/usage.rst, RESPONSE_FLAGS); the first that fits counts."""

_TOO_LONG = "it took longer than the client or the route allows (%ROUTE_NAME%)"
_BY_STATUS = {408: _TOO_LONG, 504: _TOO_LONG}
"""By HTTP status: ends that have no flag."""


def local_replies() -> Any:
    """Return the texts of all answers that Envoy makes itself."""
    mappers = [_mapper(_flagged(name), text) for name, text in _BY_FLAG.items()]
    return manager.LocalReplyConfig(
        mappers=mappers + [_mapper(_status(code), text) for code, text in _BY_STATUS.items()]
    )


def _mapper(condition: Any, text: str) -> Any:
    shape = substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=base_pb2.DataSource(inline_string=text)
    )
    return manager.ResponseMapper(filter=condition, body_format_override=shape)


def _flagged(name: str) -> Any:
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=[name]))


def _status(code: int) -> Any:
    """Fit one status. Envoy wants the number to have a key under which an operator may change it."""
    value = base_pb2.RuntimeUInt32(default_value=code, runtime_key=f"roadstead.local_reply.{code}")
    comparison = accesslog_pb2.ComparisonFilter(op=accesslog_pb2.ComparisonFilter.EQ, value=value)
    return accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=comparison))
