"""The parts of Envoy's bootstrap that lead to the control plane's reflection and from there to the backends.

They are in every proxy from its start, so that reflection can be switched on without an Envoy being started anew. A
socket has mode 0600: only this user, who runs Envoy and the control plane, can use the way to the backends, and it
leads to nothing but reflection.
"""

import posixpath

from roadstead.api.objects import Object

REFLECTION_CLUSTER = "roadstead-reflection"
SERVER_SOCKET = "reflection.sock"
CLUSTER_HEADER = "x-roadstead-cluster"
HOST_HEADER = "x-roadstead-virtual-host"
METADATA_KEY = "reflection"
V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
METHOD = "ServerReflectionInfo"
PATHS = r"/grpc\.reflection\.v1(?:alpha)?\.ServerReflection/ServerReflectionInfo"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OWNER_ONLY = 0o600


def envoy_socket(xds: str) -> str:
    """Return where an Envoy listens for the control plane; Kubernetes puts the pod's address in."""
    return posixpath.join(posixpath.dirname(xds), "$(POD_IP)")


def reflection_cluster(xds: str) -> Object:
    """Return the way from an Envoy to the control plane's reflection, a few calls at once at most."""
    path = posixpath.join(posixpath.dirname(xds), SERVER_SOCKET)
    endpoint = {"endpoint": {"address": {"pipe": {"path": path}}}}
    http2 = {"@type": f"type.googleapis.com/{_OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": REFLECTION_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": REFLECTION_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [{"max_requests": 64}]},
        "typed_extension_protocol_options": {_OPTIONS: http2},
    }


def reflection_listener(xds: str) -> Object:
    """Return the listener through which the control plane reaches the reflection of any cluster of an Envoy."""
    route = {
        "match": {"safe_regex": {"regex": PATHS}},
        "route": {"cluster_header": CLUSTER_HEADER, "timeout": "0s"},
        "request_headers_to_remove": [HOST_HEADER],
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": _MANAGER,
        "stat_prefix": REFLECTION_CLUSTER,
        "route_config": {"virtual_hosts": [{"name": "backends", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": REFLECTION_CLUSTER,
        "address": {"pipe": {"path": envoy_socket(xds), "mode": _OWNER_ONLY}},
        "filter_chains": [{"filters": filters}],
    }


def host_key(domain: str, listener: str) -> str:
    """Return what tells a virtual host from all others: its domain and the listener that it is of."""
    return f"{domain} {listener}"
