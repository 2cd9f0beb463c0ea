"""One stored object, several API versions: how an object of one is shown in another.

Versions of a custom resource, and of the Gateway API's kinds, differ in `apiVersion` only (conversion strategy None).
The exceptions are Events, whose facts core/v1 and events.k8s.io/v1 name differently (kubernetes
pkg/apis/events/v1/conversion.go), and HorizontalPodAutoscalers, see `autoscaling`.
"""

from collections.abc import Mapping

from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver import autoscaling

_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""The fields of core/v1's Event that events.k8s.io/v1 calls otherwise."""
_CORE_NAMES = {new: old for old, new in _EVENT_NAMES.items()}
_EVENTS = "events.k8s.io/v1"
_METRICS, _TARGET = "f:metrics", "f:targetCPUUtilizationPercentage"


def convert(obj: Object, resource: Resource) -> Object:
    """Return the object in a resource's version; the argument itself if it is in that version already."""
    version = resource.api_version
    if obj.get("apiVersion") == version:
        return obj
    converted = {**obj, "apiVersion": version}
    renamed: Mapping[str, str] = {}
    if resource.plural == "events" and resource.group in {"", "events.k8s.io"}:
        converted = _renamed(converted, _EVENT_NAMES if version == _EVENTS else _CORE_NAMES)
    elif version == "autoscaling/v1":
        converted, renamed = autoscaling.to_v1(converted), {_METRICS: _TARGET}
    elif version == "autoscaling/v2":
        converted, renamed = autoscaling.to_v2(converted), {_TARGET: _METRICS}
    managed = converted["metadata"].get("managedFields")
    if managed:
        entries = [_owned(entry, version, renamed) for entry in managed]
        converted["metadata"] = {**converted["metadata"], "managedFields": entries}
    return converted


def _owned(entry: Object, version: str, names: Mapping[str, str]) -> Object:
    """Return an entry of managed fields in another version, in which fields of the spec have other names."""
    moved = {**entry, "apiVersion": version}
    spec = (entry.get("fieldsV1") or {}).get("f:spec")
    if names and spec:
        moved["fieldsV1"] = {**entry["fieldsV1"], "f:spec": _renamed(spec, names)}
    return moved


def _renamed(obj: Object, names: Mapping[str, str]) -> Object:
    return {names.get(field, field): value for field, value in obj.items()}
