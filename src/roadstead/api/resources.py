"""Which kinds there are, and how the REST API names them.

One `Resource` per kind and version: the API server serves the table, clients build paths from it.
Next: `selectors`, how objects are picked out of a resource.
"""

from collections.abc import Iterable
from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version, as discovery shows it (`APIResource` in apimachinery's meta/v1 types.go)."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS

    @property
    def singular(self) -> str:
        """The lower-case kind, which kubectl accepts as a resource name."""
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects: `v1`, or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of its group and version: `/api/v1` or `/apis/GROUP/VERSION`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the REST path of the collection, of one object, or of a subresource of it."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


def _core() -> Iterable[Resource]:
    status = ("status",)
    yield Resource("", "v1", "bindings", "Binding", verbs=("create",))
    yield Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
    yield Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",))
    yield Resource("", "v1", "events", "Event", short_names=("ev",))
    yield Resource("", "v1", "limitranges", "LimitRange", short_names=("limits",))
    one_by_one = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
    yield Resource("", "v1", "namespaces", "Namespace", False, ("ns",), (), ("finalize", "status"), one_by_one)
    yield Resource("", "v1", "nodes", "Node", False, ("no",), subresources=status)
    yield Resource(
        "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",), subresources=status
    )
    yield Resource("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), subresources=status)
    yield Resource(
        "", "v1", "pods", "Pod", short_names=("po",), categories=("all",),
        subresources=("status", "log", "exec", "attach", "portforward", "proxy", "eviction", "binding",
            "ephemeralcontainers"),
    )  # fmt: skip
    yield Resource("", "v1", "podtemplates", "PodTemplate")
    yield Resource(
        "", "v1", "replicationcontrollers", "ReplicationController", short_names=("rc",), categories=("all",),
        subresources=("status", "scale"),
    )  # fmt: skip
    yield Resource("", "v1", "resourcequotas", "ResourceQuota", short_names=("quota",), subresources=status)
    yield Resource("", "v1", "secrets", "Secret")
    yield Resource("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",), subresources=("token",))
    yield Resource(
        "", "v1", "services", "Service", short_names=("svc",), categories=("all",), subresources=("status", "proxy")
    )


def _workloads() -> Iterable[Resource]:
    every, scaled = ("all",), ("status", "scale")
    yield Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
    yield Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), every, ("status",))
    yield Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), every, scaled)
    yield Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), every, scaled)
    yield Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), every, scaled)
    yield Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",), every, ("status",))
    yield Resource("batch", "v1", "jobs", "Job", True, (), every, ("status",))
    for version in ("v2", "v1"):
        yield Resource(
            "autoscaling", version, "horizontalpodautoscalers", "HorizontalPodAutoscaler", True,
            ("hpa",), every, ("status",),
        )  # fmt: skip
    yield Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), (), ("status",))


def _network() -> Iterable[Resource]:
    gateway, gateway_category = "gateway.networking.k8s.io", ("gateway-api",)
    yield Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
    yield Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False)
    yield Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), (), ("status",))
    yield Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",))
    yield Resource(gateway, "v1", "gatewayclasses", "GatewayClass", False, ("gc",), gateway_category, ("status",))
    yield Resource(gateway, "v1", "gateways", "Gateway", True, ("gtw",), gateway_category, ("status",))
    yield Resource(gateway, "v1", "grpcroutes", "GRPCRoute", True, (), gateway_category, ("status",))
    yield Resource(gateway, "v1", "httproutes", "HTTPRoute", True, (), gateway_category, ("status",))
    yield Resource(
        gateway,
        "v1",
        "backendtlspolicies",
        "BackendTLSPolicy",
        True,
        ("btlspolicy",),
        gateway_category,
        ("status",),
    )
    yield Resource(gateway, "v1", "listenersets", "ListenerSet", True, ("lset",), gateway_category, ("status",))
    for version in ("v1", "v1alpha2"):
        yield Resource(gateway, version, "tcproutes", "TCPRoute", True, (), gateway_category, ("status",))
    for version in ("v1", "v1alpha3", "v1alpha2"):
        yield Resource(gateway, version, "tlsroutes", "TLSRoute", True, (), gateway_category, ("status",))
    yield Resource(gateway, "v1", "referencegrants", "ReferenceGrant", True, ("refgrant",), gateway_category)
    yield Resource(gateway, "v1beta1", "referencegrants", "ReferenceGrant", True, ("refgrant",), gateway_category)


