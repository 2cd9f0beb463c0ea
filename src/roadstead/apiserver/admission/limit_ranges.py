"""LimitRanges: what pods get that do not say what they need, and what a pod, container or claim may not exceed. Pure.

After kubernetes' plugin/pkg/admission/limitranger, in its words. `writer` asks for defaults before a new pod is
validated, and for problems after.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import Quantity
from roadstead.apiserver.admission.pod_defaults import requests_from_limits
from roadstead.apiserver.admission.resource_lists import NOTHING, ResourceList, pod_resources, resource_list

_ANNOTATION = "kubernetes.io/limit-ranger"
_KINDS = {"containers": "container", "initContainers": "init container"}

LIMITED = frozenset({"pods", "persistentvolumeclaims"})
"""The collections that LimitRanges are about."""


def fill_in_limit_range(limit_range: Object) -> None:
    """Fill in a LimitRange: default limits from the maximum, default requests from those, or from the minimum."""
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        for field, value in (("default", limits), ("defaultRequest", requests)):
            if value:
                item[field] = value


def fill_in_resources(pod: Object, limit_ranges: Iterable[ReadOnlyObject]) -> None:
    """Give the containers of a new pod what they do not say themselves, in place, and note it in an annotation."""
    for limit_range in limit_ranges:
        requests, limits = _defaults(limit_range)
        notes: list[str] = []
        for field, kind in _KINDS.items():
            for container in (pod.get("spec") or {}).get(field) or ():
                resources = container.setdefault("resources", {})
                requests_from_limits(resources)
                whose = f"{kind} {container.get('name', '')}"
                notes += _set(resources, "requests", requests, f"request for {whose}")
                notes += _set(resources, "limits", limits, f"limit for {whose}")
        if notes:
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _defaults(limit_range: ReadOnlyObject) -> tuple[dict[str, str], dict[str, str]]:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for item in _items(limit_range, "Container"):
        requests.update(item.get("defaultRequest") or {})
        limits.update(item.get("default") or {})
    return requests, limits


def _set(resources: Object, part: str, defaults: Mapping[str, str], what: str) -> list[str]:
    given = resources.get(part) or {}
    absent = sorted(name for name in defaults if name not in given)
    if not absent:
        return []
    resources[part] = {**given, **{name: defaults[name] for name in absent}}
    return [f"{', '.join(absent)} {what}"]


def _items(limit_range: ReadOnlyObject, of_type: str) -> Iterator[ReadOnlyObject]:
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == of_type:
            yield item


def problems(collection: str, obj: ReadOnlyObject, limit_ranges: Iterable[ReadOnlyObject]) -> list[str]:
    """Return what the first LimitRange that an object offends against has to say of it; empty if none has."""
    find = _of_pod if collection == "pods" else _of_claim
    for limit_range in limit_ranges:
        found = list(dict.fromkeys(find(obj, limit_range)))
        if found:
            return found
    return []


def _of_pod(pod: ReadOnlyObject, limit_range: ReadOnlyObject) -> Iterator[str]:
    for item in _items(limit_range, "Container"):
        for field in _KINDS:
            for container in (pod.get("spec") or {}).get(field) or ():
                resources = container.get("resources") or {}
                requests, limits = resource_list(resources.get("requests")), resource_list(resources.get("limits"))
                yield from _check(item, requests, limits)
    for item in _items(limit_range, "Pod"):
        yield from _check(item, pod_resources(pod, "requests"), pod_resources(pod, "limits"))


def _of_claim(claim: ReadOnlyObject, limit_range: ReadOnlyObject) -> Iterator[str]:
    resources = (claim.get("spec") or {}).get("resources") or {}
    requests = resource_list(resources.get("requests"))
    for item in _items(limit_range, "PersistentVolumeClaim"):
        yield from _each(item, "min", _below, requests, {})
        yield from _each(item, "max", _claimed_above, requests, {})


def _check(item: ReadOnlyObject, requests: ResourceList, limits: ResourceList) -> Iterator[str]:
    yield from _each(item, "min", _below, requests, limits)
    yield from _each(item, "max", _above, requests, limits)
    yield from _each(item, "maxLimitRequestRatio", _beyond_ratio, requests, limits)


_Check = Callable[[str, Quantity, Quantity | None, Quantity | None], str]
"""From what is checked (`cpu ... per Container`), its bound, the request and the limit to what is wrong, or nothing."""


def _each(
    item: ReadOnlyObject, field: str, check: _Check, requests: ResourceList, limits: ResourceList
) -> Iterator[str]:
    bounds: Mapping[str, Any] = item.get(field) or {}
    for name, bound in sorted(resource_list(bounds).items()):
        what = f"{name} {'max limit to request ratio' if field == 'maxLimitRequestRatio' else 'usage'}"
        problem = check(f"{what} per {item['type']} is {bound}", bound, requests.get(name), limits.get(name))
        if problem:
            yield problem


def _below(what: str, bound: Quantity, request: Quantity | None, limit: Quantity | None) -> str:
    if request is None:
        return f"minimum {what}.  No request is specified"
    if request.number < bound.number:
        return f"minimum {what}, but request is {request}"
    return f"minimum {what}, but limit is {limit}" if limit is not None and limit.number < bound.number else ""


def _above(what: str, bound: Quantity, request: Quantity | None, limit: Quantity | None) -> str:
    if limit is None:
        return f"maximum {what}.  No limit is specified"
    if limit.number > bound.number:
        return f"maximum {what}, but limit is {limit}"
    above = request is not None and request.number > bound.number
    return f"maximum {what}, but request is {request}" if above else ""


def _claimed_above(what: str, bound: Quantity, request: Quantity | None, _: Quantity | None) -> str:
    if request is None:
        return f"maximum {what}.  No request is specified"
    return f"maximum {what}, but request is {request}" if request.number > bound.number else ""


def _beyond_ratio(what: str, bound: Quantity, request: Quantity | None, limit: Quantity | None) -> str:
    if not (request or NOTHING).number:
        return f"{what}, but no request is specified or request is 0"
    if not (limit or NOTHING).number:
        return f"{what}, but no limit is specified or limit is 0"
    ratio = (limit or NOTHING).number / (request or NOTHING).number
    return f"{what}, but provided ratio is {ratio:.6f}" if ratio > bound.number else ""
