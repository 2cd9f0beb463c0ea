"""ConfigMaps, Secrets, volumes, roles and bindings."""

import base64
import binascii
import json
from collections.abc import Sequence

from roadstead.api.objects import Object, ReadOnlyObject, annotations_of
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, immutable, label_selector, one_of, required_name
from roadstead.apiserver.validation.internal import ROLE_REF, internal

_SIZE_LIMIT = 1024 * 1024
_RBAC = "rbac.authorization.k8s.io"


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True)) or not text
    except binascii.Error:
        return False


def _entries(data: ReadOnlyObject, path: str, *, encoded: bool) -> Causes:
    found: Causes = []
    for key, value in data.items():
        found += complain(f"{path}[{key}]", key, names.config_key_complaints(key))
        if encoded and not _is_base64(value.replace("\n", "")):
            found.append(causes.invalid(f"{path}[{key}]", "<contents redacted>", "must be base64 encoded"))
    return found


def validate_config_map(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a ConfigMap."""
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    found = _entries(data, "data", encoded=False) + _entries(binary, "binaryData", encoded=True)
    for key in data.keys() & binary.keys():
        found.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    if sum(map(len, data.values())) + sum(len(value) * 3 // 4 for value in binary.values()) > _SIZE_LIMIT:
        found.append(causes.too_long("", _SIZE_LIMIT))
    return found + _frozen(new, old, ("data", "binaryData"))


_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


_DOCKER = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


def _json_problem(encoded: str) -> str:
    """Return why something is no JSON, without repeating it."""
    try:
        text = base64.b64decode(encoded).decode("utf-8", "replace")
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
        return f"invalid character '{rest[0]}' looking for beginning of value" if rest else _JSON_END
    except ValueError:
        return ""
    return ""


_JSON_END = "unexpected end of JSON input"


def validate_secret(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Secret; values never appear in what is said."""
    data, type_ = new.get("data") or {}, new.get("type", "Opaque")
    found = _entries(data, "data", encoded=True)
    if sum(len(value) * 3 // 4 for value in data.values()) > _SIZE_LIMIT:
        found.append(causes.too_long("data", _SIZE_LIMIT))
    given = data.keys() | (new.get("stringData") or {}).keys()
    found += [causes.required(f"data[{key}]") for key in _REQUIRED_KEYS.get(type_, ()) if key not in given]
    if (key := _DOCKER.get(type_)) and key in data and (problem := _json_problem(data[key])):
        found.append(causes.invalid(f"data[{key}]", "<secret contents redacted>", problem))
    if type_ == "kubernetes.io/basic-auth" and not given & {"username", "password"}:
        found += [causes.required("data[username]"), causes.required("data[password]")]
    account = "kubernetes.io/service-account.name"
    if type_ == "kubernetes.io/service-account-token" and not annotations_of(new).get(account):
        found.append(causes.required(f"metadata.annotations[{account}]"))
    if old is not None:
        found += immutable(type_, old.get("type", "Opaque"), "type")
    return found + _frozen(new, old, ("data",))


def _frozen(new: Object, old: Object | None, parts: tuple[str, ...]) -> Causes:
    if old is None or not old.get("immutable"):
        return []
    detail = "field is immutable when `immutable` is set"
    changed = [part for part in parts if (new.get(part) or {}) != (old.get(part) or {})]
    if not new.get("immutable"):
        changed.insert(0, "immutable")
    return [causes.forbidden(part, detail) for part in changed]


def validate_role(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Role or ClusterRole."""
    namespaced = new.get("kind") == "Role"
    found: Causes = []
    for at, rule in enumerate(new.get("rules") or ()):
        found += _rule(rule, f"rules[{at}]", namespaced=namespaced)
    aggregation, path = new.get("aggregationRule"), "aggregationRule.clusterRoleSelectors"
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.append(causes.required(path, detail))
        found += [cause for at, part in enumerate(selectors) for cause in label_selector(part, f"{path}[{at}]")]
    return found


def _rule(rule: ReadOnlyObject, path: str, *, namespaced: bool) -> Causes:
    found: Causes = []
    if not rule.get("verbs"):
        found.append(causes.required(f"{path}.verbs"))
    urls = rule.get("nonResourceURLs")
    if urls:
        field = f"{path}.nonResourceURLs"
        if namespaced:
            found.append(causes.invalid(field, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(causes.invalid(field, urls, detail))
        return found
    if not rule.get("apiGroups"):
        found.append(causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(causes.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def validate_role_binding(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a RoleBinding or ClusterRoleBinding."""
    role, namespaced = new.get("roleRef") or {}, new.get("kind") == "RoleBinding"
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    found = one_of("roleRef.apiGroup", role.get("apiGroup"), (_RBAC,), required=True)
    found += _kind(role, "roleRef", kinds)
    found += required_name(role, "roleRef", names.path_segment_complaints)
    for at, subject in enumerate(new.get("subjects") or ()):
        found += _subject(subject, f"subjects[{at}]", namespaced=namespaced)
    if old is not None and role != old.get("roleRef"):
        found.append(causes.invalid("roleRef", internal(role, ROLE_REF), "field is immutable"))
    return found


def _kind(part: ReadOnlyObject, path: str, kinds: Sequence[str]) -> Causes:
    kind = part.get("kind", "")
    return [] if kind in kinds else [causes.not_supported(f"{path}.kind", kind, kinds)]


def _subject(subject: ReadOnlyObject, path: str, *, namespaced: bool) -> Causes:
    kind, name = subject.get("kind"), subject.get("name")
    found = _kind(subject, path, ("ServiceAccount", "User", "Group"))
    if not name:
        found.append(causes.required(f"{path}.name"))
    if kind == "ServiceAccount":
        if name:
            found += complain(f"{path}.name", name, names.subdomain_complaints(name))
        if subject.get("apiGroup"):
            found.append(causes.not_supported(f"{path}.apiGroup", subject["apiGroup"], ("",)))
        if not namespaced and not subject.get("namespace"):
            found.append(causes.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        found += one_of(f"{path}.apiGroup", subject.get("apiGroup"), (_RBAC,), required=True)
    return found


VALIDATORS = {
    ("", "ConfigMap"): validate_config_map,
    ("", "Secret"): validate_secret,
    (_RBAC, "ClusterRole"): validate_role,
    (_RBAC, "ClusterRoleBinding"): validate_role_binding,
    (_RBAC, "Role"): validate_role,
    (_RBAC, "RoleBinding"): validate_role_binding,
}
