"""ValidatingAdmissionPolicies and their bindings (kubernetes pkg/apis/admissionregistration/validation)."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.admission.policies.policy import compiled, names_for
from roadstead.apiserver.causes import Cause, Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, label_selector, one_of

_FAILURE_POLICIES = ("Fail", "Ignore")
_MATCH_POLICIES = ("Equivalent", "Exact")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_FOUND_ACTIONS = ("Deny", "Allow")
_MOST_CONDITIONS = 64
_MOST_ANNOTATIONS = 20
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_EITHER = "validations or auditAnnotations must contain at least one item"
_BOTH = (
    "must not contain both Deny and Warn "
    "(repeating the same validation failure information in the API response and headers serves no purpose)"
)


def validate_policy(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a ValidatingAdmissionPolicy."""
    spec = new.get("spec") or {}
    found = one_of("spec.failurePolicy", spec.get("failurePolicy"), _FAILURE_POLICIES, required=True)
    if "paramKind" in spec:
        found += _param_kind(spec["paramKind"], "spec.paramKind")
    found += _constraints(spec.get("matchConstraints"))
    found += _conditions(spec)
    for at, variable in enumerate(spec.get("variables") or ()):
        found += _variable(variable, spec, f"spec.variables[{at}]")
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        return [*found, *(causes.required(f"spec.{field}", _EITHER) for field in ("validations", "auditAnnotations"))]
    for at, validation in enumerate(spec.get("validations") or ()):
        found += _validation(validation, spec, f"spec.validations[{at}]")
    return found + _annotations(new["metadata"].get("name", ""), spec)


def _constraints(constraints: ReadOnlyObject | None) -> Causes:
    if constraints is None:
        return [causes.required("spec.matchConstraints")]
    found = _resources(constraints, "spec.matchConstraints")
    if not constraints.get("resourceRules"):
        found.append(causes.required("spec.matchConstraints.resourceRules"))
    return found


