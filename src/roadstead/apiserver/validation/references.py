"""What environments and volumes refer to: fields of the pod, resources of a container."""

import re
from collections.abc import Sequence

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain

ENVIRONMENT_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_KNOWN = frozenset({
    *ENVIRONMENT_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName",
    "status.phase",
})  # fmt: skip
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_SUBSCRIPTED = re.compile(r"([^\[\]]*)\['(.*)'\]", re.DOTALL)
_SIZES = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
_DIVIDED = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def field_reference(source: ReadOnlyObject, path: str, fields: Sequence[str]) -> Causes:
    """Return what is wrong with a reference to a field of the pod, which must be one of these or a label."""
    field = source.get("fieldPath", "")
    if not field:
        return [causes.required(f"{path}.fieldPath")]
    if matched := _SUBSCRIPTED.fullmatch(field):
        whole, key = matched[1], matched[2]
        if whole == "metadata.labels":
            return complain(path, key, names.qualified_name_complaints(key))
        if whole == "metadata.annotations":
            return complain(path, key.lower(), names.qualified_name_complaints(key.lower()))
        return [_unconverted(path, field, f"field label does not support subscript: {field}")]
    field = "spec.nodeName" if field == "spec.host" else field
    if field not in _KNOWN:
        return [_unconverted(path, field, f"field label not supported: {field}")]
    return [] if field in fields else [causes.not_supported(f"{path}.fieldPath", field, fields)]


def _unconverted(path: str, field: str, problem: str) -> causes.Cause:
    return causes.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")


def resource_reference(source: ReadOnlyObject, path: str, *, of_volume: bool = False) -> Causes:
    """Return what is wrong with a reference to a resource of a container; a volume has to say of which one."""
    resource = source.get("resource", "")
    found: Causes = []
    if of_volume and not source.get("containerName"):
        found.append(causes.required(f"{path}.containerName"))
    elif not resource:
        found.append(causes.required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        found.append(causes.not_supported(f"{path}.resource", resource, _RESOURCES))
    return found + _divisor(source, resource, f"{path}.divisor")


def _divisor(source: ReadOnlyObject, resource: str, path: str) -> Causes:
    divisor, name = str(source.get("divisor") or 0), resource.partition(".")[2]
    if parse_quantity(divisor) == 0:
        return []
    shown = "hugepages" if name.startswith("hugepages-") else _DIVIDED.get(name)
    choices = "1m and 1" if shown == "cpu" else _SIZES
    if shown is None or divisor in re.split(", | and ", choices):
        return []
    return [causes.invalid(path, resource, f"only divisor's values {choices} are supported with the {shown} resource")]