def _admission() -> Iterable[Resource]:
    group, policy = "admissionregistration.k8s.io", "ValidatingAdmissionPolicy"
    category = ("api-extensions",)
    yield Resource(group, "v1", "validatingadmissionpolicies", policy, False, (), category, ("status",))
    yield Resource(group, "v1", "validatingadmissionpolicybindings", f"{policy}Binding", False, (), category)


def _access() -> Iterable[Resource]:
    rbac, review = "rbac.authorization.k8s.io", ("create",)
    yield Resource(rbac, "v1", "clusterrolebindings", "ClusterRoleBinding", False)
    yield Resource(rbac, "v1", "clusterroles", "ClusterRole", False)
    yield Resource(rbac, "v1", "rolebindings", "RoleBinding")
    yield Resource(rbac, "v1", "roles", "Role")
    yield Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=review)
    yield Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False, verbs=review)
    yield Resource("authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=review)
    yield Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        False,
        verbs=review,
    )
    yield Resource(
        "authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=review
    )
    yield Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, verbs=review)


def _cluster() -> Iterable[Resource]:
    yield Resource("coordination.k8s.io", "v1", "leases", "Lease")
    yield Resource("events.k8s.io", "v1", "events", "Event", short_names=("ev",))
    yield Resource("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False, verbs=("get", "list"))
    yield Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", verbs=("get", "list"))
    yield Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",))
    yield Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",))
    yield Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
        ("crd", "crds"), ("api-extensions",), ("status",),
    )  # fmt: skip


BUILT_IN: tuple[Resource, ...] = (
    *_core(), *_workloads(), *_network(), *_admission(), *_access(), *_cluster(),
)  # fmt: skip


class Scheme:
    """The resources that a server serves or a client knows: looked up by path and by kind.

    It is immutable; `with_resources` returns an extended copy, as when a CustomResourceDefinition is established.
    """

    def __init__(self, resources: Iterable[Resource] = BUILT_IN) -> None:
        self.resources = tuple(resources)
        self._by_plural = {(r.group, r.version, r.plural): r for r in self.resources}
        self._by_kind = {(r.api_version, r.kind): r for r in self.resources}

    def by_plural(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource served at this place, or None."""
        return self._by_plural.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource whose objects carry this `apiVersion` and `kind`, or None."""
        return self._by_kind.get((api_version, kind))

    def with_resources(self, resources: Iterable[Resource]) -> "Scheme":
        """Return a scheme that has these resources too; same place, newer wins."""
        merged = dict(self._by_plural)
        merged.update({(r.group, r.version, r.plural): r for r in resources})
        return Scheme(merged.values())

    def without_group_kind(self, group: str, kind: str) -> "Scheme":
        """Return a scheme without any version of this kind."""
        return Scheme(r for r in self.resources if (r.group, r.kind) != (group, kind))


_SCHEME = Scheme()


def resource(kind: str, api_version: str | None = None) -> Resource:
    """Return the built-in resource of a kind; `api_version` is needed only for kinds that exist in two groups.

    Raises KeyError for a kind that is not built in: a mistake in our own code, never in what a user wrote.
    """
    for candidate in _SCHEME.resources:
        if candidate.kind == kind and api_version in (None, candidate.api_version):
            return candidate
    raise KeyError(f"{api_version or ''} {kind} is not a built-in kind")
