"""From informer caches to `Resources`: everything that translation may look at, taken in one turn of the event loop.

Nothing is copied that need not be: translation runs to its end before the loop turns again, so the live views of the
caches hold still for it. What has changed is noted beside, as informers tell it. Next: `translate`.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from datetime import datetime
from typing import Any

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, key_of, labels_of, metadata_of
from roadstead.api.resources import Resource, resource
from roadstead.gateway.ir import Certificate, ProxyServer, ProxyState
from roadstead.gateway.resources import Objects, Resources
from roadstead.gateway.translate.reads import Changes

READ_KINDS: Mapping[str, Resource] = {
    "gateway_classes": resource("GatewayClass"),
    "gateways": resource("Gateway"),
    "grpc_routes": resource("GRPCRoute"),
    "http_routes": resource("HTTPRoute"),
    "tls_routes": resource("TLSRoute"),
    "tcp_routes": resource("TCPRoute"),
    "reference_grants": resource("ReferenceGrant", "gateway.networking.k8s.io/v1"),
    "ingresses": resource("Ingress"),
    "ingress_classes": resource("IngressClass"),
    "services": resource("Service"),
    "endpoint_slices": resource("EndpointSlice"),
    "secrets": resource("Secret"),
    "config_maps": resource("ConfigMap"),
    "backend_tls_policies": resource("BackendTLSPolicy"),
    "listener_sets": resource("ListenerSet"),
    "namespaces": resource("Namespace"),
}
"""Every kind that translation reads, under the name of its field in `Resources`."""

SERVICE_LABEL = "kubernetes.io/service-name"
_SLICES, _STATES, _REFLECTED = "endpoint_slices", "proxy_states", "reflected"
_STATUS_IS_OURS = frozenset(
    {
        "GatewayClass",
        "Gateway",
        "GRPCRoute",
        "HTTPRoute",
        "TLSRoute",
        "TCPRoute",
        "Ingress",
        "Namespace",
        "BackendTLSPolicy",
        "ListenerSet",
    }
)
_BOOKKEEPING = ("resourceVersion", "managedFields")


def gather(
    caches: Mapping[str, Objects],
    server: ProxyServer,
    now: datetime,
    *,
    controller_names: frozenset[str],
    default_certificate: Certificate | None,
    reflected: Mapping[str, bytes | str] | None = None,
) -> Resources:
    """Return what is known now, once. `caches` has an entry for every name in `READ_KINDS`."""
    gathering = Gathering(caches, server, controller_names, default_certificate, reflected)
    for key, one in caches[_SLICES].items():
        gathering.note(_SLICES, key, None, one)
    return gathering.resources(now)


class Gathering:
    """What is known now, again and again, and what has changed in the meantime. `caches` are live views."""

    def __init__(
        self,
        caches: Mapping[str, Objects],
        server: ProxyServer,
        controller_names: frozenset[str],
        default_certificate: Certificate | None,
        reflected: Mapping[str, bytes | str] | None = None,
    ) -> None:
        self._slices: dict[ObjectKey, dict[ObjectKey, Object]] = defaultdict(dict)
        self._by_service: dict[ObjectKey, tuple[Object, ...]] = {}
        self._changes: dict[str, dict[Hashable, None]] = defaultdict(dict)
        self._fields: dict[str, Any] = {
            **caches,
            _SLICES: self._by_service,
            _STATES: _ProxyStates(server),
            _REFLECTED: {} if reflected is None else reflected,
            "controller_names": controller_names,
            "default_certificate": default_certificate,
        }

    def note(self, field: str, key: ObjectKey, old: Object | None, new: Object | None) -> bool:
        """Take note of a change of a cache; return whether it concerns translation."""
        if not concerns_translation(old, new):
            return False
        if field == _SLICES:
            self._note_slice(key, old, new)
        else:
            self._changes[field][key] = None
        return True

    def note_proxy(self, key: str) -> None:
        """Take note that something else may be known of the Envoys of a proxy."""
        self._changes[_STATES][key] = None

    def note_reflected(self, cluster: str) -> None:
        """Take note that something else is known of a cluster's descriptors."""
        self._changes[_REFLECTED][cluster] = None

    def resources(self, now: datetime) -> Resources:
        """Return what is known now."""
        return Resources(now=now, **self._fields)

    def changes(self) -> Changes:
        """Return what has changed since this was asked the last time."""
        changes, self._changes = self._changes, defaultdict(dict)
        return changes

    def _note_slice(self, key: ObjectKey, old: Object | None, new: Object | None) -> None:
        """Sort an EndpointSlice under its Service, or from one Service to another."""
        services = {_service_of(one) for one in (old, new) if one is not None}
        for service in services:
            if service is None:
                continue
            slices = self._slices[service]
            if new is not None and _service_of(new) == service:
                slices[key] = new
            else:
                slices.pop(key, None)
            self._by_service[service] = tuple(slices.values())
            if not slices:
                del self._slices[service], self._by_service[service]
            self._changes[_SLICES][service] = None


class _ProxyStates(Mapping[str, ProxyState]):
    """What a server knows of each proxy, asked when it is needed."""

    def __init__(self, server: ProxyServer) -> None:
        self._server = server

    def __getitem__(self, key: str) -> ProxyState:
        return self._server.state(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())  # It has an answer for every key, and a list of none.

    def __len__(self) -> int:
        return 0


def _service_of(one: Object) -> ObjectKey | None:
    service = labels_of(one).get(SERVICE_LABEL)
    return ObjectKey(key_of(one).namespace, service) if service else None


def concerns_translation(old: ReadOnlyObject | None, new: ReadOnlyObject | None) -> bool:
    """Say whether a change can alter a translation, or is only in a status that we write ourselves."""
    if old is None or new is None or new.get("kind") not in _STATUS_IS_OURS:
        return True
    return _input(old) != _input(new)


def _input(obj: ReadOnlyObject) -> tuple[dict[str, object], dict[str, object]]:
    body = {name: value for name, value in obj.items() if name not in ("status", "metadata")}
    return body, {name: value for name, value in metadata_of(obj).items() if name not in _BOOKKEEPING}
