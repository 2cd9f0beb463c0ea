"""What Kubernetes says last: causes that its types declare come after those that somebody wrote a function for.

In 1.37 these are still few. Where a function finds such a cause, too, only the declared one is told, at the end. To
leave those of functions out, Kubernetes goes over all causes, and leaves out what it has told already, too.
"""

import re
from collections.abc import Sequence

from roadstead.apiserver.causes import Cause, Causes

_RBAC = "rbac.authorization.k8s.io"
_IMMUTABLE = "(?=.*: field is immutable$)"
_ROLE = (r"Required rules\[\d+\]\.verbs:",)
_BINDING = (r"Required subjects\[\d+\]\.name:", r"Required roleRef\.name:", rf"Invalid roleRef:{_IMMUTABLE}")
_DECLARED: dict[tuple[str, str], Sequence[str]] = {
    ("", "ReplicationController"): (r"Invalid spec\.replicas:", r"Invalid spec\.minReadySeconds:"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): (
        r"Required spec\.policyName:",
        r"Required spec\.validationActions:",
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        r"Invalid spec\.minReplicas:",
        r"Required spec\.maxReplicas:",
        r"Invalid spec\.maxReplicas: .*equal to 1$",
    ),
    ("batch", "CronJob"): (r"Required spec\.schedule:",),
    ("discovery.k8s.io", "EndpointSlice"): (r"\w+ addressType:", r"(Required|TooMany) endpoints\[\d+\]\.addresses:"),
    ("networking.k8s.io", "IngressClass"): (r"Required spec\.parameters\.(kind|name):",),
    ("networking.k8s.io", "NetworkPolicy"): (r"Required \S*\.cidr:",),
    ("storage.k8s.io", "StorageClass"): (
        "Required provisioner:",
        *(
            f"Invalid {field}:{_IMMUTABLE}"
            for field in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")
        ),
    ),
    (_RBAC, "ClusterRole"): _ROLE,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    (_RBAC, "Role"): _ROLE,
    (_RBAC, "RoleBinding"): _BINDING,
}
"""The patterns of a kind, in the order of its fields, for texts such as `Required spec.selector: Required value`."""


def declared_last(group: str, kind: str, found: Causes) -> Causes:
    """Return causes in the order in which Kubernetes tells them, each once."""
    patterns = _DECLARED.get((group, kind))
    once = list(dict.fromkeys(found))
    return sorted(once, key=lambda cause: _rank(cause, patterns)) if patterns else once


def _rank(cause: Cause, patterns: Sequence[str]) -> int:
    reason, field, message = cause
    text = f"{reason.removeprefix('FieldValue')} {field}: {message}"
    return next((at for at, pattern in enumerate(patterns, 1) if re.match(pattern, text)), 0)
