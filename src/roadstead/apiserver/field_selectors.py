"""Which fields a field selector may name: those that Kubernetes can select by, kind by kind.

(kubernetes pkg/apis/*/v1/conversion.go, `AddFieldLabelConversionsFor*`.) A selector on anything else is refused rather
than ignored, so that nobody deletes by a selector that means nothing.
"""

from roadstead.api.errors import BadRequest
from roadstead.api.resources import Resource
from roadstead.api.selectors import FieldSelector
from roadstead.apiserver.schemas import CustomResource

_INVOLVED = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
_PLACE = frozenset({"metadata.name", "metadata.namespace"})
_BY_KIND: dict[tuple[str, str], frozenset[str]] = {
    ("", "Pod"): _PLACE | {
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    },
    ("", "Event"): _PLACE | {
        *(f"involvedObject.{field}" for field in _INVOLVED), "reason", "reportingComponent", "source", "type",
    },
    ("events.k8s.io", "Event"): _PLACE | {
        *(f"regarding.{field}" for field in _INVOLVED), "reason", "reportingController", "type",
    },
    ("", "Namespace"): frozenset({"metadata.name", "status.phase"}),
    ("", "Node"): frozenset({"metadata.name", "spec.unschedulable"}),
    ("", "Secret"): _PLACE | {"type"},
    ("", "Service"): _PLACE | {"spec.clusterIP", "spec.type"},
    ("", "ReplicationController"): _PLACE | {"status.replicas"},
    ("batch", "Job"): _PLACE | {"status.successful"},
}  # fmt: skip


def check_field_selector(resource: Resource, selector: FieldSelector) -> None:
    """Raise BadRequest if a selector names a field that objects of this kind cannot be selected by."""
    own = _BY_KIND.get((resource.group, resource.kind))
    if isinstance(resource, CustomResource):
        own = _PLACE | resource.selectable
    for path, _, _ in selector.terms:
        if path not in (own or _PLACE):
            raise BadRequest(_complaint(resource, path, own=own is not None))


def _complaint(resource: Resource, path: str, *, own: bool) -> str:
    if not own:
        return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    if resource.kind == "Job":
        return f'field label "{path}" not supported for Job'
    return f"field label not supported: {path}"
