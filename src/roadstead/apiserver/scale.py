"""The `scale` subresource: one number of a workload, seen and changed without knowing its kind. Pure.

Deployments, ReplicaSets and the like keep it in `spec.replicas`; a CRD says by JSON paths where its objects keep it.
"""

from collections.abc import Mapping
from typing import Any

from roadstead.api.errors import BadRequest, invalid
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.apiserver.schemas import CustomResource

_DEFAULT_PATHS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def paths_of(resource: Resource) -> Mapping[str, str]:
    """Return where objects of a resource keep their replicas: a CRD's `subresources.scale`, or the usual places."""
    if isinstance(resource, CustomResource) and resource.scale:
        return resource.scale
    return _DEFAULT_PATHS


def scale_of(resource: Resource, obj: ReadOnlyObject) -> Object:
    """Return the `autoscaling/v1` Scale of an object."""
    paths, metadata = paths_of(resource), obj["metadata"]
    status: Object = {"replicas": _look_up(obj, paths["statusReplicasPath"]) or 0}
    selector = _selector(obj, paths.get("labelSelectorPath", ""))
    if selector:
        status["selector"] = selector
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = _look_up(obj, paths["specReplicasPath"])
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in shown if field in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def applied_scale(resource: Resource, scale: ReadOnlyObject) -> Object:
    """Return what of an object a Scale applies: who it is, and its replicas if the Scale says any. Raises Invalid."""
    metadata = {key: value for key, value in scale["metadata"].items() if key in ("name", "namespace", "uid")}
    applied: Object = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    replicas = (scale.get("spec") or {}).get("replicas")
    if replicas is not None:
        _set_replicas(resource, applied, replicas, metadata.get("name", ""))
    return applied


def with_replicas(resource: Resource, obj: Object, scale: ReadOnlyObject) -> Object:
    """Return the object with the replicas that a changed Scale asks for.

    The Scale's resourceVersion and uid become the object's, so that they are checked. Raises Invalid or BadRequest.
    """
    spec = scale.get("spec") or {}
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    name = obj["metadata"]["name"]
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise BadRequest(f"spec.replicas: {replicas!r} is not a number")
    _set_replicas(resource, obj, replicas, name)
    for field in ("resourceVersion", "uid"):
        seen = (scale.get("metadata") or {}).get(field)
        if seen:
            obj["metadata"][field] = seen
    return obj


def _set_replicas(resource: Resource, obj: Object, replicas: int, name: str) -> None:
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("Scale", "autoscaling", name, [("FieldValueInvalid", "spec.replicas", message)])
    target = obj
    *parents, last = _parts(paths_of(resource)["specReplicasPath"])
    for part in parents:
        target = target.setdefault(part, {})
    target[last] = replicas


def _selector(obj: ReadOnlyObject, path: str) -> str:
    if path:
        return str(_look_up(obj, path) or "")
    selector = (obj.get("spec") or {}).get("selector") or {}
    equal = selector.get("matchLabels", {}) if _is_structured(selector) else selector
    terms = [f"{key}={value}" for key, value in sorted((equal or {}).items())]
    terms += [_expression(entry) for entry in selector.get("matchExpressions") or ()]
    return ",".join(terms)


def _is_structured(selector: Mapping[str, Any]) -> bool:
    return not selector or "matchLabels" in selector or "matchExpressions" in selector


def _expression(entry: Mapping[str, Any]) -> str:
    key, values = entry["key"], ",".join(entry.get("values") or ())
    forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}"}
    return forms.get(entry["operator"]) or str(key)


def _look_up(obj: ReadOnlyObject, path: str) -> Any:
    value: Any = obj
    for part in _parts(path):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _parts(path: str) -> list[str]:
    return [part for part in path.split(".") if part]
