"""gRPC-Web: browsers, which cannot speak gRPC, are translated for. Envoy's filter is off but on the lines that ask.

Next to CORS (`cors`), which says whether a browser may ask at all.
"""

from typing import Any

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from google.protobuf import any_pb2

from roadstead.gateway.xds.messages import extension

WEB_FILTER = "envoy.filters.http.grpc_web"


def web_filter() -> Any:
    """Return the filter, off by default."""
    made = extension(manager.HttpFilter, WEB_FILTER, grpc_web_pb2.GrpcWeb())
    made.disabled = True
    return made


def switched_on() -> Any:
    """Return a route's setting that switches the filter on: a configuration that is there and empty."""
    return route_components_pb2.FilterConfig(config=any_pb2.Any())
