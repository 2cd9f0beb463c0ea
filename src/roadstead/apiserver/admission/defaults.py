"""Defaults: what Kubernetes fills in before it validates and stores an object.

Custom resources and the Gateway API state theirs in the schema; those of built-in kinds are written here as in
kubernetes pkg/apis/*/*/defaults.go. An object with values of wrong types is left alone: `validation` refuses it.
Next: `validation` sees objects with their defaults.
"""

import base64
from collections.abc import Callable

from roadstead.api.objects import Object, clone
from roadstead.api.resources import Resource
from roadstead.apiserver.admission.kinds import TEMPLATE_GENERATION
from roadstead.apiserver.admission.limit_ranges import fill_in_limit_range
from roadstead.apiserver.admission.pod_defaults import fill_in_pod, fill_in_template, set_if_empty
from roadstead.apiserver.admission.policies.defaults import fill_in_binding, fill_in_policy
from roadstead.apiserver.parts import fresh
from roadstead.apiserver.schemas import CustomResource, schema_of
from roadstead.apiserver.schemas.checking import type_causes
from roadstead.apiserver.schemas.defaulting import fill_in
from roadstead.apiserver.schemas.normalizing import normalize
from roadstead.apiserver.schemas.structure import Schema
from roadstead.apiserver.schemas.zero_values import definition_of, drop_empty, fill_in_zeros

GATEWAY_API = "gateway.networking.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


def apply_defaults(resource: Resource, obj: Object, stored: Object | None = None) -> None:
    """Fill in the fields that the user left out, drop what is empty and spell quantities as they are stored, in place.

    Parts that are the stored object's own are known to be well-formed. Never raises: what is malformed stays as it is.
    """
    schema = schema_of(resource)
    if isinstance(resource, CustomResource) or resource.group == GATEWAY_API:
        fill_in(obj, schema)
        if isinstance(obj, dict):
            normalize(obj, schema)
        return
    parts = fresh(obj, stored)
    if type_causes(parts, schema):
        return
    _normalize_parts(obj, parts, schema, definition_of(resource))
    complete = _DEFAULTS.get((resource.group, resource.kind))
    if complete is not None:
        complete(obj)


def write_zeros(resource: Resource, obj: Object, stored: Object | None = None) -> None:
    """Add, in place, what Kubernetes always writes, such as `status: {}`, to an object that is valid."""
    if definition := definition_of(resource):
        parts = fresh(obj, stored)
        fill_in_zeros(parts, definition)
        for name, part in parts.items():
            obj.setdefault(name, part)


def _normalize_parts(obj: Object, parts: Object, schema: Schema, definition: str) -> None:
    names = tuple(parts)
    normalize(parts, schema)
    drop_empty(parts, definition)
    for name in names:
        if name not in parts:
            del obj[name]
    obj.update(parts)


def _spec(obj: Object) -> Object:
    spec: Object = obj.setdefault("spec", {})
    return spec


def _template(obj: Object) -> None:
    if "template" in _spec(obj):
        fill_in_template(obj["spec"]["template"])


