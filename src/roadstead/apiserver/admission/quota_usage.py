"""What an object counts for in a ResourceQuota, and which objects a quota is about. Pure.

After kubernetes' pkg/quota/v1/evaluator/core (pods, services, claims) and apiserver's pkg/quota/v1/generic (everything
else, which is counted: `count/deployments.apps`). Next: `quotas` keeps the sums.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import Quantity
from roadstead.apiserver.admission.kinds import qos_class
from roadstead.apiserver.admission.resource_lists import ResourceList, pod_resources, resource_list

PODS, SERVICES, CLAIMS = "pods", "services", "persistentvolumeclaims"
_ONE = Quantity.of("1")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_REQUIRED = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""If a quota limits one of these, every container must say how much it wants."""
_OF_PODS = frozenset({
    "count/pods", PODS, *_COMPUTE, *(f"{part}.{name}" for part in ("requests", "limits") for name in _COMPUTE),
})  # fmt: skip
_OF_SERVICES = frozenset({"count/services", SERVICES, "services.loadbalancers", "services.nodeports"})
_OF_CLAIMS = frozenset({"count/persistentvolumeclaims", CLAIMS, "requests.storage"})
_BY_CLASS = ".storageclass.storage.k8s.io/"
_COUNTED_BY_NAME = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets"})
STANDARD_NAMES = _OF_PODS | _OF_SERVICES | _OF_CLAIMS | _COUNTED_BY_NAME
"""The names of resources that have no domain; others are counted objects or extended resources."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One condition that a pod must meet to be counted."""

    name: str
    operator: str = "Exists"
    values: frozenset[str] = frozenset()


def scopes_of(quota: ReadOnlyObject) -> tuple[Scope, ...]:
    """Return the conditions of a quota, in either of the forms that it may state them."""
    spec = quota.get("spec") or {}
    terms = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    stated = [Scope(name) for name in spec.get("scopes") or ()]
    selected = [Scope(term["scopeName"], term["operator"], frozenset(term.get("values") or ())) for term in terms]
    return (*stated, *selected)


@lru_cache(4096)
def collection_counted(name: str) -> str:
    """Return the collection whose objects count for a resource, empty if nothing that can be stored does."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _COUNTED_BY_NAME:
        return name
    if name in _OF_SERVICES:
        return SERVICES
    if name in _OF_CLAIMS or (_BY_CLASS in name and name.rpartition(_BY_CLASS)[2] in _OF_CLAIMS):
        return CLAIMS
    extended = name.startswith("requests.") and "/" in name
    return PODS if name in _OF_PODS or extended or name.startswith(("hugepages-", "requests.hugepages-")) else ""


def usage(collection: str, obj: ReadOnlyObject) -> ResourceList:
    """Return what an object counts for."""
    counted = {f"count/{collection}": _ONE}
    if collection == PODS:
        return counted | _of_pod(obj)
    if collection == SERVICES:
        return counted | _of_service(obj.get("spec") or {})
    if collection == CLAIMS:
        return counted | _of_claim(obj)
    return counted | {collection: _ONE} if collection in _COUNTED_BY_NAME else counted


def _of_pod(pod: ReadOnlyObject) -> ResourceList:
    """A pod that has ended is stored and counted, but uses nothing."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    return {PODS: _ONE, **_charged(pod_resources(pod, "requests"), pod_resources(pod, "limits"))}


def _charged(requests: Mapping[str, Quantity], limits: Mapping[str, Quantity]) -> ResourceList:
    found: ResourceList = {}
    for name, quantity in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = quantity
        elif "/" in name:
            found[f"requests.{name}"] = quantity
    found |= {f"limits.{name}": quantity for name, quantity in limits.items() if name in _COMPUTE}
    return found


def _of_service(spec: ReadOnlyObject) -> ResourceList:
    ports, type_ = spec.get("ports") or (), spec.get("type")
    if type_ == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    exposed = len(ports) if type_ in ("NodePort", "LoadBalancer") else 0
    balanced = _ONE if type_ == "LoadBalancer" else Quantity.of("0")
    return {SERVICES: _ONE, "services.loadbalancers": balanced, "services.nodeports": Quantity.of(str(exposed))}


def _of_claim(claim: ReadOnlyObject) -> ResourceList:
    spec = claim.get("spec") or {}
    found = {CLAIMS: _ONE}
    requested = resource_list((spec.get("resources") or {}).get("requests")).get("storage")
    if requested is not None:
        found["requests.storage"] = requested
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    name = annotations.get("volume.beta.kubernetes.io/storage-class", spec.get("storageClassName"))
    return found | {f"{name}{_BY_CLASS}{resource}": quantity for resource, quantity in found.items() if name}


def in_scope(collection: str, obj: ReadOnlyObject, scopes: Iterable[Scope]) -> bool:
    """Say whether an object meets all conditions; only pods can meet any."""
    return all(collection == PODS and _meets(obj, scope) for scope in scopes)


def _meets(pod: ReadOnlyObject, scope: Scope) -> bool:
    spec = pod.get("spec") or {}
    if scope.name in ("BestEffort", "NotBestEffort"):
        return (qos_class(spec) == "BestEffort") == (scope.name == "BestEffort")
    if scope.name in ("Terminating", "NotTerminating"):
        return is_terminating(pod) == (scope.name == "Terminating")
    if scope.name == "PriorityClass":
        return _has_priority(str(spec.get("priorityClassName") or ""), scope)
    return scope.name == "CrossNamespacePodAffinity" and any(_looks_elsewhere(spec.get("affinity") or {}))


def is_terminating(pod: ReadOnlyObject) -> bool:
    """Say whether a pod has a time at which it ends, in the words of quotas: `Terminating`."""
    return (pod.get("spec") or {}).get("activeDeadlineSeconds") is not None


def _has_priority(name: str, scope: Scope) -> bool:
    if scope.operator in ("Exists", "DoesNotExist"):
        return bool(name) == (scope.operator == "Exists")
    return (name in scope.values) == (scope.operator == "In")


def _looks_elsewhere(affinity: ReadOnlyObject) -> Iterable[bool]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules: Mapping[str, Any] = affinity.get(kind) or {}
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        required = rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for term in (*required, *(each.get("podAffinityTerm") or {} for each in preferred)):
            yield bool(term.get("namespaces")) or term.get("namespaceSelector") is not None


def unstated(pod: ReadOnlyObject, limited: Iterable[str]) -> str:
    """Say what containers of a pod must specify because a quota limits it, empty if they do."""
    spec = pod.get("spec") or {}
    if any((spec.get("resources") or {}).values()):
        return ""
    missing: dict[str, set[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        stated = _charged(resource_list(resources.get("requests")), resource_list(resources.get("limits")))
        for name in _REQUIRED.intersection(limited) - stated.keys():
            missing.setdefault(name, set()).add(str(container.get("name", "")))
    found = [f"{name} for: {','.join(sorted(containers))}" for name, containers in sorted(missing.items())]
    return f"must specify {'; '.join(found)}" if found else ""
