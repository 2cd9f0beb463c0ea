"""Objects as Kubernetes prints them in errors: of its internal types, whose fields have Go's names and are all there.

A shape says what a type has: JSON name to what an absent field prints as, or to the shape of a part that may be absent.
"""

from collections.abc import Mapping
from typing import Any

Shape = Mapping[str, Any]
_INITIALS = {"apiGroup": "APIGroup", "seLinuxOptions": "SELinuxOptions"}

SECCOMP_PROFILE: Shape = {"type": "", "localhostProfile": None}
SECURITY_CONTEXT: Shape = {
    "capabilities": {"add": None, "drop": None},
    "privileged": None,
    "seLinuxOptions": {"user": "", "role": "", "type": "", "level": ""},
    "windowsOptions": {
        "gmsaCredentialSpecName": None, "gmsaCredentialSpec": None, "runAsUserName": None, "hostProcess": None,
    },
    "runAsUser": None,
    "runAsGroup": None,
    "runAsNonRoot": None,
    "readOnlyRootFilesystem": None,
    "allowPrivilegeEscalation": None,
    "procMount": None,
    "seccompProfile": SECCOMP_PROFILE,
    "appArmorProfile": SECCOMP_PROFILE,
}  # fmt: skip
SERVICE_PORT: Shape = {"name": "", "protocol": "", "appProtocol": None, "port": 0, "targetPort": 0, "nodePort": 0}
ROLE_REF: Shape = {"apiGroup": "", "kind": "", "name": ""}
BUDGET_SPEC: Shape = {
    "minAvailable": None, "selector": None, "maxUnavailable": None, "unhealthyPodEvictionPolicy": None,
}  # fmt: skip
STRATEGY: Shape = {"type": "", "rollingUpdate": {"maxUnavailable": None, "maxSurge": None}}
STATEFUL_STRATEGY: Shape = {"type": "", "rollingUpdate": {"partition": 0, "maxUnavailable": None}}
SCOPE_TERM: Shape = {"scopeName": "", "operator": "", "values": None}
OWNER: Shape = {"apiVersion": "", "kind": "", "name": "", "uid": ""}


def internal(value: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Return an object with all fields of its internal type, in Go's order and by Go's names."""
    return {_INITIALS.get(field, field[0].upper() + field[1:]): _part(value, field, shape[field]) for field in shape}


def _part(value: Mapping[str, Any], field: str, default: Any) -> Any:
    given = value.get(field)
    if isinstance(default, Mapping):
        return internal(given, default) if given is not None else None
    return default if given is None else given
