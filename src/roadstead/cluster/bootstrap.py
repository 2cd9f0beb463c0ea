"""What a cluster of ours has besides what every Kubernetes cluster has (that is the API server's `bootstrap`).

Applied through the API like everything else, at each start, so a cluster that comes back has it too.
"""

from roadstead.api.objects import Object

SYSTEM_NAMESPACE = "roadstead-system"
INGRESS_CONTROLLER = "k8s.io/ingress-nginx"
OBJECTS: tuple[Object, ...] = (
    # Where the proxy of all Ingresses runs.
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}},
    # Ingresses written for NGINX are served; the class says so to every tool that asks.
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": {"controller": INGRESS_CONTROLLER},
    },
)
