"""Where pods may run: affinities, tolerations, spread over topologies (kubernetes pkg/apis/core/validation)."""

from collections.abc import Iterable, Sequence
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, label_selector, one_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_POLICIES = ("Honor", "Ignore")


def affinity(affinity: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with which nodes and neighbours a pod wants."""
    found: Causes = []
    for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity"):
        rules, where = affinity.get(kind) or {}, f"{path}.{kind}"
        required, preferred = f"{where}.{_REQUIRED}", f"{where}.{_PREFERRED}"
        if kind == "nodeAffinity":
            if rules.get(_REQUIRED) is not None:
                found += node_selector(rules[_REQUIRED], required)
            for at, term in enumerate(rules.get(_PREFERRED) or ()):
                found += _weight(term, f"{preferred}[{at}]")
                found += _node_term(term.get("preference") or {}, f"{preferred}[{at}].preference", values=False)
        else:
            for at, term in enumerate(rules.get(_REQUIRED) or ()):
                found += _pod_term(term, f"{required}[{at}]")
            for at, term in enumerate(rules.get(_PREFERRED) or ()):
                found += _weight(term, f"{preferred}[{at}]")
                found += _pod_term(term.get("podAffinityTerm") or {}, f"{preferred}[{at}].podAffinityTerm")
    return found


def _weight(term: ReadOnlyObject, path: str) -> Causes:
    weight = term.get("weight", 0)
    return [] if 1 <= weight <= 100 else [causes.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def node_selector(selector: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with a choice of nodes."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [causes.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [c for at, term in enumerate(terms) for c in _node_term(term, f"{path}.nodeSelectorTerms[{at}]")]


def _node_term(term: ReadOnlyObject, path: str, *, values: bool = True) -> Causes:
    found: Causes = []
    for at, requirement in enumerate(term.get("matchExpressions") or ()):
        found += _node_requirement(requirement, f"{path}.matchExpressions[{at}]", values=values)
    for at, requirement in enumerate(term.get("matchFields") or ()):
        found += _node_field(requirement, f"{path}.matchFields[{at}]")
    return found


def _node_requirement(requirement: ReadOnlyObject, path: str, *, values: bool) -> Causes:
    operator, given, key = requirement.get("operator", ""), requirement.get("values") or (), requirement.get("key", "")
    found: Causes = []
    if operator in ("In", "NotIn"):
        if not given:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(causes.required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if given:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(causes.forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(given) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found.append(causes.required(f"{path}.values", detail))
    else:
        found.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    found += complain(f"{path}.key", key, names.qualified_name_complaints(key))
    if values:
        for at, value in enumerate(given):
            found += complain(f"{path}.values[{at}]", value, names.label_value_complaints(value))
    return found


def _node_field(requirement: ReadOnlyObject, path: str) -> Causes:
    operator, given, key = requirement.get("operator", ""), requirement.get("values") or (), requirement.get("key", "")
    found: Causes = []
    if operator not in ("In", "NotIn"):
        found.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(given) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        found.append(causes.required(f"{path}.values", detail))
    if key != "metadata.name":
        return [*found, causes.invalid(f"{path}.key", key, "not a valid field selector key")]
    for at, value in enumerate(given):
        found += complain(f"{path}.values[{at}]", value, names.subdomain_complaints(value))
    return found


def _pod_term(term: ReadOnlyObject, path: str) -> Causes:
    found = label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    found += label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        found += complain(f"{path}.namespace", name, names.label_complaints(name))
    found += _label_keys(term, path, "matchLabelKeys") + _label_keys(term, path, "mismatchLabelKeys")
    mismatched = term.get("mismatchLabelKeys") or ()
    detail = "exists in both matchLabelKeys and mismatchLabelKeys"
    for at, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in mismatched:
            found.append(causes.invalid(f"{path}.matchLabelKeys[{at}]", key, detail))
    topology = term.get("topologyKey", "")
    if not topology:
        found.append(causes.required(f"{path}.topologyKey", "can not be empty"))
    return found + complain(f"{path}.topologyKey", topology, names.qualified_name_complaints(topology))


def _label_keys(term: ReadOnlyObject, path: str, field: str) -> Causes:
    """Return what is wrong with the keys of labels that are taken over from the pod itself."""
    keys = term.get(field) or ()
    if not keys:
        return []
    if term.get("labelSelector") is None:
        return [causes.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")]
    found: Causes = []
    for at, key in enumerate(keys):
        found += complain(f"{path}.{field}[{at}]", key, names.qualified_name_complaints(key))
    return found


def spread(constraints: Sequence[ReadOnlyObject], path: str) -> Causes:
    """Return what is wrong with how pods are to be spread over topologies."""
    found: Causes = []
    for at, constraint in enumerate(constraints):
        where = f"{path}[{at}]"
        found += _spread_constraint(constraint, where)
        pair = _spread_kind(constraint)
        if pair in map(_spread_kind, constraints[at + 1 :]):
            shown = f"{{{pair[0]}, {pair[1]}}}"
            found.append(causes.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", shown))
    return found


def _spread_kind(constraint: ReadOnlyObject) -> tuple[str, str]:
    return constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")


def _spread_constraint(constraint: ReadOnlyObject, path: str) -> Causes:
    action = constraint.get("whenUnsatisfiable", "")
    found = positive(constraint.get("maxSkew", 0), f"{path}.maxSkew")
    if not constraint.get("topologyKey"):
        found.append(causes.required(f"{path}.topologyKey", "can not be empty"))
    if action not in _ACTIONS:
        found.append(causes.not_supported(f"{path}.whenUnsatisfiable", action, _ACTIONS))
    if (domains := constraint.get("minDomains")) is not None:
        found += positive(domains, f"{path}.minDomains")
        if action != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            found.append(causes.invalid(f"{path}.minDomains", domains, detail))
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if constraint.get(field) is not None and constraint[field] not in _POLICIES:
            found.append(causes.not_supported(f"{path}.{field}", constraint[field], _POLICIES))
    found += _label_keys(constraint, path, "matchLabelKeys")
    return found + label_selector(constraint.get("labelSelector"), f"{path}.labelSelector")


def positive(value: Any, field: str) -> Causes:
    """Return a cause for a number that is not above zero."""
    return [] if value > 0 else [causes.invalid(field, value, "must be greater than zero")]


def tolerations(tolerations: Iterable[ReadOnlyObject], path: str) -> Causes:
    """Return what is wrong with the taints that a pod bears."""
    found: Causes = []
    for at, toleration in enumerate(tolerations):
        where, key = f"{path}[{at}]", toleration.get("key")
        operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
        if key:
            found += complain(f"{where}.key", key, names.qualified_name_complaints(key))
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(causes.invalid(f"{where}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(causes.invalid(f"{where}.effect", effect, detail))
        found += _toleration_value(toleration, where) + one_of(f"{where}.effect", effect, _EFFECTS)
    return found


def _toleration_value(toleration: ReadOnlyObject, path: str) -> Causes:
    operator, value, field = toleration.get("operator", ""), toleration.get("value", ""), f"{path}.operator"
    if operator in ("", "Equal"):
        complaints = names.label_value_complaints(value)
        return [causes.invalid(field, value, ";".join(complaints))] if complaints else []
    if operator == "Exists":
        return [causes.invalid(field, value, "value must be empty when `operator` is 'Exists'")] if value else []
    if operator in ("Lt", "Gt"):
        return [causes.not_supported(field, operator, ("Equal", "Exists", "Lt", "Gt"))]
    return [causes.not_supported(field, operator, ("Equal", "Exists"))]


def gates(gates: Iterable[ReadOnlyObject], path: str) -> Causes:
    """Return what is wrong with what holds a pod back."""
    found: Causes = []
    taken: set[str] = set()
    for at, gate in enumerate(gates):
        name = gate.get("name", "")
        found += complain(f"{path}[{at}]", name, names.qualified_name_complaints(name))
        if name in taken:
            found.append(causes.duplicate(f"{path}[{at}]", name))
        taken.add(name)
    return found
