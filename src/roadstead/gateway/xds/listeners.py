"""LDS: the ports of a proxy, TLS chosen by the name that the client asked for, and how HTTP is read behind it.

h2 and http/1.1 are always offered by ALPN, and plaintext ports take HTTP/2 with prior knowledge. Streams have no time
limit here: a stream may live for days. Next: `routes`, what happens to a request.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from envoy.config.core.v3 import base_pb2, protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2

from roadstead.gateway import ir
from roadstead.gateway.xds.cors import cors_filter
from roadstead.gateway.xds.messages import (
    STREAMS_PER_CONNECTION,
    ads,
    extension,
    flag,
    http2_options,
    packed,
    seconds,
    socket_address,
    uint32,
)
from roadstead.gateway.xds.persistence import session_filter
from roadstead.gateway.xds.replies import local_replies
from roadstead.gateway.xds.resources import Ref, ResourceType
from roadstead.gateway.xds.scopes import look_up
from roadstead.gateway.xds.secrets import by_sds, certificate_ref, trust_ref
from roadstead.gateway.xds.streams import stream_filter
from roadstead.gateway.xds.tables import any_scope
from roadstead.gateway.xds.telemetry import access_log, route_metrics, tracing
from roadstead.gateway.xds.transcoding import transcoding_filter
from roadstead.gateway.xds.web import web_filter

BUFFER_LIMIT = 1 << 20
HEADERS_TIMEOUT = 30.0
LONGEST_CONNECTION = 365 * 86400.0
"""A limit that nobody reaches, but which can be shortened while it runs: that is how an Envoy is drained (`drain`)."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the HTTP of a listener does beside routing; `sessions`: some route keeps clients on their endpoints.

    `cors`: some route says which scripts of other origins may ask. `web`: some route serves gRPC-Web.
    `transcoding`: some route takes JSON. `telemetry`: what is told beside the access log. `spread`: the route tables
    that are in pieces.
    """

    access_log: bool = True
    sessions: bool = False
    cors: bool = False
    web: bool = False
    transcoding: bool = False
    telemetry: ir.Telemetry = field(default_factory=ir.Telemetry)
    spread: frozenset[str] = frozenset()


def listener(source: ir.Listener, bind: str, secrets: Collection[str], http: HttpOptions = HttpOptions()) -> Any:
    """Return the Listener message on the address `bind`; `secrets` are the names of secrets that there are."""
    made = listener_pb2.Listener(
        name=source.name,
        address=socket_address(bind, source.bind_port),
        per_connection_buffer_limit_bytes=uint32(BUFFER_LIMIT),
        filter_chains=[_chain(source, chain, secrets, http) for chain in source.chains],
    )
    if source.protocol not in ("HTTP", "TCP"):
        made.listener_filters.append(_TLS_INSPECTOR)
    return made


def listener_needs(source: ir.Listener, spread: Collection[str] = ()) -> frozenset[Ref]:
    """Return what Envoy waits for before the listener, or a changed version of it, takes connections.

    `spread`: the route tables that are in pieces.
    """
    needs: set[Ref] = set()
    for chain in source.chains:
        if chain.route_table:
            scope, routes = any_scope(chain.route_table), chain.route_table
            in_pieces = chain.route_table in spread
            needs.add(Ref(ResourceType.SCOPE, scope) if in_pieces else Ref(ResourceType.ROUTES, routes))
        if chain.tls is not None:
            needs |= {certificate_ref(name) for name in chain.tls.certificates}
            needs |= {trust_ref(chain.tls.client_validation.trust)} if chain.tls.client_validation else set()
    return frozenset(needs)


def _chain(source: ir.Listener, chain: ir.FilterChain, secrets: Collection[str], http: HttpOptions) -> Any:
    made = listener_components_pb2.FilterChain(name=chain.name)
    made.filter_chain_match.server_names.extend(chain.server_names)
    if chain.tls is not None:
        made.transport_socket.CopyFrom(_transport_socket(chain.tls, secrets))
    if chain.stream is not None:
        made.filter_chain_match.transport_protocol = "" if source.protocol == "TCP" else "tls"
        made.filters.append(stream_filter(source.name, chain.stream, access_log=http.access_log))
    else:
        made.filters.append(_http(source.name, chain, http))
    return made


# TLS


def _transport_socket(tls: ir.ServerTls, secrets: Collection[str]) -> Any:
    """End TLS with these certificates; Envoy chooses the one that suits the client (ECDSA or RSA)."""
    named = (certificate_ref(name) for name in tls.certificates)
    context = tls_pb2.CommonTlsContext(
        alpn_protocols=tls.alpn,
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=_version(tls.minimum_version), cipher_suites=tls.cipher_suites
        ),
        tls_certificate_sds_secret_configs=[by_sds(ref) for ref in named if ref.name in secrets],
    )
    downstream = tls_pb2.DownstreamTlsContext(common_tls_context=context)
    if tls.client_validation is not None:
        _validate_clients(downstream, tls.client_validation)
    return extension(base_pb2.TransportSocket, "envoy.transport_sockets.tls", downstream)


def _version(name: str) -> Any:
    return common_pb2.TlsParameters.TLSv1_3 if name == "1.3" else common_pb2.TlsParameters.TLSv1_2


def _validate_clients(downstream: Any, validation: ir.ClientValidation) -> None:
    """Ask for a client certificate and check it, or with `optional` merely note whether it is good."""
    downstream.require_client_certificate.CopyFrom(flag(not validation.optional))
    combined = downstream.common_tls_context.combined_validation_context
    combined.default_validation_context.SetInParent()
    combined.validation_context_sds_secret_config.CopyFrom(by_sds(trust_ref(validation.trust)))
    if validation.optional:
        context = common_pb2.CertificateValidationContext
        combined.default_validation_context.trust_chain_verification = context.ACCEPT_UNTRUSTED


# HTTP


def _http(name: str, chain: ir.FilterChain, http: HttpOptions) -> Any:
    settings, told = _http_settings(name), http.telemetry
    settings.generate_request_id.CopyFrom(flag(told.request_ids or told.tracing is not None))  # Spans are drawn by it.
    wanted = (
        (http.cors, _CORS),
        (http.web, _WEB),
        (http.transcoding, _TRANSCODING),
        (http.sessions, _SESSIONS),
        (True, _router(told)),
    )
    settings.http_filters.extend(each for is_wanted, each in wanted if is_wanted)
    if chain.route_table in http.spread:
        look_up(settings, chain.route_table)
    else:
        settings.rds.CopyFrom(manager.Rds(route_config_name=chain.route_table, config_source=ads()))
    settings.access_log.extend([access_log(told, tls=chain.tls is not None)] if http.access_log else [])
    settings.access_log.extend([_ROUTE_METRICS] if told.route_metrics else [])
    if told.tracing is not None:
        settings.tracing.CopyFrom(tracing(told.tracing))
    settings.local_reply_config.CopyFrom(local_replies())
    return extension(listener_components_pb2.Filter, "envoy.filters.network.http_connection_manager", settings)


def _http_settings(name: str) -> Any:
    """Read HTTP/1.1 and HTTP/2; take the client's address from the connection, since nothing trusted stands before."""
    return manager.HttpConnectionManager(
        stat_prefix=name,
        codec_type=manager.HttpConnectionManager.AUTO,
        use_remote_address=flag(True),
        normalize_path=flag(True),
        strip_trailing_host_dot=True,
        stream_idle_timeout=seconds(0),
        request_timeout=seconds(0),
        request_headers_timeout=seconds(HEADERS_TIMEOUT),
        http2_protocol_options=http2_options(STREAMS_PER_CONNECTION),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            max_headers_count=uint32(200), max_connection_duration=seconds(LONGEST_CONNECTION)
        ),
        upgrade_configs=[manager.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
    )


def _router(telemetry: ir.Telemetry) -> Any:
    """Return the last filter; that it counts by cluster and outcome costs every call 4 %, so somebody must want it."""
    counting = None if telemetry.route_metrics else flag(False)
    return extension(manager.HttpFilter, "envoy.filters.http.router", router_pb2.Router(dynamic_stats=counting))


_CORS = cors_filter()
_WEB = web_filter()
_TRANSCODING = transcoding_filter()
_SESSIONS = session_filter()
_TLS_INSPECTOR = listener_components_pb2.ListenerFilter(
    name="envoy.filters.listener.tls_inspector", typed_config=packed(tls_inspector_pb2.TlsInspector())
)
_ROUTE_METRICS = route_metrics()
