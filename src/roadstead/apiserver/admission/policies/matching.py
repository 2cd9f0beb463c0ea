"""Whom a policy is about: rules and selectors of `MatchResources` against a request. Pure.

After apiserver's pkg/admission/plugin/policy/matching and pkg/admission/plugin/webhook/predicates. Next: `evaluation`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.api.selectors import label_selector_from
from roadstead.apiserver.admission.policies.request import AdmissionRequest

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What matching needs to know besides the request.

    `versions` are the resources that serve the same objects, the request's own first; `namespace_labels` is None for
    what is in no namespace.
    """

    versions: tuple[Resource, ...]
    namespace_labels: Labels | None


def version_seen(wanted: ReadOnlyObject, request: AdmissionRequest, around: Surroundings) -> Resource | None:
    """Return the resource in whose version a policy sees the request's object; None if it is not about it."""
    if not _selects_namespace(wanted, around.namespace_labels) or not _selects_object(wanted, request):
        return None
    versions = around.versions if wanted.get("matchPolicy") != "Exact" else around.versions[:1]
    if _first(wanted.get("excludeResourceRules") or (), request, versions) is not None:
        return None
    rules = wanted.get("resourceRules")
    return _first(rules, request, versions) if rules else request.resource


def _selects_namespace(wanted: ReadOnlyObject, labels: Labels | None) -> bool:
    # What is in no namespace is never exempted.
    return labels is None or label_selector_from(wanted.get("namespaceSelector") or {}).matches(labels)


def _selects_object(wanted: ReadOnlyObject, request: AdmissionRequest) -> bool:
    selector = label_selector_from(wanted.get("objectSelector") or {})
    if not selector.requirements:
        return True
    return any(
        selector.matches((obj.get("metadata") or {}).get("labels") or {})
        for obj in (request.new, request.old)
        if obj is not None
    )


def _first(rules: Iterable[ReadOnlyObject], request: AdmissionRequest, versions: Iterable[Resource]) -> Resource | None:
    """Return the first version that a rule names; the request's own version counts before others."""
    return next((seen for seen in versions for rule in rules if _names(rule, request, seen)), None)


def _names(rule: ReadOnlyObject, request: AdmissionRequest, seen: Resource) -> bool:
    names = rule.get("resourceNames")
    return (
        _in_scope(rule.get("scope"), request)
        and _has(rule.get("operations"), request.operation)
        and _has(rule.get("apiGroups"), seen.group)
        and _has(rule.get("apiVersions"), seen.version)
        and any(_covers(each, seen.plural, request.subresource) for each in rule.get("resources") or ())
        and (not names or request.name in names)
    )


def _has(items: Collection[str] | None, wanted: str) -> bool:
    return items is not None and ("*" in items or wanted in items)


def _covers(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)


def _in_scope(scope: str | None, request: AdmissionRequest) -> bool:
    if scope in (None, "", "*"):
        return True
    return request.resource.namespaced is (scope == "Namespaced")
