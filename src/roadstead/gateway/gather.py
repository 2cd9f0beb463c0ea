"""From informer caches to `Resources`: everything that translation may look at, taken in one turn of the event loop.

Nothing is copied that need not be: translation runs to its end before the loop turns again, so the live views of the
caches hold still for it. Next: `translate`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, key_of, labels_of, metadata_of
from roadstead.api.resources import Resource, resource
from roadstead.gateway.ir import INGRESS_PROXY_KEY, Certificate, ProxyServer, ProxyState, gateway_proxy_key
from roadstead.gateway.resources import Objects, Resources

READ_KINDS: Mapping[str, Resource] = {
    "gateway_classes": resource("GatewayClass"),
    "gateways": resource("Gateway"),
    "grpc_routes": resource("GRPCRoute"),
    "http_routes": resource("HTTPRoute"),
    "tls_routes": resource("TLSRoute"),
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
_STATUS_IS_OURS = frozenset(
    {
        "GatewayClass",
        "Gateway",
        "GRPCRoute",
        "HTTPRoute",
        "TLSRoute",
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
) -> Resources:
    """Return what is known now. `caches` has an entry for every name in `READ_KINDS`."""
    read: dict[str, Any] = {**caches, "endpoint_slices": _by_service(caches["endpoint_slices"].values())}
    return Resources(
        now=now,
        controller_names=controller_names,
        proxy_states=proxy_states(caches["gateways"], server),
        default_certificate=default_certificate,
        **read,
    )


def _by_service(slices: Iterable[Object]) -> dict[ObjectKey, tuple[Object, ...]]:
    found: dict[ObjectKey, list[Object]] = defaultdict(list)
    for one in slices:
        service = labels_of(one).get(SERVICE_LABEL)
        if service:
            found[ObjectKey(key_of(one).namespace, service)].append(one)
    return {key: tuple(ones) for key, ones in found.items()}


def proxy_states(gateways: Iterable[ObjectKey], server: ProxyServer) -> dict[str, ProxyState]:
    """Return what is known of the proxies of these Gateways, and of the one of all Ingresses."""
    keys = [*(gateway_proxy_key(*key) for key in gateways), INGRESS_PROXY_KEY]
    return {key: server.state(key) for key in keys}


def concerns_translation(old: ReadOnlyObject | None, new: ReadOnlyObject | None) -> bool:
    """Say whether a change can alter a translation, or is only in a status that we write ourselves."""
    if old is None or new is None or new.get("kind") not in _STATUS_IS_OURS:
        return True
    return _input(old) != _input(new)


def _input(obj: ReadOnlyObject) -> tuple[dict[str, object], dict[str, object]]:
    body = {name: value for name, value in obj.items() if name not in ("status", "metadata")}
    return body, {name: value for name, value in metadata_of(obj).items() if name not in _BOOKKEEPING}
