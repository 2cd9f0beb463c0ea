"""CORS: which scripts of other origins browsers let ask. Envoy answers their preflight requests itself.

The filter stands in the listeners of a proxy that has such a route, and does nothing on the others.
"""

from typing import Any

from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import extension, flag

CORS_FILTER = "envoy.filters.http.cors"


def cors_filter() -> Any:
    """Return the filter, off by default."""
    return extension(manager.HttpFilter, CORS_FILTER, cors_pb2.Cors())


def cors_policy(cors: ir.Cors) -> Any:
    """Return a route's setting for the filter; preflight requests of other origins end here, too."""
    return cors_pb2.CorsPolicy(
        allow_origin_string_match=[_whole(pattern) for pattern in cors.origins],
        allow_methods=", ".join(cors.methods),
        allow_headers=", ".join(cors.headers),
        expose_headers=", ".join(cors.exposed_headers),
        max_age=str(cors.max_age),
        allow_credentials=flag(True) if cors.credentials else None,
        forward_not_matching_preflights=flag(False),
    )


def _whole(pattern: str) -> Any:
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=pattern))
