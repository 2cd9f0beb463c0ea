"""A proxy's IR becomes the snapshot that its Envoys shall have; what did not change is not encoded again.

`Encoder` remembers, for each part of the IR, what it became. Parts that did not change are the very same objects in the
next translation, so they are hardly looked at. Next: `session`, which sends the differences.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from roadstead.gateway import ir
from roadstead.gateway.infra import READY_PORT
from roadstead.gateway.xds.clusters import cluster, cluster_needs
from roadstead.gateway.xds.endpoints import load_assignment
from roadstead.gateway.xds.listeners import HttpOptions, listener, listener_needs
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.quarantine import Quarantine
from roadstead.gateway.xds.readiness import readiness_listener
from roadstead.gateway.xds.resources import NOTHING, Ref, Resource, ResourceType, Snapshot, digest, resource
from roadstead.gateway.xds.routes import route_configuration
from roadstead.gateway.xds.scopes import scope
from roadstead.gateway.xds.secrets import certificate_ref, certificate_secret, trust_ref, trust_secret
from roadstead.gateway.xds.tables import Scope, Tables, changed_between

_MESSAGES: Mapping[ResourceType, Any] = {
    ResourceType.CLUSTER: cluster_pb2.Cluster,
    ResourceType.ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    ResourceType.LISTENER: listener_pb2.Listener,
    ResourceType.ROUTES: route_pb2.RouteConfiguration,
    ResourceType.SCOPE: scoped_route_pb2.ScopedRouteConfiguration,
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


_Part: TypeAlias = tuple[ResourceType, str]
"""A part of the IR: the type that it becomes, and its name there."""


class Encoder:
    """Turns one proxy's IR, as it changes, into snapshots for Envoys of one kind; `quarantine`: what they refuse."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._snapshot = NOTHING
        self._tables = Tables()
        self.quarantine = Quarantine()
        self._features: Counter[str] = Counter()
        self._sources: dict[ResourceType, tuple[Any, ...]] = {}
        self._encoded: dict[_Part, tuple[Any, Resource]] = {}
        self._refused: dict[_Part, ir.Rejection] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The newest one."""
        return self._snapshot

    @property
    def refused(self) -> tuple[ir.Rejection, ...]:
        """What could not be encoded of the proxy as it was last, and why."""
        return tuple(self._refused.values())

    def encode(self, proxy: ir.Proxy) -> Snapshot:
        """Return the snapshot of this state of the proxy.

        A part that cannot be encoded stays as it was, or is left out; `refused` says which and why.
        """
        changes: dict[Ref, Resource | None] = {}
        for type_, sources in (
            (ResourceType.CLUSTER, proxy.clusters),
            (ResourceType.ENDPOINTS, proxy.endpoints),
            (ResourceType.SECRET, (*proxy.certificates, *proxy.trust_bundles)),
        ):
            self._take(type_, sources, changes)
        self._take_tables(proxy, changes)
        listeners = _listeners(proxy, self._settings, self._features, self._tables.spread)
        self._take(ResourceType.LISTENER, tuple(listeners), changes)
        if changes:
            self._snapshot = self._snapshot.with_changes(changes)
        return self._snapshot

    def offer_anew(self, pieces: Iterable[str]) -> Snapshot:
        """Return the snapshot with what the quarantine now offers of these pieces of route tables."""
        changes: dict[Ref, Resource | None] = {}
        for name in pieces:
            self._encode((ResourceType.ROUTES, name), self.quarantine.offered(name), changes)
        if changes:
            self._snapshot = self._snapshot.with_changes(changes)
        return self._snapshot

    def _take(self, type_: ResourceType, sources: tuple[Any, ...], changes: dict[Ref, Resource | None]) -> None:
        """Encode those of these parts that are not what they were, and forget those that are gone."""
        gone, new = changed_between(self._sources.get(type_, ()), sources)
        self._sources[type_] = sources
        names = {_NAMES[type_](one) for one in new}
        for one in gone:
            if _NAMES[type_](one) not in names:
                self._forget((type_, _NAMES[type_](one)), changes)
        for one in new:
            self._encode((type_, _NAMES[type_](one)), one, changes)

    def _take_tables(self, proxy: ir.Proxy, changes: dict[Ref, Resource | None]) -> None:
        difference = self._tables.update(proxy.route_tables)
        for name in difference.scopes_gone:
            self._forget((ResourceType.SCOPE, name), changes)
        for name in difference.pieces_gone:
            self.quarantine.forget(name)
            self._forget((ResourceType.ROUTES, name), changes)
        for name, piece in difference.pieces.items():
            self._encode((ResourceType.ROUTES, name), self.quarantine.want(piece), changes)
        for name, source in difference.scopes.items():
            self._encode((ResourceType.SCOPE, name), source, changes)
        self._features.update(feature for host in difference.hosts for feature in _features(host))
        self._features.subtract(feature for host in difference.hosts_gone for feature in _features(host))

    def _encode(self, part: _Part, source: Any, changes: dict[Ref, Resource | None]) -> None:
        before = self._encoded.get(part)
        self._refused.pop(part, None)
        if before is not None and before[0] == source:
            return
        try:
            made = _ENCODERS[part[0]](source)
        except (ValueError, TypeError) as error:  # What protobuf raises for text or numbers that it cannot hold.
            name = f"{part[0].name.lower()} {part[1]}"
            self._refused[part] = ir.Rejection(name, f"cannot be encoded: {error}")
            return
        self._encoded[part] = source, made
        if before is None or before[1] != made:
            changes[Ref(part[0], made.name)] = made

    def _forget(self, part: _Part, changes: dict[Ref, Resource | None]) -> None:
        self._refused.pop(part, None)
        before = self._encoded.pop(part, None)
        if before is not None:
            changes[Ref(part[0], before[1].name)] = None


@dataclass(frozen=True, slots=True)
class _BoundListener:
    """A listener with what its encoding depends on beside the IR."""

    source: ir.Listener | None
    secrets: frozenset[str]
    settings: NodeSettings
    http: HttpOptions


def _listeners(
    proxy: ir.Proxy, settings: NodeSettings, features: Mapping[str, int], spread: Set[str]
) -> Iterable[_BoundListener]:
    """Bind every listener, but to secrets that exist only: Envoy would wait for others for ever."""
    known = {certificate_ref(each.name).name for each in proxy.certificates}
    http = _http_options(proxy, settings, features)
    for source in proxy.listeners:
        mentioned = {name for chain in source.chains if chain.tls for name in chain.tls.certificates}
        named = frozenset(certificate_ref(name).name for name in mentioned)
        tables = spread & {chain.route_table for chain in source.chains}
        yield _BoundListener(source, named & known, settings, replace(http, spread=frozenset(tables)))
    if settings.ready_port:
        yield _BoundListener(None, frozenset(), settings, HttpOptions())


def _http_options(proxy: ir.Proxy, settings: NodeSettings, features: Mapping[str, int]) -> HttpOptions:
    return HttpOptions(
        access_log=settings.access_log,
        sessions=features["sessions"] > 0,
        cors=features["cors"] > 0,
        web=features["web"] > 0,
        transcoding=features["transcoding"] > 0,
        telemetry=proxy.telemetry,
    )


def _features(host: ir.VirtualHost) -> Iterator[str]:
    """Yield what the listeners need beside routing for the lines of a host."""
    for route in (*host.routes, *(former.route for former in host.reserve)):
        if isinstance(route.action, ir.Forward):
            yield from ("sessions",) if route.action.session is not None else ()
            yield from ("cors",) if route.action.cors else ()
        if route.web is not None:
            yield from ("cors",) if route.web.cors else ()
            yield from ("web",) if route.web.translated else ()
            yield from ("transcoding",) if route.web.transcoding else ()


def _listener_name(bound: _BoundListener) -> str:
    return bound.source.name if bound.source is not None else ""


def _encode_listener(bound: _BoundListener) -> Resource:
    settings = bound.settings
    if bound.source is None:
        message = readiness_listener(settings.bind, port=settings.ready_port, statistics=settings.statistics)
        return resource(message, message.name)
    message = listener(bound.source, settings.bind, bound.secrets, bound.http)
    return resource(message, bound.source.name, listener_needs(bound.source, bound.http.spread))


def _encode_routes(table: ir.RouteTable) -> Resource:
    body = route_configuration(table)
    return Resource(table.name, digest(body), body)


def _encode_scope(source: Scope) -> Resource:
    return resource(scope(source), source.name, frozenset({Ref(ResourceType.ROUTES, source.piece)}))


def _encode_secret(source: ir.Certificate | ir.TrustBundle) -> Resource:
    if isinstance(source, ir.Certificate):
        return resource(certificate_secret(source), certificate_ref(source.name).name)
    return resource(trust_secret(source), trust_ref(source.name).name)


def _name(source: Any) -> str:
    name: str = source.name
    return name


_NAMES: Mapping[ResourceType, Callable[[Any], str]] = {
    ResourceType.CLUSTER: _name,
    ResourceType.ENDPOINTS: _name,
    ResourceType.LISTENER: _listener_name,
    ResourceType.SECRET: lambda each: f"{type(each).__name__} {each.name}",
}
_ENCODERS: Mapping[ResourceType, Callable[[Any], Resource]] = {
    ResourceType.CLUSTER: lambda each: resource(cluster(each), each.name, cluster_needs(each)),
    ResourceType.ENDPOINTS: lambda each: resource(load_assignment(each), each.name),
    ResourceType.LISTENER: _encode_listener,
    ResourceType.ROUTES: _encode_routes,
    ResourceType.SCOPE: _encode_scope,
    ResourceType.SECRET: _encode_secret,
}


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
