"""Everything that translation may look at, at one moment. `gather` fills it, `translate` reads nothing else.

Frozen by convention all the way down: objects come from informer caches, and nobody may change them.
Next: `gather`, how informer caches become this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway.ir import Certificate, ProxyState

if TYPE_CHECKING:
    from roadstead.gateway.translate.backendtls import BackendTls

CONTROLLER_NAME = "roadstead.dev/gateway-controller"
INGRESS_CONTROLLER_NAME = "k8s.io/ingress-nginx"
INGRESS_CLASS_NAME = "nginx"
GATEWAY_GROUP = "gateway.networking.k8s.io"

Objects = Mapping[ObjectKey, Object]


@dataclass(frozen=True, slots=True)
class Resources:
    """The cluster as the gateway sees it. All mappings are keyed by namespace and name.

    `endpoint_slices` is keyed by the Service's key, `proxy_states` by the proxy's.
    `reflected`: by cluster its descriptors from reflection, or why there are none.
    `controller_names`: the `spec.controllerName`s of GatewayClasses that we serve. `now` is aware.
    `backend_tls` is what translation makes of the policies before it looks at routes; nobody else fills it.
    """

    now: datetime
    controller_names: frozenset[str] = frozenset({CONTROLLER_NAME})
    gateway_classes: Objects = field(default_factory=dict)
    gateways: Objects = field(default_factory=dict)
    grpc_routes: Objects = field(default_factory=dict)
    http_routes: Objects = field(default_factory=dict)
    tls_routes: Objects = field(default_factory=dict)
    tcp_routes: Objects = field(default_factory=dict)
    reference_grants: Objects = field(default_factory=dict)
    ingresses: Objects = field(default_factory=dict)
    ingress_classes: Objects = field(default_factory=dict)
    services: Objects = field(default_factory=dict)
    endpoint_slices: Mapping[ObjectKey, tuple[Object, ...]] = field(default_factory=dict)
    secrets: Objects = field(default_factory=dict)
    config_maps: Objects = field(default_factory=dict)
    backend_tls_policies: Objects = field(default_factory=dict)
    listener_sets: Objects = field(default_factory=dict)
    namespaces: Objects = field(default_factory=dict)
    proxy_states: Mapping[str, ProxyState] = field(default_factory=dict)
    reflected: Mapping[str, bytes | str] = field(default_factory=dict)
    default_certificate: Certificate | None = None
    backend_tls: "BackendTls" = field(default_factory=dict)
