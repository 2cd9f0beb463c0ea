"""Which fields a field selector may name: those that Kubernetes can select by, kind by kind.

(kubernetes pkg/apis/*/v1/conversion.go, `AddFieldLabelConversionsFor*`.) A selector on anything else is refused rather
than ignored, so that nobody deletes by a selector that means nothing.
"""

from roadstead.api.errors import BadRequest
from roadstead.api.resources import Resource
from roadstead.api.selectors import FieldSelector

_ALWAYS = frozenset({"metadata.name", "metadata.namespace"})
_INVOLVED = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
_BY_KIND: dict[tuple[str, str], frozenset[str]] = {
    ("", "Pod"): frozenset({
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    }),
    ("", "Event"): frozenset({
        *(f"involvedObject.{field}" for field in _INVOLVED), "reason", "reportingComponent", "source", "type",
    }),
    ("events.k8s.io", "Event"): frozenset({
        *(f"regarding.{field}" for field in _INVOLVED), "reason", "reportingController", "type",
    }),
    ("", "Namespace"): frozenset({"status.phase"}),
    ("", "Node"): frozenset({"spec.unschedulable"}),
    ("", "Secret"): frozenset({"type"}),
    ("", "Service"): frozenset({"spec.clusterIP", "spec.type"}),
    ("", "ReplicationController"): frozenset({"status.replicas"}),
    ("apps", "ReplicaSet"): frozenset({"status.replicas"}),
    ("batch", "Job"): frozenset({"status.successful"}),
}  # fmt: skip


def check_field_selector(resource: Resource, selector: FieldSelector) -> None:
    """Raise BadRequest if a selector names a field that objects of this kind cannot be selected by."""
    known = _ALWAYS | _BY_KIND.get((resource.group, resource.kind), frozenset())
    for path, _, _ in selector.terms:
        if path not in known:
            raise BadRequest(f"field label not supported: {path}")
