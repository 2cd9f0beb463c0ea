"""What particular kinds get from the server when they are created or changed, beyond defaults.

The counterpart of the kinds' strategies (kubernetes pkg/registry/*/strategy.go) and of the admission plugins that
every cluster has. Pure: objects in, objects changed in place.
"""

from collections.abc import Callable

from roadstead.api.errors import invalid
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.api.storage import CLAIM_PROTECTION, VOLUME_PROTECTION
from roadstead.apiserver import causes
from roadstead.apiserver.admission.scheduling import keep_priority, tolerate_lost_nodes

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""The annotation in which a DaemonSet, as in the API's first version, counts the changes of its template."""
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of every CustomResourceDefinition: `housekeeping` removes it."""
_LIMITS = ("cpu", "memory")
_INTERNAL = frozenset({"ClusterIP", "NodePort", "LoadBalancer"})
_EXTERNAL = frozenset({"NodePort", "LoadBalancer"})
_BALANCED = frozenset({"LoadBalancer"})


def admit_new(resource: Resource, obj: Object, now: str) -> None:
    """Complete a new object, whose metadata is prepared."""
    complete = _NEW.get((resource.group, resource.kind))
    if complete is not None:
        complete(obj, now)


def admit_change(resource: Resource, live: ReadOnlyObject, new: Object, now: str) -> None:
    """Complete a changed object, before it is validated."""
    complete = _CHANGED.get((resource.group, resource.kind))
    if complete is not None:
        complete(live, new, now)


def _new_namespace(obj: Object, _: str) -> None:
    spec = obj.setdefault("spec", {})
    if "kubernetes" not in (spec.get("finalizers") or ()):
        spec["finalizers"] = [*(spec.get("finalizers") or ()), "kubernetes"]
    obj["status"] = {"phase": "Active"}


def _new_pod(obj: Object, _: str) -> None:
    spec = obj.get("spec") or {}
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    tolerate_lost_nodes(obj)
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def qos_class(spec: ReadOnlyObject) -> str:
    """Return the quality of service that a pod's requests and limits amount to (pkg/apis/core/v1/helper/qos)."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    limits = [entry.get("limits") or {} for entry in resources]
    requests = [entry.get("requests") or {} for entry in resources]
    if not any(entry.get(name) for entry in [*limits, *requests] for name in _LIMITS):
        return "BestEffort"
    for limit, request in zip(limits, requests, strict=True):
        if any(name not in limit or request.get(name, limit[name]) != limit[name] for name in _LIMITS):
            return "Burstable"
    return "Guaranteed"


def _new_claim(obj: Object, _: str) -> None:
    obj["status"] = {"phase": "Pending"}
    _hold(obj, CLAIM_PROTECTION)


def _new_volume(obj: Object, now: str) -> None:
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": now}
    _hold(obj, VOLUME_PROTECTION)


def _hold(obj: Object, finalizer: str) -> None:
    finalizers = obj["metadata"].get("finalizers") or []
    if isinstance(finalizers, list) and finalizer not in finalizers:
        obj["metadata"]["finalizers"] = [*finalizers, finalizer]


def _new_job(obj: Object, _: str) -> None:
    """Have a Job select its own pods, by its uid (generateSelector in pkg/registry/batch/job/strategy.go)."""
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for name, value in (("controller-uid", metadata["uid"]), ("job-name", metadata["name"])):
        labels.setdefault(f"batch.kubernetes.io/{name}", value)
        labels.setdefault(name, value)
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)
    selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selector.setdefault("batch.kubernetes.io/controller-uid", metadata["uid"])


def _new_definition(obj: Object, _: str) -> None:
    """A definition stays until its objects are gone."""
    _hold(obj, CLEANUP)


_NEW: dict[tuple[str, str], Callable[[Object, str], None]] = {
    ("", "Namespace"): _new_namespace,
    ("", "Pod"): _new_pod,
    ("", "PersistentVolumeClaim"): _new_claim,
    ("", "PersistentVolume"): _new_volume,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _new_definition,
    ("batch", "Job"): _new_job,
}


def _changed_namespace(live: ReadOnlyObject, new: Object, _: str) -> None:
    spec = new.setdefault("spec", {})
    spec["finalizers"] = list((live.get("spec") or {}).get("finalizers") or ())
    if not spec["finalizers"]:
        del spec["finalizers"]


_OF_SERVICE_TYPES = {
    "clusterIP": _INTERNAL,
    "clusterIPs": _INTERNAL,
    "ipFamilies": _INTERNAL,
    "ipFamilyPolicy": _INTERNAL,
    "internalTrafficPolicy": _INTERNAL,
    "externalTrafficPolicy": _EXTERNAL,
    "healthCheckNodePort": _BALANCED,
    "allocateLoadBalancerNodePorts": _BALANCED,
    "loadBalancerClass": _BALANCED,
}
"""Fields of a Service that exist only for some types (dropTypeDependentFields in pkg/registry/core/service)."""


def _changed_service(live: ReadOnlyObject, new: Object, _: str) -> None:
    """Let go of what only the old type had, unless the client changed it: then validation refuses it."""
    before, spec = live.get("spec") or {}, new.get("spec")
    if not isinstance(spec, dict) or spec.get("type") == before.get("type"):
        return
    for field, types in _OF_SERVICE_TYPES.items():
        if spec.get("type") not in types and field in spec and spec[field] == before.get(field):
            del spec[field]
    if spec.get("type") not in _EXTERNAL:
        held = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if isinstance(port, dict) and port.get("nodePort") in held:
                port.pop("nodePort", None)


def _changed_daemon_set(live: ReadOnlyObject, new: Object, _: str) -> None:
    """Count the changes of the template, whatever the client says."""
    counted = str((live["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "1"))
    if counted.isdigit() and new["spec"].get("template") != live["spec"].get("template"):
        counted = str(int(counted) + 1)
    new["metadata"]["annotations"] = {**(new["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: counted}


def _changed_pod(live: ReadOnlyObject, new: Object, _: str) -> None:
    """Keep what every pod has, and refuse ephemeral containers but by their subresource. Raises Invalid."""
    keep_priority(live, new)
    tolerate_lost_nodes(new)
    before, after = ((obj.get("spec") or {}).get("ephemeralContainers") or () for obj in (live, new))
    if list(before) != list(after):
        detail = "pod updates may not change ephemeral containers: use the pod's ephemeralcontainers subresource"
        raise invalid("Pod", "", live["metadata"]["name"], [causes.forbidden("spec.ephemeralContainers", detail)])


_CHANGED: dict[tuple[str, str], Callable[[ReadOnlyObject, Object, str], None]] = {
    ("", "Namespace"): _changed_namespace,
    ("", "Pod"): _changed_pod,
    ("", "Service"): _changed_service,
    ("apps", "DaemonSet"): _changed_daemon_set,
}
