"""As whom containers run: security contexts of pods and of containers (kubernetes pkg/apis/core/validation)."""

import re
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain
from roadstead.apiserver.validation.internal import SECCOMP_PROFILE, SECURITY_CONTEXT, internal
from roadstead.apiserver.validation.paths import local_path

_LAST_ID = (1 << 31) - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL_LENGTH = 253
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_PART}[\./])*{_SYSCTL_PART}"
_CHOICES = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}


def pod_security(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with the security context of a pod."""
    context, where = spec.get("securityContext") or {}, f"{path}.securityContext"
    found = _identities(context, where, ("fsGroup", "runAsUser", "runAsGroup"))
    for at, group in enumerate(context.get("supplementalGroups") or ()):
        found += complain(f"{where}.supplementalGroups[{at}]", group, names.between(group, 0, _LAST_ID))
    found += _sysctls(context, spec, f"{where}.sysctls")
    for field, choices in _CHOICES.items():
        if context.get(field) is not None and context[field] not in choices:
            found.append(causes.not_supported(f"{where}.{field}", context[field], choices))
    found += _profile_of(context, where, "seccompProfile", "seccomp")
    found += _profile_of(context, where, "appArmorProfile", "AppArmor")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(causes.invalid(f"{path}.shareProcessNamespace", True, detail))
    return found


def user_namespace(spec: ReadOnlyObject, path: str) -> Causes:
    """Return a cause for everything of the host's that a pod cannot share if it has users of its own."""
    if spec.get("hostUsers") is not False:
        return []
    shared = {"hostNetwork": "hostNetwork", "hostPID": "HostPID", "hostIPC": "HostIPC"}
    detail = "when `hostUsers` is false"
    return [causes.forbidden(f"{path}.{shown}", detail) for field, shown in shared.items() if spec.get(field)]


def container_security(context: ReadOnlyObject, path: str, *, host_users: bool) -> Causes:
    """Return what is wrong with the security context of a container."""
    found = _identities(context, path, ("runAsUser", "runAsGroup"))
    if (mount := context.get("procMount")) is not None:
        if mount not in ("Default", "Unmasked"):
            found.append(causes.not_supported(f"{path}.procMount", mount, ("Default", "Unmasked")))
        if host_users and mount == "Unmasked":
            found.append(causes.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    found += _profile_of(context, path, "seccompProfile", "seccomp")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            found.append(causes.invalid(path, internal(context, SECURITY_CONTEXT), detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.append(causes.invalid(path, internal(context, SECURITY_CONTEXT), detail))
    return found + _profile_of(context, path, "appArmorProfile", "AppArmor")


def _identities(context: ReadOnlyObject, path: str, fields: tuple[str, ...]) -> Causes:
    found: Causes = []
    for field in fields:
        if context.get(field) is not None:
            found += complain(f"{path}.{field}", context[field], names.between(context[field], 0, _LAST_ID))
    return found


def _sysctls(context: ReadOnlyObject, spec: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, sysctl in enumerate(context.get("sysctls") or ()):
        name, field = sysctl.get("name", ""), f"{path}[{at}].name"
        if not name:
            found.append(causes.required(field))
        elif len(name) > _SYSCTL_LENGTH or not re.fullmatch(_SYSCTL, name):
            detail = f"must have at most {_SYSCTL_LENGTH} characters and match regex ^{_SYSCTL}$"
            found.append(causes.invalid(field, name, detail))
        elif name in taken:
            found.append(causes.duplicate(field, name))
        if spec.get("hostNetwork") and name.replace("/", ".").startswith("net."):
            found.append(causes.invalid(field, name, "may not be specified when 'hostNetwork' is true"))
        taken.add(name)
    return found


def _profile_of(context: ReadOnlyObject, path: str, field: str, shown: str) -> Causes:
    return _profile(context[field], f"{path}.{field}", field, shown) if context.get(field) is not None else []


def _profile(profile: ReadOnlyObject, path: str, field: str, shown: str) -> Causes:
    type_, local = profile.get("type", ""), profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    found: Causes = []
    if not type_:
        found.append(causes.required(f"{path}.type", f"type is required when {field} is set"))
    elif type_ not in _PROFILES:
        found.append(causes.not_supported(f"{path}.type", type_, _PROFILES))
    if type_ != "Localhost":
        if local is not None:
            value: Any = internal(profile, SECCOMP_PROFILE) if field == "seccompProfile" else local
            found.append(causes.invalid(where, value, f"can only be set when {shown} type is Localhost"))
    elif not local:
        found.append(causes.required(where, f"must be set when {shown} type is Localhost"))
    elif field == "seccompProfile":
        found += local_path(local, where)
    elif local != local.strip():
        found.append(causes.invalid(where, local, "must not be padded with whitespace"))
    return found
