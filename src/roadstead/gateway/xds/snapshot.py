"""A proxy's IR becomes the snapshot that its Envoys shall have; what did not change is not encoded again.

`Encoder` remembers, for each part of the IR, what it became. Parts are frozen and compared by value, so a new
translation that says the same costs a comparison. Next: `session`, which sends the differences.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from roadstead.gateway import ir
from roadstead.gateway.infra import READY_PORT
from roadstead.gateway.xds.clusters import cluster, cluster_needs
from roadstead.gateway.xds.endpoints import load_assignment
from roadstead.gateway.xds.listeners import HttpOptions, listener, listener_needs
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.readiness import readiness_listener
from roadstead.gateway.xds.resources import Resource, ResourceType, Snapshot, digest, resource, snapshot
from roadstead.gateway.xds.routes import route_configuration
from roadstead.gateway.xds.secrets import certificate_ref, certificate_secret, trust_ref, trust_secret

_MESSAGES: Mapping[ResourceType, Any] = {
    ResourceType.CLUSTER: cluster_pb2.Cluster,
    ResourceType.ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    ResourceType.LISTENER: listener_pb2.Listener,
    ResourceType.ROUTES: route_pb2.RouteConfiguration,
    ResourceType.SECRET: secret_pb2.Secret,
}
_REDACTED = b"[redacted]"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What one Envoy says of itself in its node metadata: the address to bind, and what it offers beside routes.

    `ready_port` 0: no readiness port. `statistics`: they are shown there. `access_log`: one line for each request.
    """

    bind: str = "0.0.0.0"
    ready_port: int = READY_PORT
    statistics: bool = False
    access_log: bool = True


_Remembered: TypeAlias = dict[tuple[ResourceType, str], tuple[Any, Resource]]


