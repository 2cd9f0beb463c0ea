"""Pods and pod templates: what is wrong with the pod as a whole, its volumes, and changes of a running one."""

import re
from collections.abc import Sequence

from roadstead.api.objects import Object, ReadOnlyObject, annotations_of, metadata_of
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.containers import containers
from roadstead.apiserver.validation.fields import complain, labels, not_negative, one_of
from roadstead.apiserver.validation.hosts import aliases, dns, host_ports, override
from roadstead.apiserver.validation.metadata import annotations
from roadstead.apiserver.validation.paths import local_path
from roadstead.apiserver.validation.scheduling import affinity, gates, spread, tolerations
from roadstead.apiserver.validation.security import pod_security, user_namespace
from roadstead.apiserver.validation.volumes import volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a pod; of a stored one hardly anything may change."""
    spec = new.get("spec") or {}
    found = _pod_annotations(annotations_of(new), "metadata.annotations") + pod_spec(spec, "spec", is_pod=True)
    found += not_negative(spec, "spec", "terminationGracePeriodSeconds")
    for kind in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(kind) or ()):
            image = container.get("image") or ""
            if image != image.strip():
                detail = "must not have leading or trailing whitespace"
                found.append(causes.invalid(f"spec.{kind}[{at}].image", image, detail))
    if old is not None:
        return found + (_deadline_changes(spec, old.get("spec") or {}) or _changes(spec, old.get("spec") or {}))
    if spec.get("ephemeralContainers"):
        found.append(causes.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        found.append(causes.forbidden("spec.nodeName", detail))
    return found


def pod_template(
    template: ReadOnlyObject | None, path: str, restart_policies: Sequence[str] | None = ("Always",)
) -> Causes:
    """Return what is wrong with the template of a controller that makes pods with these restart policies, or any."""
    template = template or {}
    metadata, spec = metadata_of(template), template.get("spec") or {}
    found = labels(metadata.get("labels"), f"{path}.labels")
    notes = metadata.get("annotations") or {}
    found += annotations(notes, f"{path}.annotations") + _pod_annotations(notes, f"{path}.annotations")
    found += pod_spec(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        found.append(causes.forbidden(f"{path}.spec.ephemeralContainers", detail))
    if restart_policies is None:
        return found
    return found + one_of(f"{path}.spec.restartPolicy", spec.get("restartPolicy", "Always"), restart_policies)


def pod_spec(spec: ReadOnlyObject, path: str, *, is_pod: bool = False) -> Causes:
    """Return what is wrong with the spec of a pod or of a template, in Kubernetes' order."""
    found, named = volumes(spec.get("volumes") or (), f"{path}.volumes")
    found += containers(spec, path, named) + host_ports(spec, f"{path}.containers", is_pod=is_pod)
    found += one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    found += one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    found += labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    found += pod_security(spec, path) + affinity(spec.get("affinity") or {}, f"{path}.affinity")
    found += dns(spec, f"{path}.dnsConfig") + _readiness_gates(spec, f"{path}.readinessGates")
    found += gates(spec.get("schedulingGates") or (), f"{path}.schedulingGates")
    found += spread(spec.get("topologySpreadConstraints") or (), f"{path}.topologySpreadConstraints")
    found += user_namespace(spec, path) + override(spec, f"{path}.hostnameOverride")
    found += _account(spec, path) + _named(spec, path, "nodeName")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        found += complain(f"{path}.activeDeadlineSeconds", deadline, names.between(deadline, 1, 2**31 - 1))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            found += complain(f"{path}.{field}", spec[field], names.label_complaints(spec[field]))
    found += tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    found += aliases(spec.get("hostAliases") or (), f"{path}.hostAliases")
    found += _named(spec, path, "priorityClassName") + _named(spec, path, "runtimeClassName")
    found += one_of(f"{path}.preemptionPolicy", spec.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))
    for name, amount in (spec.get("overhead") or {}).items():
        found += complain(f"{path}.overhead.limits[{name}]", amount, names.quantity_complaints(amount))
    return found + one_of(f"{path}.os", (spec.get("os") or {}).get("name"), ("linux", "windows"))


