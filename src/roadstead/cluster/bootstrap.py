"""The objects that every cluster has before its user applies anything.

They are applied through the API like everything else, once per start, so a cluster that comes back has them too.
Names and roles are those that tools look for (kubeadm and the API server create them in a real cluster).
"""

import ipaddress

from roadstead.api.objects import Object
from roadstead.cluster.configuration import ClusterConfiguration

SYSTEM_NAMESPACE = "roadstead-system"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", SYSTEM_NAMESPACE)
INGRESS_CONTROLLER = "k8s.io/ingress-nginx"
API_PORT = 6443


def service_address(configuration: ClusterConfiguration, index: int) -> str:
    """Return the address at `index` of the service range: 1 is the API server's, 10 the DNS server's."""
    return str(ipaddress.IPv4Network(configuration.service_cidr)[index])


def bootstrap_objects(configuration: ClusterConfiguration, api_endpoint: tuple[str, int]) -> list[Object]:
    """Return the objects in the order in which they have to be applied.

    `api_endpoint` is the address and port at which pods reach the API server.
    """
    return [
        *(_named("v1", "Namespace", name) for name in NAMESPACES),
        *_api_service(configuration, api_endpoint),
        _ingress_class(),
        *_roles(),
    ]


def _named(api_version: str, kind: str, name: str, namespace: str = "", **fields: object) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def _api_service(configuration: ClusterConfiguration, endpoint: tuple[str, int]) -> list[Object]:
    address, port = endpoint
    service = _named(
        "v1", "Service", "kubernetes", "default",
        spec={
            "type": "ClusterIP",
            "clusterIP": service_address(configuration, 1),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    )  # fmt: skip
    service["metadata"]["labels"] = {"component": "apiserver", "provider": "kubernetes"}
    endpoints = _named(
        "discovery.k8s.io/v1", "EndpointSlice", "kubernetes", "default",
        addressType="IPv4",
        endpoints=[{"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}],
        ports=[{"name": "https", "port": port, "protocol": "TCP"}],
    )  # fmt: skip
    endpoints["metadata"]["labels"] = {"kubernetes.io/service-name": "kubernetes"}
    return [service, endpoints]


def _ingress_class() -> Object:
    """Ingresses written for NGINX are served; the class says so to every tool that asks."""
    return _named("networking.k8s.io/v1", "IngressClass", "nginx", spec={"controller": INGRESS_CONTROLLER})


_EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
_REVIEWS = [
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
]
_DISCOVERY = [
    {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/healthz", "/livez",
                         "/readyz", "/version", "/version/"], "verbs": ["get"]}
]  # fmt: skip


def _roles() -> list[Object]:
    roles = {"cluster-admin": _EVERYTHING, "system:basic-user": _REVIEWS, "system:discovery": _DISCOVERY}
    bindings = {
        "cluster-admin": "system:masters",
        "system:basic-user": "system:authenticated",
        "system:discovery": "system:authenticated",
    }
    rbac = "rbac.authorization.k8s.io"
    return [
        *(_named(f"{rbac}/v1", "ClusterRole", name, rules=rules) for name, rules in roles.items()),
        *(
            _named(
                f"{rbac}/v1", "ClusterRoleBinding", role,
                roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": role},
                subjects=[{"apiGroup": rbac, "kind": "Group", "name": group}],
            )
            for role, group in bindings.items()
        ),
    ]  # fmt: skip