class Encoder:
    """Turns one proxy's IR, as it changes, into snapshots for Envoys of one kind."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._remembered: _Remembered = {}
        self.refused: tuple[ir.Rejection, ...] = ()

    def encode(self, proxy: ir.Proxy) -> Snapshot:
        """Return the snapshot of this state of the proxy.

        A part that cannot be encoded stays as it was, or is left out; `refused` says which and why.
        """
        previous, self._remembered = self._remembered, {}
        self.refused = ()
        resources = {type_: self._encode_type(proxy, type_, previous) for type_ in ResourceType}
        return snapshot(resources)

    def _encode_type(self, proxy: ir.Proxy, type_: ResourceType, previous: _Remembered) -> dict[str, Resource]:
        encoder = _ENCODERS[type_]
        made: dict[str, Resource] = {}
        for source in encoder.parts(proxy, self._settings):
            key = (type_, encoder.name(source))
            before = previous.get(key)
            if before is None or not (before[0] is source or before[0] == source):
                before = self._encode_part(key, source, encoder) or before
            if before is not None:
                self._remembered[key] = before
                made[before[1].name] = before[1]
        return made

    def _encode_part(
        self, key: tuple[ResourceType, str], source: Any, encoder: "_TypeEncoder"
    ) -> tuple[Any, Resource] | None:
        try:
            return source, encoder.encode(source)
        except (ValueError, TypeError) as error:  # What protobuf raises for text or numbers that it cannot hold.
            resource_name = f"{key[0].name.lower()} {key[1]}"
            self.refused += (ir.Rejection(resource_name, f"cannot be encoded: {error}"),)
            return None


@dataclass(frozen=True, slots=True)
class _BoundListener:
    """A listener with what its encoding depends on beside the IR."""

    source: ir.Listener | None
    secrets: frozenset[str]
    settings: NodeSettings
    http: HttpOptions


@dataclass(frozen=True, slots=True)
class _TypeEncoder:
    """How one type of resource is found in the IR, named and encoded."""

    parts: Callable[[ir.Proxy, NodeSettings], Iterable[Any]]
    name: Callable[[Any], str]
    encode: Callable[[Any], Resource]


def _name(source: Any) -> str:
    name: str = source.name
    return name


def _listeners(proxy: ir.Proxy, settings: NodeSettings) -> Iterable[_BoundListener]:
    """Bind every listener, but to secrets that exist only: Envoy would wait for others for ever."""
    known = {certificate_ref(each.name).name for each in proxy.certificates}
    http = _http_options(proxy, settings)
    for source in proxy.listeners:
        mentioned = {name for chain in source.chains if chain.tls for name in chain.tls.certificates}
        named = frozenset(certificate_ref(name).name for name in mentioned)
        yield _BoundListener(source, named & known, settings, http)
    if settings.ready_port:
        yield _BoundListener(None, frozenset(), settings, HttpOptions())


def _http_options(proxy: ir.Proxy, settings: NodeSettings) -> HttpOptions:
    hosts = (host for table in proxy.route_tables for host in table.virtual_hosts)
    routes = [route for host in hosts for route in host.routes]
    forwards = [route.action for route in routes if isinstance(route.action, ir.Forward)]
    webs = [route.web for route in routes if route.web is not None]
    return HttpOptions(
        access_log=settings.access_log,
        sessions=any(forward.session is not None for forward in forwards),
        cors=any(forward.cors for forward in forwards) or any(web.cors for web in webs),
        web=any(web.translated for web in webs),
        transcoding=any(web.transcoding for web in webs),
        telemetry=proxy.telemetry,
    )


def _listener_name(bound: _BoundListener) -> str:
    return bound.source.name if bound.source is not None else ""


def _encode_listener(bound: _BoundListener) -> Resource:
    settings = bound.settings
    if bound.source is None:
        message = readiness_listener(settings.bind, port=settings.ready_port, statistics=settings.statistics)
        return resource(message, message.name)
    message = listener(bound.source, settings.bind, bound.secrets, bound.http)
    return resource(message, bound.source.name, listener_needs(bound.source))


def _encode_routes(table: ir.RouteTable) -> Resource:
    body = route_configuration(table)
    return Resource(table.name, digest(body), body)


_ENCODERS: Mapping[ResourceType, _TypeEncoder] = {
    ResourceType.CLUSTER: _TypeEncoder(
        lambda proxy, _: proxy.clusters, _name, lambda each: resource(cluster(each), each.name, cluster_needs(each))
    ),
    ResourceType.ENDPOINTS: _TypeEncoder(
        lambda proxy, _: proxy.endpoints, _name, lambda each: resource(load_assignment(each), each.name)
    ),
    ResourceType.LISTENER: _TypeEncoder(_listeners, _listener_name, _encode_listener),
    ResourceType.ROUTES: _TypeEncoder(lambda proxy, _: proxy.route_tables, _name, _encode_routes),
    ResourceType.SECRET: _TypeEncoder(
        lambda proxy, _: (*proxy.certificates, *proxy.trust_bundles),
        lambda each: f"{type(each).__name__} {each.name}",
        lambda each: _encode_secret(each),
    ),
}


def _encode_secret(source: ir.Certificate | ir.TrustBundle) -> Resource:
    if isinstance(source, ir.Certificate):
        return resource(certificate_secret(source), certificate_ref(source.name).name)
    return resource(trust_secret(source), trust_ref(source.name).name)


def render(proxy: ir.Proxy, settings: NodeSettings | None = None) -> dict[str, dict[str, Any]]:
    """Return what Envoys of this proxy are sent, as protobuf JSON by type and name; private keys are redacted."""
    encoded = Encoder(settings or NodeSettings(ready_port=0)).encode(proxy)
    return {
        type_.name.lower(): {name: _rendered(type_, each.body) for name, each in sorted(resources.items())}
        for type_, resources in encoded.resources.items()
        if resources
    }


def _rendered(type_: ResourceType, body: bytes) -> dict[str, Any]:
    message = _MESSAGES[type_].FromString(body)
    if type_ is ResourceType.SECRET and message.HasField("tls_certificate"):
        message.tls_certificate.private_key.inline_bytes = _REDACTED
    return as_json(message)