def _named(spec: ReadOnlyObject, path: str, field: str) -> Causes:
    return complain(f"{path}.{field}", spec[field], names.subdomain_complaints(spec[field])) if spec.get(field) else []


def _readiness_gates(spec: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    for at, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType", "")
        found += complain(f"{path}[{at}].conditionType", kind, names.qualified_name_complaints(kind))
    return found


def _account(spec: ReadOnlyObject, path: str) -> Causes:
    found = _named(spec, path, "serviceAccountName")
    account, older = spec.get("serviceAccountName", ""), spec.get("serviceAccount")
    if older and older != account:
        detail = f'must be the same as serviceAccountName: "{account}"'
        found.append(causes.invalid(f"{path}.deprecatedServiceAccount", older, detail))
    return found


_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF = "container.seccomp.security.alpha.kubernetes.io/"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def _pod_annotations(notes: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with annotations that mean something for pods."""
    found: Causes = []
    cost = notes.get(_DELETION_COST)
    if cost is not None and not re.fullmatch("0|-?[1-9][0-9]{0,9}", cost):
        found.append(causes.invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    for key, profile in notes.items():
        if key == _SECCOMP or key.startswith(_SECCOMP_OF):
            if profile.startswith("localhost/"):
                found += local_path(profile.removeprefix("localhost/"), f"{path}.{key}")
            elif profile not in ("runtime/default", "docker/default", "unconfined"):
                found.append(causes.invalid(f"{path}.{key}", profile, "must be a valid seccomp profile"))
    return found


def _deadline_changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    """Return a cause for a deadline that comes later than it did, or not at all any more."""
    after, before, path = (
        new.get("activeDeadlineSeconds"),
        old.get("activeDeadlineSeconds"),
        "spec.activeDeadlineSeconds",
    )
    if before is None or after == before:
        return []
    if after is None:
        return [causes.invalid(path, None, "must not update from a positive integer to nil value")]
    return [causes.invalid(path, after, "must be less than or equal to previous value")] if after > before else []


def _changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    if new == old:
        return []
    for kind in ("containers", "initContainers"):
        if len(new.get(kind) or ()) != len(old.get(kind) or ()):
            return [causes.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")]
    if found := _ephemeral_changes(new, old):
        return found
    if _comparable(new, old) == _comparable(old, old):
        return []
    detail = f"pod updates may not change fields other than {_UPDATABLE}"
    changed = sorted(key for key in {*new, *old} if new.get(key) != old.get(key))
    return [causes.forbidden("spec", f"{detail}\nchanged: {', '.join(changed)}")]


def _ephemeral_changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    """Ephemeral containers may be added, in any place, and that is all."""
    after = {container.get("name"): container for container in new.get("ephemeralContainers") or ()}
    found: Causes = []
    for container in old.get("ephemeralContainers") or ():
        name = container["name"]
        if after.get(name) != container:
            done = "changed" if name in after else "removed"
            detail = f'existing ephemeral containers "{name}" may not be {done}'
            found.append(causes.forbidden("spec.ephemeralContainers", detail))
    return found


def _comparable(spec: ReadOnlyObject, old: ReadOnlyObject) -> Object:
    """Return a spec without what may differ from the old one; a node may be assigned once, tolerations added."""
    kept = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "ephemeralContainers")}
    for kind in ("containers", "initContainers"):
        kept[kind] = [{**container, "image": ""} for container in spec.get(kind) or ()]
    tolerations = list(spec.get("tolerations") or ())
    if all(toleration in tolerations for toleration in old.get("tolerations") or ()):
        kept.pop("tolerations", None)
    if not old.get("nodeName"):
        kept.pop("nodeName", None)
    if old.get("schedulingGates"):
        kept.pop("schedulingGates", None)
    return kept
