"""ConfigMaps, Secrets, accounts, role bindings and volumes."""

from collections.abc import Iterable
from datetime import datetime

from roadstead.api.objects import ReadOnlyObject, annotations_of, is_deleting
from roadstead.apiserver.printers.cells import (
    UNSET,
    Cells,
    Column,
    Printer,
    age,
    columns,
    selector_text,
    spec_of,
    status_of,
)


def _config_map(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def _secret(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def _service_account(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], age(obj, now)]


def _role_binding(obj: ReadOnlyObject, now: datetime) -> Cells:
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    accounts = [s for s in subjects if s.get("kind") == "ServiceAccount"]
    return [
        obj["metadata"]["name"],
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age(obj, now),
        _names(s for s in subjects if s.get("kind") == "User"),
        _names(s for s in subjects if s.get("kind") == "Group"),
        ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in accounts),
    ]


def _names(subjects: Iterable[ReadOnlyObject]) -> str:
    return ", ".join(subject.get("name", "") for subject in subjects)


def _policy(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec = spec_of(obj)
    kind = spec.get("paramKind")
    params = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    return [obj["metadata"]["name"], len(spec.get("validations") or ()), params, age(obj, now)]


def _policy_binding(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec = spec_of(obj)
    return [obj["metadata"]["name"], spec.get("policyName", ""), _params(spec.get("paramRef")), age(obj, now)]


def _params(reference: ReadOnlyObject | None) -> str:
    if not reference:
        return UNSET
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return selector_text(reference.get("selector"))


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: Iterable[str] | None) -> str:
    wanted = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in wanted)


def _volume(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    claim = spec.get("claimRef")
    return [
        obj["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if is_deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", UNSET),
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode", UNSET),
    ]


def _claim(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    bound = bool(spec.get("volumeName"))
    return [
        obj["metadata"]["name"],
        "Terminating" if is_deleting(obj) else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", UNSET),
        age(obj, now),
        spec.get("volumeMode", UNSET),
    ]


def _storage_class(obj: ReadOnlyObject, now: datetime) -> Cells:
    name = obj["metadata"]["name"]
    if annotations_of(obj).get("storageclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    return [
        name,
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _resource_quota(obj: ReadOnlyObject, now: datetime) -> Cells:
    status = status_of(obj)
    hard, used = status.get("hard") or {}, status.get("used") or {}
    texts = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = [text for name, text in texts.items() if name.startswith("limits.")]
    requests = [text for name, text in texts.items() if not name.startswith("limits.")]
    return [obj["metadata"]["name"], ", ".join(requests), ", ".join(limits), age(obj, now)]


_BINDING = Printer(columns(("Name", "Role", "Age"), ("Users", "Groups", "ServiceAccounts")), _role_binding)
_POLICIES = "admissionregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
PRINTERS = {
    ("", "ConfigMap"): Printer(columns(("Name", "Data", "Age")), _config_map),
    ("", "Secret"): Printer(columns(("Name", "Type", "Data", "Age")), _secret),
    ("", "ServiceAccount"): Printer(columns(("Name", "Age")), _service_account),
    ("", "ResourceQuota"): Printer(columns(("Name", "Request", "Limit", "Age")), _resource_quota),
    ("", "PersistentVolume"): Printer(
        columns(
            (
                "Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass",
                "VolumeAttributesClass", "Reason", "Age",
            ),
            ("VolumeMode",),
        ),
        _volume,
    ),
    ("", "PersistentVolumeClaim"): Printer(
        columns(
            ("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age"),
            ("VolumeMode",),
        ),
        _claim,
    ),
    (_POLICIES, "ValidatingAdmissionPolicy"): Printer(
        columns(("Name", "Validations", "ParamKind", "Age"), integers=("Validations",)), _policy
    ),
    (_POLICIES, "ValidatingAdmissionPolicyBinding"): Printer(
        columns(("Name", "PolicyName", "ParamRef", "Age")), _policy_binding
    ),
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("storage.k8s.io", "StorageClass"): Printer(
        (
            *columns(("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode")),
            Column("AllowVolumeExpansion"),
            Column("Age"),
        ),
        _storage_class,
    ),
}  # fmt: skip