def _deployment(obj: Object) -> None:
    spec = _spec(obj)
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    set_if_empty(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    _template(obj)


def _replica_set(obj: Object) -> None:
    _spec(obj).setdefault("replicas", 1)
    _template(obj)


def _replication_controller(obj: Object) -> None:
    _replica_set(obj)
    labels = ((obj["spec"].get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        set_if_empty(obj["spec"], "selector", dict(labels))
        set_if_empty(obj.setdefault("metadata", {}), "labels", dict(labels))


def _daemon_set(obj: Object) -> None:
    spec = _spec(obj)
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {TEMPLATE_GENERATION: "1", **(metadata.get("annotations") or {})}
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    set_if_empty(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", 0)
        rolling.setdefault("maxUnavailable", 1)
    _template(obj)


def _stateful_set(obj: Object) -> None:
    spec = _spec(obj)
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    set_if_empty(spec, "podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
        strategy["rollingUpdate"].setdefault("maxUnavailable", 1)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    set_if_empty(retention, "whenDeleted", "Retain")
    set_if_empty(retention, "whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates", ()):
        set_if_empty(claim, "apiVersion", "v1")
        set_if_empty(claim, "kind", "PersistentVolumeClaim")
        _claim(claim)
    _template(obj)


def _job(obj: Object) -> None:
    spec = _spec(obj)
    _job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        set_if_empty(obj.setdefault("metadata", {}), "labels", dict(labels))
    _template(obj)


def _job_spec(spec: Object) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)


def _cron_job(obj: Object) -> None:
    spec = _spec(obj)
    set_if_empty(spec, "concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
    if template is not None:
        fill_in_template(template)


_SCALE_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_SCALE_DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
_CPU_METRIC = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


def _horizontal_pod_autoscaler(obj: Object) -> None:
    spec = _spec(obj)
    spec.setdefault("minReplicas", 1)
    if obj.get("apiVersion") == "autoscaling/v1":  # it has no metrics; conversion gives it those of v2
        obj["status"] = {"currentReplicas": 0, **(obj.get("status") or {})}
        return
    set_if_empty(spec, "metrics", [clone(_CPU_METRIC)])
    if "behavior" in spec:
        behavior = spec["behavior"]
        behavior["scaleUp"] = {**clone(_SCALE_UP), **behavior.get("scaleUp", {})}
        behavior["scaleDown"] = {**clone(_SCALE_DOWN), **behavior.get("scaleDown", {})}


_ROUTED = ("ClusterIP", "NodePort", "LoadBalancer")
_THREE_HOURS = 10_800


def _service(obj: Object) -> None:
    spec = _spec(obj)
    set_if_empty(spec, "type", "ClusterIP")
    set_if_empty(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", _THREE_HOURS)
    for port in spec.get("ports", ()):
        set_if_empty(port, "protocol", "TCP")
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] in _ROUTED:
        set_if_empty(spec, "internalTrafficPolicy", "Cluster")
    _reachable_service(spec, obj)


def _reachable_service(spec: Object, obj: Object) -> None:
    """Fill in what only Services have that are reached from outside."""
    outside = spec["type"] in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    if outside and spec["type"] in _ROUTED:
        set_if_empty(spec, "externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for address in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress", ()):
            if address.get("ip"):
                address.setdefault("ipMode", "VIP")


def _endpoints(obj: Object) -> None:
    for subset in obj.get("subsets", ()):
        for port in subset.get("ports", ()):
            set_if_empty(port, "protocol", "TCP")


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports", ()):
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _network_policy(obj: Object) -> None:
    spec = _spec(obj)
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _ingress_class(obj: Object) -> None:
    if "parameters" in _spec(obj):
        obj["spec"]["parameters"].setdefault("scope", "Cluster")


def _role_binding(obj: Object) -> None:
    set_if_empty(obj.setdefault("roleRef", {}), "apiGroup", _RBAC)
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            set_if_empty(subject, "apiGroup", _RBAC)


def _secret(obj: Object) -> None:
    set_if_empty(obj, "type", "Opaque")
    plain = obj.pop("stringData", None)
    if isinstance(plain, dict) and plain:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _definition(obj: Object) -> None:
    spec = _spec(obj)
    names = spec.get("names") or {}
    if kind := names.get("kind"):
        set_if_empty(names, "singular", kind.lower())
        set_if_empty(names, "listKind", f"{kind}List")
    set_if_empty(spec.setdefault("conversion", {}), "strategy", "None")


def _claim(obj: Object) -> None:
    _spec(obj).setdefault("volumeMode", "Filesystem")
    set_if_empty(obj.setdefault("status", {}), "phase", "Pending")


def _volume(obj: Object) -> None:
    spec = _spec(obj)
    spec.setdefault("volumeMode", "Filesystem")
    set_if_empty(spec, "persistentVolumeReclaimPolicy", "Retain")
    set_if_empty(obj.setdefault("status", {}), "phase", "Pending")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")


def _storage_class(obj: Object) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _priority_class(obj: Object) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _namespace(obj: Object) -> None:
    if name := obj["metadata"].get("name"):
        obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": name}


def _pod_template(obj: Object) -> None:
    if "template" in obj:
        fill_in_template(obj["template"])


_DEFAULTS: dict[tuple[str, str], Callable[[Object], None]] = {
    ("", "Endpoints"): _endpoints,
    ("", "LimitRange"): fill_in_limit_range,
    ("", "Namespace"): _namespace,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): fill_in_pod,
    ("", "PodTemplate"): _pod_template,
    ("", "ReplicationController"): _replication_controller,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): fill_in_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): fill_in_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): _horizontal_pod_autoscaler,
    ("batch", "CronJob"): _cron_job,
    ("batch", "Job"): _job,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    (_RBAC, "RoleBinding"): _role_binding,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("storage.k8s.io", "StorageClass"): _storage_class,
}
