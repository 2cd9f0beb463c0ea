"""ResourceQuotas and LimitRanges (kubernetes pkg/apis/core/validation)."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.admission.quota_usage import STANDARD_NAMES
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain
from roadstead.apiserver.validation.internal import SCOPE_TERM, internal
from roadstead.apiserver.validation.resource_names import is_standard

_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip
_ONLY_EXISTS = frozenset({"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"})
_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_CONTRARY = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_MEASURED = frozenset(
    name for name in STANDARD_NAMES if name.split(".")[-1] in ("cpu", "memory", "ephemeral-storage", "storage")
)
_INTEGERS = STANDARD_NAMES - _MEASURED
_OF_A_POD = frozenset({"pods", *_MEASURED}) - {"requests.storage"}
_OF_A_CONTAINER = ("cpu", "memory", "ephemeral-storage")
_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_AMOUNTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def validate_quota(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a ResourceQuota."""
    spec = new.get("spec") or {}
    found: Causes = []
    for name, text in (spec.get("hard") or {}).items():
        found += _hard(name, text, f"spec.hard[{name}]")
    found += _scopes(spec) + _selector(spec)
    scopes = sorted(spec.get("scopes") or ())
    if old is not None and scopes != sorted((old.get("spec") or {}).get("scopes") or ()):
        found.append(causes.invalid("spec.scopes", spec.get("scopes") or [], "field is immutable"))
    return found


def _hard(name: str, text: Any, path: str) -> Causes:
    found = complain(path, name, names.qualified_name_complaints(name))
    if "/" not in name and name not in STANDARD_NAMES and not name.startswith(("hugepages-", "requests.hugepages-")):
        if not is_standard(name) and not names.qualified_name_complaints(name):
            found.append(causes.invalid(path, name, "must be a standard resource type or fully qualified"))
        found.append(causes.invalid(path, name, "must be a standard resource for quota"))
    found += complain(path, text, names.quantity_complaints(text))
    if name in _INTEGERS and parse_quantity(str(text)) % 1:
        found.append(causes.invalid(path, text, "must be an integer"))
    return found


def _fits(scope: str, name: str) -> bool:
    """Say whether a scope can be applied to what a quota limits; of names that are not standard nobody knows."""
    if name not in STANDARD_NAMES or scope not in _SCOPES:
        return True
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return name == "pods" if scope == "BestEffort" else name in _OF_A_POD


def _scopes(spec: ReadOnlyObject) -> Causes:
    scopes, field = spec.get("scopes") or (), "spec.scopes"
    found: Causes = []
    for scope in scopes:
        if scope not in _SCOPES:
            found.append(causes.invalid(field, scopes, "unsupported scope"))
        unfit = [name for name in sorted(spec.get("hard") or ()) if not _fits(scope, name)]
        found += [causes.invalid(field, scopes, "unsupported scope applied to resource") for _ in unfit]
    return found + [causes.invalid(field, scopes, "conflicting scopes") for pair in _CONTRARY if pair <= {*scopes}]


def _selector(spec: ReadOnlyObject) -> Causes:
    selector, field = spec.get("scopeSelector") or {}, "spec.scopeSelector.matchExpressions"
    terms = selector.get("matchExpressions") or ()
    shown = {"MatchExpressions": [internal(term, SCOPE_TERM) for term in terms]}
    found: Causes = []
    for term in terms:
        scope = term.get("scopeName")
        if scope not in _SCOPES:
            found.append(causes.invalid(f"{field}.scopeName", scope, "unsupported scope"))
        unfit = [name for name in sorted(spec.get("hard") or ()) if not _fits(str(scope), name)]
        found += [causes.invalid(field, shown, "unsupported scope applied to resource") for _ in unfit]
        found += _operator(term, field)
    scopes = {term.get("scopeName") for term in terms}
    found += [causes.invalid(field, spec.get("scopes"), "conflicting scopes") for pair in _CONTRARY if pair <= scopes]
    return found


