"""CDS: how Envoy speaks to a Service port. Requests are balanced, not connections, in turn over all endpoints.

Next: `endpoints`, the addresses behind a cluster.
"""

from typing import Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, protocol_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2

from roadstead.gateway.ir import Cluster, UpstreamTls
from roadstead.gateway.xds.messages import ads, extension, http2_options, packed, seconds, uint32
from roadstead.gateway.xds.resources import Ref, ResourceType
from roadstead.gateway.xds.secrets import by_sds, certificate_ref, trust_ref

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
CONNECT_TIMEOUT = 5.0
BUFFER_LIMIT = 1 << 20
_UNLIMITED = 0xFFFFFFFF
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ALPN = {"h2": ["h2"], "http1": ["http/1.1"], "tcp": []}


def cluster(source: Cluster) -> Any:
    """Return the Cluster message."""
    made = cluster_pb2.Cluster(
        name=source.name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads(), service_name=source.endpoints),
        connect_timeout=seconds(CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=uint32(BUFFER_LIMIT),
        lb_policy=cluster_pb2.Cluster.ROUND_ROBIN,
        common_lb_config=_balancing(),
        circuit_breakers=_circuit_breakers(source.max_requests),
        upstream_connection_options=cluster_pb2.UpstreamConnectionOptions(tcp_keepalive=_tcp_keepalive()),
    )
    if source.protocol != "tcp":
        made.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(packed(_http_options(source.protocol)))
    if source.tls is not None:
        made.transport_socket.CopyFrom(_transport_socket(source.tls, _ALPN[source.protocol]))
    return made


def cluster_needs(source: Cluster) -> frozenset[Ref]:
    """Return what Envoy waits for before it uses the cluster."""
    needs = {Ref(ResourceType.ENDPOINTS, source.endpoints)}
    if source.tls is not None:
        needs |= {trust_ref(source.tls.trust)} if source.tls.verify and source.tls.trust else set()
        needs |= {certificate_ref(source.tls.client_certificate)} if source.tls.client_certificate else set()
    return frozenset(needs)


def _balancing() -> Any:
    """Use every endpoint that is listed: they are ready, or the EndpointSlice would not say so."""
    return cluster_pb2.Cluster.CommonLbConfig(
        healthy_panic_threshold=percent_pb2.Percent(value=0), update_merge_window=seconds(0)
    )


def _circuit_breakers(max_requests: int) -> Any:
    """Lift Envoy's defaults (1024 requests, 3 retries): a gRPC connection carries more streams than that."""
    limits = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=uint32(_UNLIMITED),
        max_pending_requests=uint32(_UNLIMITED),
        max_requests=uint32(max_requests or _UNLIMITED),
        max_retries=uint32(1024),
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[limits])


def _tcp_keepalive() -> Any:
    """Notice a vanished peer by TCP probes; HTTP/2 pings would count as abuse with gRPC servers."""
    return address_pb2.TcpKeepalive(
        keepalive_probes=uint32(3), keepalive_time=uint32(30), keepalive_interval=uint32(10)
    )


def _http_options(protocol: str) -> Any:
    explicit = http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig()
    if protocol == "h2":
        explicit.http2_protocol_options.CopyFrom(http2_options())
    else:
        explicit.http_protocol_options.CopyFrom(protocol_pb2.Http1ProtocolOptions())
    return http_protocol_options_pb2.HttpProtocolOptions(explicit_http_config=explicit)


def _transport_socket(tls: UpstreamTls, alpn: list[str]) -> Any:
    common = common_pb2  # The module's name is long where it is used most.
    context = tls_pb2.CommonTlsContext(alpn_protocols=alpn)
    if tls.client_certificate:
        context.tls_certificate_sds_secret_configs.append(by_sds(certificate_ref(tls.client_certificate)))
    if tls.verify and tls.trust:
        combined = context.combined_validation_context
        combined.default_validation_context.CopyFrom(_validation(tls))
        combined.validation_context_sds_secret_config.CopyFrom(by_sds(trust_ref(tls.trust)))
    elif tls.verify:
        validation = _validation(tls)
        validation.trusted_ca.CopyFrom(base_pb2.DataSource(filename=SYSTEM_AUTHORITIES))
        context.validation_context.CopyFrom(validation)
    context.tls_params.tls_minimum_protocol_version = common.TlsParameters.TLSv1_2
    upstream = tls_pb2.UpstreamTlsContext(common_tls_context=context, sni=tls.sni[:255])
    return extension(base_pb2.TransportSocket, "envoy.transport_sockets.tls", upstream)


def _validation(tls: UpstreamTls) -> Any:
    """Demand one of the subject names; without any, a trusted chain is enough."""
    names = tls.subject_names or ((tls.sni,) if tls.sni else ())
    matchers = [_subject(name) for name in names]
    return common_pb2.CertificateValidationContext(match_typed_subject_alt_names=matchers)


def _subject(name: str) -> Any:
    """Match a subject alternative name: a URI (SPIFFE) where it looks like one, else a DNS name."""
    kinds = common_pb2.SubjectAltNameMatcher
    kind = kinds.URI if "://" in name else kinds.DNS
    return kinds(san_type=kind, matcher=string_pb2.StringMatcher(exact=name))
