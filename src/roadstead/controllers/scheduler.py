"""Scheduling: a pod that wants to run is bound to a node that will have it, or says why none will.

What a pod demands of a node's labels, taints and cordons is obeyed as kube-scheduler obeys it. Resource requests
are not counted: a laptop that runs a system made for a cluster could not hold it on paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from roadstead.api.conditions import condition, find_condition, is_true, merge_conditions
from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, key_of, labels_of, metadata_of
from roadstead.api.selectors import Requirement
from roadstead.api.storage import class_of, ephemeral_claims_of
from roadstead.controllers.actions import Action, Bind, Event, Patch, guard
from roadstead.controllers.claims import fits, is_provisioned
from roadstead.controllers.pods import is_over
from roadstead.lib.clock import rfc3339

_CORDONED: Object = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_TAKEN = "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
_KEEPING_OUT = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True)
class Observed:
    """A pod, all nodes, how many pods each node has, and the claims that the pod names, None if one is not there.

    With claims, all volumes and classes of storage that there are, and the other pods that have a claim that is for one
    pod alone.
    """

    pod: ReadOnlyObject
    nodes: Sequence[Object]
    load: Mapping[str, int]
    claims: Mapping[str, ReadOnlyObject | None] = field(default_factory=dict)
    volumes: Sequence[Object] = ()
    classes: Sequence[Object] = ()
    holders: Sequence[ReadOnlyObject] = ()


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Bind the pod to the least loaded node that takes it, or note why no node does."""
    pod = observed.pod
    if not wants_scheduling(pod):
        return []
    if pod["spec"].get("schedulingGates"):
        return _wait(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates", now)
    if obstacle := _obstacle(observed):
        return _unschedulable(pod, obstacle, now)
    if not all(_is_bound(claim) for claim in observed.claims.values() if claim is not None):
        return []  # that pod is what the claim has waited for: it will be bound now, and that is heard of
    names = [metadata_of(node)["name"] for node in observed.nodes if not refusal(pod, node)]
    node = min(names, key=lambda name: (observed.load.get(name, 0), name))
    told = Event(pod, "Normal", "Scheduled", f"Successfully assigned {key_of(pod)} to {node}")
    return [Bind(pod, node, told)]


def wants_scheduling(pod: ReadOnlyObject) -> bool:
    """Say whether a pod is ours to bind: without a node, not over, not going, and not another scheduler's."""
    spec = pod.get("spec") or {}
    ours = (spec.get("schedulerName") or "default-scheduler") == "default-scheduler"
    return ours and not spec.get("nodeName") and not is_over(pod) and not is_deleting(pod)


def _obstacle(observed: Observed) -> str:
    """Return why no node takes a pod, in kube-scheduler's words, or `""`."""
    refusals = [refusal(observed.pod, node) for node in observed.nodes]
    if all(refusals):
        return _explanation(refusals)
    problems = [why for name in observed.claims if (why := _claim_problem(observed, name))]
    if observed.holders:
        problems.append(_TAKEN)
    return f"0/{len(refusals)} nodes are available: {problems[0]}." if problems else ""


def refusal(pod: ReadOnlyObject, node: ReadOnlyObject) -> str:
    """Return why a node cannot take a pod, in kube-scheduler's words, or `""`."""
    if not is_true((node.get("status") or {}).get("conditions"), "Ready") or is_deleting(node):
        return "node(s) were not ready"
    spec, tolerations = node.get("spec") or {}, pod["spec"].get("tolerations") or ()
    if spec.get("unschedulable") and not _tolerated(_CORDONED, tolerations):
        return "node(s) were unschedulable"
    for taint in spec.get("taints") or ():
        if taint.get("effect") in _KEEPING_OUT and not _tolerated(taint, tolerations):
            return f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value') or ''}}}"
    if not _selected(pod["spec"], node):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _tolerated(taint: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> bool:
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _selected(spec: Mapping[str, Any], node: ReadOnlyObject) -> bool:
    labels = labels_of(node)
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term_matches(term: Mapping[str, Any], node: ReadOnlyObject) -> bool:
    fields = {"metadata.name": metadata_of(node).get("name") or ""}
    wishes = [(entry, labels_of(node)) for entry in term.get("matchExpressions") or ()]
    wishes += [(entry, fields) for entry in term.get("matchFields") or ()]
    # An empty term matches nothing (core/v1 types.go, NodeSelectorTerm).
    return bool(wishes) and all(
        Requirement(entry["key"], entry["operator"], tuple(entry.get("values") or ())).matches(values)
        for entry, values in wishes
    )


def _claim_problem(observed: Observed, name: str) -> str:
    claim = observed.claims[name]
    if claim is None and name in dict(ephemeral_claims_of(observed.pod)):
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if (claim.get("status") or {}).get("phase") == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"]["volumeName"]}"'
    return "" if _is_bound(claim) else _without_volume(claim, observed)


def _without_volume(claim: ReadOnlyObject, observed: Observed) -> str:
    """Return what is said of a claim for which there is no volume and none is made; "" if it is about to have one."""
    named = next((each for each in observed.classes if metadata_of(each)["name"] == class_of(claim)), None)
    if is_provisioned(claim, named) or any(fits(volume, claim) for volume in observed.volumes):
        return ""
    if named is not None and named.get("volumeBindingMode") == "WaitForFirstConsumer":
        return "1 node(s) didn't find available persistent volumes to bind"
    return "pod has unbound immediate PersistentVolumeClaims"


def _is_bound(claim: ReadOnlyObject) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound"


def _explanation(refusals: Sequence[str]) -> str:
    if not refusals:
        return "no nodes available to schedule pods"
    counted = ", ".join(f"{refusals.count(why)} {why}" for why in sorted(set(refusals)))
    return f"0/{len(refusals)} nodes are available: {counted}."


def _unschedulable(pod: ReadOnlyObject, message: str, now: datetime) -> list[Action]:
    waits = _wait(pod, "Unschedulable", message, now)
    return [*waits, Event(pod, "Warning", "FailedScheduling", message)] if waits else []


def _wait(pod: ReadOnlyObject, reason: str, message: str, now: datetime) -> list[Action]:
    current = (pod.get("status") or {}).get("conditions") or ()
    before = find_condition(current, "PodScheduled")
    wish = condition("PodScheduled", False, reason, message)
    if before is not None and {**before, **wish} == before:
        return []
    conditions = merge_conditions(current, [wish], rfc3339(now))
    return [Patch(pod, {"metadata": guard(pod), "status": {"conditions": conditions}}, "status")]