def _operator(term: ReadOnlyObject, field: str) -> Causes:
    operator, values = term.get("operator"), term.get("values") or ()
    found: Causes = []
    if term.get("scopeName") in _ONLY_EXISTS and operator != "Exists":
        found.append(causes.invalid(f"{field}.operator", operator, _EXISTS))
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            found.append(causes.required(f"{field}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            found.append(causes.invalid(f"{field}.values", values, detail))
    else:
        found.append(causes.invalid(f"{field}.operator", operator, "not a valid selector operator"))
    return found


def validate_limit_range(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a LimitRange."""
    found: Causes = []
    seen: set[str] = set()
    for at, item in enumerate((new.get("spec") or {}).get("limits") or ()):
        path, type_ = f"spec.limits[{at}]", item.get("type", "")
        found += complain(f"{path}.type", type_, names.qualified_name_complaints(type_))
        if type_ and "/" not in type_ and type_ not in _TYPES:
            found.append(causes.invalid(f"{path}.type", type_, "must be a standard limit type or fully qualified"))
        if type_ in seen:
            found.append(causes.duplicate(f"{path}.type", type_))
        seen.add(type_)
        found += _item(item, path)
    return found


def _item(item: ReadOnlyObject, path: str) -> Causes:
    type_ = item.get("type")
    found: Causes = []
    for field in _AMOUNTS:
        for name in item.get(field) or {}:
            found += _resource(str(type_), name, f"{path}.{field}[{name}]")
    if type_ == "Pod":
        detail = "may not be specified when `type` is 'Pod'"
        found += [
            causes.forbidden(f"{path}.{field}", detail) for field in ("default", "defaultRequest") if item.get(field)
        ]
    if type_ == "PersistentVolumeClaim" and not any("storage" in (item.get(field) or {}) for field in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        found.append(causes.required(f"{path}.limits", detail))
    return found + list(_contradictions(item, path))


def _resource(type_: str, name: str, path: str) -> Causes:
    found = complain(path, name, names.qualified_name_complaints(name))
    known = name in _OF_A_CONTAINER or name.startswith("hugepages-")
    if type_ in ("Pod", "Container") and "/" not in name and not known:
        if not is_standard(name) and not found:
            found.append(causes.invalid(path, name, "must be a standard resource type or fully qualified"))
        found.append(causes.invalid(path, name, "must be a standard resource for containers"))
    return found


_ASCENDING = (
    ("min", "max", "min", "min value", "max value"),
    ("min", "defaultRequest", "defaultRequest", "min value", "default request value"),
    ("defaultRequest", "max", "defaultRequest", "default request value", "max value"),
    ("defaultRequest", "default", "defaultRequest", "default request value", "default limit value"),
    ("min", "default", "min", "min value", "default value"),
    ("default", "max", "max", "default value", "max value"),
)
"""What may not be larger than what, which of the two Kubernetes repeats, and what it calls them, in its order."""


def _contradictions(item: ReadOnlyObject, path: str) -> Iterator[causes.Cause]:
    for name in sorted({name for field in _AMOUNTS for name in item.get(field) or ()}):
        amounts = {
            field: parse_quantity(str(item[field][name])) for field in _AMOUNTS if name in (item.get(field) or {})
        }
        for lower, upper, repeated, low, high in _ASCENDING:
            if lower in amounts and upper in amounts and amounts[lower] > amounts[upper]:
                field = upper if lower == "min" and upper != "max" else lower
                detail = f"{low} {item[lower][name]} is greater than {high} {item[upper][name]}"
                yield causes.invalid(f"{path}.{field}[{name}]", item[repeated][name], detail)
        yield from _ratio(item, name, amounts, f"{path}.maxLimitRequestRatio[{name}]")


def _ratio(item: ReadOnlyObject, name: str, amounts: Mapping[str, Decimal], path: str) -> Iterator[causes.Cause]:
    ratio = amounts.get("maxLimitRequestRatio")
    if ratio is None:
        return
    text = item["maxLimitRequestRatio"][name]
    if ratio < 1:
        yield causes.invalid(path, text, f"ratio {text} is less than 1")
    if amounts.get("min") and "max" in amounts and ratio > amounts["max"] / amounts["min"]:
        most = amounts["max"] / amounts["min"]
        yield causes.invalid(path, text, f"ratio {text} is greater than max/min = {most:.6f}")


VALIDATORS = {
    ("", "LimitRange"): validate_limit_range,
    ("", "ResourceQuota"): validate_quota,
}
