"""The port on which a proxy says that it is ready: it comes over xDS, so it opens only when configuration has arrived.

`/ready` answers the kubelet's probe, and fails after `healthcheck/fail`; `/stats/prometheus` shows Envoy's metrics.
"""

from typing import Any

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.health_check.v3 import health_check_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from envoy.type.matcher.v3 import string_pb2

from roadstead.gateway.infra import ADMIN_CLUSTER, READY_PATH, READY_PORT
from roadstead.gateway.xds.messages import extension, flag, seconds, socket_address

STATS_PATH = "/stats/prometheus"
LISTENER_NAME = "roadstead-ready"


def readiness_listener(bind: str, *, port: int = READY_PORT, statistics: bool = False) -> Any:
    """Return the listener; `statistics` needs the bootstrap's cluster of the admin interface."""
    health = health_check_pb2.HealthCheck(pass_through_mode=flag(False))
    path = string_pb2.StringMatcher(exact=READY_PATH)
    health.headers.append(route_components_pb2.HeaderMatcher(name=":path", string_match=path))
    settings = manager.HttpConnectionManager(
        stat_prefix=LISTENER_NAME,
        route_config=_routes(statistics),
        http_filters=[
            extension(manager.HttpFilter, "envoy.filters.http.health_check", health),
            extension(manager.HttpFilter, "envoy.filters.http.router", router_pb2.Router()),
        ],
        delayed_close_timeout=seconds(0),  # Probes that read until the connection ends need not wait a second for it.
    )
    http = extension(listener_components_pb2.Filter, "envoy.filters.network.http_connection_manager", settings)
    return listener_pb2.Listener(
        name=LISTENER_NAME,
        address=socket_address(bind, port),
        filter_chains=[listener_components_pb2.FilterChain(filters=[http])],
        bypass_overload_manager=True,
    )


def _routes(statistics: bool) -> Any:
    routes = [_statistics()] if statistics else []
    host = route_components_pb2.VirtualHost(name=LISTENER_NAME, domains=["*"], routes=routes)
    return route_pb2.RouteConfiguration(name=LISTENER_NAME, virtual_hosts=[host])


def _statistics() -> Any:
    return route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(path=STATS_PATH),
        route=route_components_pb2.RouteAction(cluster=ADMIN_CLUSTER),
    )