def _param_kind(kind: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not version:
        found.append(causes.required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        found.append(causes.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, short = version.rpartition("/")
        if group:
            found += complain(f"{path}.apiVersion", group, names.subdomain_complaints(group))
        found += complain(f"{path}.apiVersion", short, names.service_name_complaints(short))
    if not name:
        return [*found, causes.required(f"{path}.kind")]
    wrong = names.service_name_complaints(name.lower())
    if wrong:
        detail = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        found.append(causes.invalid(f"{path}.kind", name, detail))
    return found


def _conditions(spec: ReadOnlyObject) -> Causes:
    conditions = spec.get("matchConditions") or ()
    found: Causes = []
    if len(conditions) > _MOST_CONDITIONS:
        found.append(causes.too_many("spec.matchConditions", len(conditions), _MOST_CONDITIONS))
    seen: set[str] = set()
    for at, condition in enumerate(conditions):
        path, name = f"spec.matchConditions[{at}]", condition.get("name") or ""
        found += _expression(condition, "expression", spec, path, variables=False)
        if not name:
            found.append(causes.required(f"{path}.name"))
            continue
        found += complain(f"{path}.name", name, names.qualified_name_complaints(name))
        if name in seen:
            found.append(causes.duplicate(f"{path}.name", name))
        seen.add(name)
    return found


def _variable(variable: ReadOnlyObject, spec: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    name = variable.get("name") or ""
    if not name.strip():
        found.append(causes.required(f"{path}.name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name):
        found.append(causes.invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    return found + _expression(variable, "expression", spec, path, absent="expression is not specified")


def _validation(validation: ReadOnlyObject, spec: ReadOnlyObject, path: str) -> Causes:
    found = _expression(validation, "expression", spec, path, absent="expression is not specified")
    told, message = validation.get("messageExpression") or "", validation.get("message") or ""
    if told and not told.strip():
        found.append(causes.invalid(f"{path}.messageExpression", told, "must be non-empty if specified"))
    elif told:
        found += _expression(validation, "messageExpression", spec, path, authorizer=False)
    if message and not message.strip():
        found.append(causes.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif re.search(r"[\n\r]", message.strip()):
        found.append(causes.invalid(f"{path}.message", message, "must not contain line breaks"))
    return found + one_of(f"{path}.reason", validation.get("reason"), _REASONS)


def _annotations(policy: str, spec: ReadOnlyObject) -> Causes:
    annotations = spec.get("auditAnnotations") or ()
    found: Causes = []
    if len(annotations) > _MOST_ANNOTATIONS:
        detail = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        found.append(causes.invalid("spec.auditAnnotations", annotations, detail))
    seen: set[str] = set()
    for at, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{at}]", annotation.get("key") or ""
        qualified = f"{policy}/{key}"
        found += complain(f"{path}.key", qualified, names.qualified_name_complaints(qualified))
        found += _expression(annotation, "valueExpression", spec, path, absent="valueExpression is not specified")
        if key in seen:
            found.append(causes.duplicate(f"{path}.key", key))
        seen.add(key)
    return found


def _expression(
    parent: ReadOnlyObject,
    field: str,
    spec: ReadOnlyObject,
    path: str,
    *,
    absent: str = "",
    authorizer: bool = True,
    variables: bool = True,
) -> Causes:
    """Return what is wrong with an expression that must be there: it is not, or it cannot be compiled."""
    text = parent.get(field) or ""
    if not text.strip():
        return [causes.required(f"{path}.{field}", absent)]
    problem = compiled(text, names_for(spec, authorizer=authorizer, variables=variables)).problem
    return [causes.invalid(f"{path}.{field}", text, f"compilation failed: {problem}")] if problem else []


def _resources(resources: ReadOnlyObject, path: str) -> Causes:
    found = one_of(f"{path}.matchPolicy", resources.get("matchPolicy"), _MATCH_POLICIES, required=True)
    for field in ("namespaceSelector", "objectSelector"):
        found += label_selector(resources.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for at, rule in enumerate(resources.get(field) or ()):
            found += _rule(rule, f"{path}.{field}[{at}]")
    return found


def _rule(rule: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    named = rule.get("resourceNames") or ()
    for at, name in enumerate(named):
        found += complain(f"{path}.resourceNames[{at}]", name, names.path_segment_complaints(name))
    found += _twice(named, f"{path}.resourceNames")
    operations = rule.get("operations") or ()
    found += _alone(operations, f"{path}.operations", "operations")
    for at, operation in enumerate(operations):
        found += one_of(f"{path}.operations[{at}]", operation, _OPERATIONS, required=True)
    found += _alone(rule.get("apiGroups") or (), f"{path}.apiGroups", "API groups")
    versions = rule.get("apiVersions") or ()
    found += _alone(versions, f"{path}.apiVersions", "API versions")
    found += [causes.required(f"{path}.apiVersions[{at}]") for at, version in enumerate(versions) if not version]
    found += _patterns(rule.get("resources") or (), f"{path}.resources")
    return found + one_of(f"{path}.scope", rule.get("scope"), _SCOPES)


def _alone(items: Any, path: str, words: str) -> Causes:
    """Return a cause if there is nothing, or something beside `*`."""
    if not items:
        return [causes.required(path)]
    if len(items) > 1 and "*" in items:
        return [causes.invalid(path, items, f"if '*' is present, must not specify other {words}")]
    return []


def _patterns(patterns: Any, path: str) -> Causes:
    """Return what is wrong with resources such as `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`."""
    if not patterns:
        return [causes.required(path)]
    found: Causes = []
    whole: set[tuple[str, str]] = set()
    for at, pattern in enumerate(patterns):
        resource, slash, sub = pattern.partition("/")
        found += _overlap(pattern, whole, f"{path}[{at}]") if pattern else [causes.required(f"{path}[{at}]")]
        if slash and "*" in (resource, sub):
            whole.add((resource, sub))
    if len(patterns) > 1 and "*/*" in patterns:
        found.append(causes.invalid(path, patterns, "if '*/*' is present, must not specify other resources"))
    if "*" in patterns and any("/" not in each and each != "*" for each in patterns):
        detail = "if '*' is present, must not specify other resources without subresources"
        found.append(causes.invalid(path, patterns, detail))
    return found


def _overlap(pattern: str, whole: Iterable[tuple[str, str]], path: str) -> Causes:
    resource, slash, sub = pattern.partition("/")
    covering = [f"{one}/{other}" for one, other in whole if (one, other) in ((resource, "*"), ("*", sub))]
    detail = "if '{}' is present, must not specify {}"
    return [causes.invalid(path, pattern, detail.format(each, pattern)) for each in covering] if slash else []


def _twice(items: Iterable[str], path: str) -> Causes:
    seen: Counter[str] = Counter()
    found: Causes = []
    for at, item in enumerate(items):
        if seen[item]:
            found.append(causes.duplicate(f"{path}[{at}]", item))
        seen[item] += 1
    return found


def validate_binding(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a ValidatingAdmissionPolicyBinding."""
    spec = new.get("spec") or {}
    policy = spec.get("policyName") or ""
    found = complain("spec.policyName", policy, names.subdomain_complaints(policy)) if policy else [
        causes.required("spec.policyName")
    ]  # fmt: skip
    if "paramRef" in spec:
        found += _param_ref(spec["paramRef"], "spec.paramRef")
    if "matchResources" in spec:
        found += _resources(spec["matchResources"], "spec.matchResources")
    return found + _actions(spec.get("validationActions") or [], "spec.validationActions")


def _param_ref(reference: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    name, selector = reference.get("name") or "", reference.get("selector")
    if name:
        found += complain(f"{path}.name", name, names.path_segment_complaints(name))
    if selector is not None:
        found += label_selector(selector, f"{path}.selector")
    if name and selector is not None:
        detail = "name and selector are mutually exclusive"
        found += [causes.forbidden(f"{path}.{field}", detail) for field in ("name", "selector")]
    if not name and selector is None:
        found.append(causes.required(path, "one of name or selector must be specified"))
    action = reference.get("parameterNotFoundAction")
    return found + one_of(f"{path}.parameterNotFoundAction", action, _NOT_FOUND_ACTIONS, required=True)


def _actions(actions: list[str], path: str) -> Causes:
    found: list[Cause] = []
    for at, action in enumerate(actions):
        found += one_of(f"{path}[{at}]", action, _ACTIONS, required=True)
    found += _twice(actions, path)
    if "Deny" in actions and "Warn" in actions:
        found.append(causes.invalid(path, actions, _BOTH))
    return found if actions else [*found, causes.required(path)]


VALIDATORS = {
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): validate_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): validate_binding,
}
