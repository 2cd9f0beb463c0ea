"""Kinds with a rule or two: priority classes, leases, events, taints of nodes, persistent volumes."""

from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, immutable, one_of

_HIGHEST_PRIORITY = 1_000_000_000
_SYSTEM_CLASSES = ("system-cluster-critical", "system-node-critical")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_RESERVED = (
    "priority class names with 'system-' prefix are reserved for system use only. "
    "error: {} is not a known system priority class"
)


def validate_priority_class(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PriorityClass, whose value stays."""
    found: Causes = []
    name, value = metadata_of(new).get("name", ""), new.get("value", 0)
    if old is not None:
        if value != old.get("value", 0):
            found.append(causes.forbidden("value", "may not be changed in an update."))
        return found + immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")
    if name.startswith("system-"):
        if name not in _SYSTEM_CLASSES:
            found.append(causes.forbidden("metadata.name", _RESERVED.format(name)))
    elif value > _HIGHEST_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}"
        found.append(causes.forbidden("value", detail))
    return found + one_of("preemptionPolicy", new.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))


def validate_lease(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Lease."""
    spec = new.get("spec") or {}
    seconds, changes = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    found: Causes = []
    if seconds is not None and seconds <= 0:
        found.append(causes.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if changes is not None and changes < 0:
        found.append(causes.invalid("spec.leaseTransitions", changes, "must be greater than or equal to 0"))
    return found


def validate_event(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with an Event; older clients leave nearly everything out."""
    about, own = (new.get("involvedObject") or {}).get("namespace", ""), metadata_of(new).get("namespace", "")
    if about in ("", own):
        return []
    return [causes.invalid("involvedObject.namespace", about, "does not match event.namespace")]


def validate_node(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Node's taints."""
    found: Causes = []
    taken: set[tuple[str, str]] = set()
    for at, taint in enumerate((new.get("spec") or {}).get("taints") or ()):
        path, key, effect = f"metadata.taints[{at}]", taint.get("key", ""), taint.get("effect", "")
        found += _taint(taint, path)
        if (key, effect) in taken:
            shown = {"Key": key, "Value": taint.get("value", ""), "Effect": effect, "TimeAdded": None}
            reason, field, message = causes.duplicate(path, shown)
            found.append((reason, field, f"{message}: taints must be unique by key and effect pair"))
        taken.add((key, effect))
    return found


def _taint(taint: ReadOnlyObject, path: str) -> Causes:
    key, value = taint.get("key", ""), taint.get("value", "")
    found = complain(f"{path}.key", key, names.qualified_name_complaints(key))
    found += complain(f"{path}.value", value, names.label_value_complaints(value))
    return found + one_of(f"{path}.effect", taint.get("effect"), _EFFECTS, required=True)


VALIDATORS = {
    ("", "Event"): validate_event,
    ("", "Node"): validate_node,
    ("coordination.k8s.io", "Lease"): validate_lease,
    ("scheduling.k8s.io", "PriorityClass"): validate_priority_class,
}
