"""What Kubernetes fills into policies and bindings (kubernetes pkg/apis/admissionregistration/v1/defaults.go)."""

from roadstead.api.objects import Object


def fill_in_policy(obj: Object) -> None:
    """Fill in what a ValidatingAdmissionPolicy leaves out, in place."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if "matchConstraints" in spec:
        _fill_in_resources(spec["matchConstraints"])


def fill_in_binding(obj: Object) -> None:
    """Fill in what a ValidatingAdmissionPolicyBinding leaves out, in place."""
    spec = obj.get("spec") or {}
    if "matchResources" in spec:
        _fill_in_resources(spec["matchResources"])


def _fill_in_resources(resources: Object) -> None:
    resources.setdefault("matchPolicy", "Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(field) or ():
            rule.setdefault("scope", "*")
