"""What every cluster has from its first moment: namespaces, the roles that clients expect, the `kubernetes` Service.

Made once, when it is missing; later changes by the user are left alone (kubernetes
plugin/pkg/auth/authorizer/rbac/bootstrappolicy). Roles are data: name, labels, rules, whom they are bound to.
"""

from collections.abc import Iterator, Sequence

from roadstead.api.objects import Object
from roadstead.api.storage import DRIVER, STANDARD
from roadstead.apiserver.admission.scheduling import SYSTEM_CLASSES

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_RBAC = "rbac.authorization.k8s.io"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_WORKLOADS = (
    ("", ("configmaps", "endpoints", "persistentvolumeclaims", "pods", "replicationcontrollers",
          "replicationcontrollers/scale", "serviceaccounts", "services")),
    ("apps", ("daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets",
              "statefulsets/scale")),
    ("autoscaling", ("horizontalpodautoscalers",)),
    ("batch", ("cronjobs", "jobs")),
    ("networking.k8s.io", ("ingresses", "networkpolicies")),
    ("policy", ("poddisruptionbudgets",)),
    ("gateway.networking.k8s.io", ("backendtlspolicies", "gateways", "grpcroutes", "httproutes", "listenersets",
                                   "referencegrants", "tcproutes", "tlsroutes")),
)  # fmt: skip
_READ_ONLY = (
    ("", ("bindings", "events", "limitranges", "namespaces", "namespaces/status", "pods/log", "pods/status",
          "resourcequotas", "services/status")),
    ("apps", ("controllerrevisions", "daemonsets/status", "deployments/status", "replicasets/status",
              "statefulsets/status")),
    ("discovery.k8s.io", ("endpointslices",)),
    ("metrics.k8s.io", ("nodes", "pods")),
)  # fmt: skip
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_ISSUER = (
    "/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/",
)  # fmt: skip
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")


def objects() -> Iterator[Object]:
    """Yield what is to be there, in the order in which it can be made."""
    for name in NAMESPACES:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for name, (value, description) in SYSTEM_CLASSES.items():
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }
    yield from _roles()


def new_cluster_objects() -> Iterator[Object]:
    """Yield what a new cluster begins with, and what is its users' own from then on: they may delete it for good."""
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STANDARD, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def kubernetes_service(address: str, endpoint: tuple[str, int]) -> Object:
    """Return the Service by which pods reach this server: its cluster IP, and the address and port behind it."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": "kubernetes", "namespace": "default", "labels": labels}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": endpoint[1]}]
    spec = {"type": "ClusterIP", "clusterIP": address, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def endpoint_slice(endpoint: tuple[str, int]) -> Object:
    """Return the EndpointSlice of the `kubernetes` Service; it is written at every start, for the port may change."""
    address, port = endpoint
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }


def _roles() -> Iterator[Object]:
    everything = [_rule(["*"], ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}]
    yield from _bound("cluster-admin", everything, "system:masters")
    yield from _bound("system:discovery", [_paths((*_PUBLIC, *_DISCOVERY))], "system:authenticated")
    public = [_paths(_PUBLIC)]
    yield from _bound("system:public-info-viewer", public, "system:authenticated", "system:unauthenticated")
    discovery = [_paths(_ISSUER)]
    yield from _bound("system:service-account-issuer-discovery", discovery, "system:serviceaccounts")
    yield from _bound("system:basic-user", _self_reviews(), "system:authenticated")
    yield from _user_roles()


def _self_reviews() -> list[Object]:
    return [
        _rule(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
    ]


def _user_roles() -> Iterator[Object]:
    view = [_rule([group], names, _READ) for group, names in (*_WORKLOADS, *_READ_ONLY)]
    edit = [_rule([group], names, _WRITE) for group, names in _WORKLOADS]
    edit.append(_rule([""], ["secrets"], (*_READ, *_WRITE)))
    streams = [
        "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "pods/eviction", "services/proxy",
        "serviceaccounts/token",
    ]  # fmt: skip
    edit.append(_rule([""], streams, ("get", *_WRITE)))
    edit.append(_rule([""], ["serviceaccounts"], ["impersonate"]))
    admin = [
        _rule([_RBAC], ["roles", "rolebindings"], (*_READ, *_WRITE)),
        _rule(["authorization.k8s.io"], ["localsubjectaccessreviews"], ["create"]),
    ]
    for name, above, rules in (("view", "edit", view), ("edit", "admin", edit), ("admin", "", admin)):
        labels = {f"{_AGGREGATE}{name}": "true"}
        # A role is aggregated into all above it: admin has what edit has, edit what view has.
        if above:
            labels[f"{_AGGREGATE}admin"] = labels[f"{_AGGREGATE}{above}"] = "true"
        yield _cluster_role(f"system:aggregate-to-{name}", rules, labels)
        selectors = [{"matchLabels": {f"{_AGGREGATE}{name}": "true"}}]
        yield {**_cluster_role(name, [], {}), "aggregationRule": {"clusterRoleSelectors": selectors}}


def _bound(name: str, rules: list[Object], *groups: str) -> Iterator[Object]:
    yield _cluster_role(name, rules, {})
    subjects = [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups]
    yield {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
        "subjects": subjects,
    }


def _cluster_role(name: str, rules: list[Object], labels: dict[str, str]) -> Object:
    metadata = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **labels}}
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def _rule(groups: Sequence[str], resources: Sequence[str], verbs: Sequence[str]) -> Object:
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}


def _paths(paths: Sequence[str]) -> Object:
    return {"nonResourceURLs": list(paths), "verbs": ["get"]}
