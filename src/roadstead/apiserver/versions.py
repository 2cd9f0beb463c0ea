"""One stored object, several API versions: how an object of one is shown in another.

Versions of a custom resource, and of the Gateway API's kinds, differ in `apiVersion` only (conversion strategy None).
Events are the exception: core/v1 and events.k8s.io/v1 name the same facts differently
(kubernetes pkg/apis/events/v1/conversion.go).
"""

from collections.abc import Mapping

from roadstead.api.objects import Object
from roadstead.api.resources import Resource

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


def convert(obj: Object, resource: Resource) -> Object:
    """Return the object in a resource's version; the argument itself if it is in that version already."""
    version = resource.api_version
    if obj.get("apiVersion") == version:
        return obj
    converted = {**obj, "apiVersion": version}
    if resource.plural == "events" and resource.group in {"", "events.k8s.io"}:
        converted = _renamed(converted, _EVENT_NAMES if version == _EVENTS else _CORE_NAMES)
    managed = obj["metadata"].get("managedFields")
    if managed:
        entries = [{**entry, "apiVersion": version} for entry in managed]
        converted["metadata"] = {**obj["metadata"], "managedFields": entries}
    return converted


def _renamed(obj: Object, names: Mapping[str, str]) -> Object:
    return {names.get(field, field): value for field, value in obj.items()}
