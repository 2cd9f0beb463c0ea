"""DaemonSets: one pod on every node that will have it.

Kubernetes' pkg/controller/daemon. Pods are bound to their node here, by affinity to its name, and the scheduler
honours that; the taints of nodes in trouble are tolerated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting, labels_of, metadata_of, owner_reference
from roadstead.api.selectors import label_selector_from
from roadstead.controllers.actions import Action, Create, Delete, Event, Requeue, status_patch
from roadstead.controllers.history import HASH_LABEL, record
from roadstead.controllers.ownership import claim
from roadstead.controllers.pods import is_over, is_ready, phase, pod_from_template, seconds_until_available
from roadstead.controllers.rolling import share
from roadstead.controllers.scheduler import refusal

_TOLERATED = tuple(
    {"key": f"node.kubernetes.io/{trouble}", "operator": "Exists", "effect": effect}
    for trouble, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)


@dataclass(frozen=True, slots=True)
class Observed:
    """A DaemonSet, the pods that it may own, all nodes, and its revisions."""

    daemon_set: ReadOnlyObject
    pods: Sequence[Object]
    nodes: Sequence[Object]
    revisions: Sequence[Object] = ()


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return the pods to create and delete so that every node that will have one has one of the present template."""
    daemon_set = observed.daemon_set
    claimed = claim(daemon_set, label_selector_from(daemon_set["spec"].get("selector")), observed.pods)
    if is_deleting(daemon_set):
        return []
    history = record(daemon_set, observed.revisions, {_hash(pod) for pod in claimed.objects})
    placed = _by_node(claimed.objects)
    wanted = [node for node in observed.nodes if _wants(daemon_set, node)]
    names = {_name(node) for node in wanted}
    actions: list[Action] = [*claimed.actions, *history.actions]
    for node in wanted:
        if all(is_over(pod) for pod in placed.get(_name(node), ())):
            actions += [_create(daemon_set, node, history.hash)]
    actions += [_delete(daemon_set, pod) for pod in _unwanted(placed, names)]
    actions += [_delete(daemon_set, pod) for pod in _outdated(daemon_set, placed, names, history.hash, now)]
    return [*actions, *_status(daemon_set, placed, names, history.hash, now)]


def _wants(daemon_set: ReadOnlyObject, node: ReadOnlyObject) -> bool:
    template = daemon_set["spec"]["template"]
    spec = template.get("spec") or {}
    tolerations = [*(spec.get("tolerations") or ()), *_TOLERATED]
    # A node that is not ready keeps its daemons: they may be what makes it ready.
    able = {**node, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    return not refusal({"spec": {**spec, "tolerations": tolerations}}, able)


def _by_node(pods: Sequence[Object]) -> dict[str, list[Object]]:
    placed: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=lambda pod: (metadata_of(pod).get("creationTimestamp") or "", _name(pod))):
        placed.setdefault(_node_of(pod), []).append(pod)
    return placed


def _node_of(pod: ReadOnlyObject) -> str:
    """Return the node that a pod is on, or is made for."""
    spec = pod.get("spec") or {}
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for entry in term.get("matchFields") or ():
            if entry.get("key") == "metadata.name":
                return str(spec.get("nodeName") or entry["values"][0])
    return str(spec.get("nodeName") or "")


def _unwanted(placed: Mapping[str, Sequence[Object]], names: set[str]) -> list[Object]:
    """Return pods on nodes that are not wanted, ended ones, and all but the oldest where there are several."""
    unwanted: list[Object] = []
    for node, pods in placed.items():
        running = [pod for pod in pods if not is_over(pod)]
        keep = running[:1] if node in names else []
        unwanted += [pod for pod in pods if pod not in keep and not is_deleting(pod)]
    return unwanted


def _outdated(
    daemon_set: ReadOnlyObject, placed: Mapping[str, Sequence[Object]], names: set[str], hash_: str, now: datetime
) -> list[Object]:
    """Return pods of earlier templates that may go now without more than maxUnavailable being away."""
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return []
    value = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
    allowed = max(1, int(-(-share(value, len(names)) // 1)))
    kept = [pods for name in names if (pods := [pod for pod in placed.get(name, ()) if not is_over(pod)])]
    available = [pods[0] for pods in kept if _is_available(daemon_set, pods[0], now)]
    room = allowed - (len(names) - len(available))
    olds = [pods[0] for pods in kept if _hash(pods[0]) != hash_ and not is_deleting(pods[0])]
    broken = [pod for pod in olds if pod not in available]
    return [*broken, *[pod for pod in olds if pod in available][: max(0, room)]]


def _is_available(daemon_set: ReadOnlyObject, pod: Object, now: datetime) -> bool:
    wait = seconds_until_available(pod, int(daemon_set["spec"].get("minReadySeconds") or 0), now)
    return wait == 0.0 and not is_deleting(pod)


def _create(daemon_set: ReadOnlyObject, node: ReadOnlyObject, hash_: str) -> Create:
    metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
    prefix, namespace = f"{metadata['name']}-", metadata.get("namespace") or ""
    pod = pod_from_template(template, namespace, owner_reference(daemon_set), prefix)
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), HASH_LABEL: hash_}
    spec = pod["spec"]
    fields = [{"key": "metadata.name", "operator": "In", "values": [_name(node)]}]
    term = {"nodeSelectorTerms": [{"matchFields": fields}]}
    affinity = {**(spec.get("affinity") or {})}
    affinity["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": term}
    tolerations = [*(spec.get("tolerations") or ()), *_TOLERATED]
    pod["spec"] = {**spec, "affinity": affinity, "tolerations": tolerations}
    return Create(pod, announce=Event(daemon_set, "Normal", "SuccessfulCreate", "Created pod: {name}"))


def _delete(daemon_set: ReadOnlyObject, pod: Object) -> Delete:
    return Delete(pod, announce=Event(daemon_set, "Normal", "SuccessfulDelete", "Deleted pod: {name}"))


def _status(
    daemon_set: ReadOnlyObject, placed: Mapping[str, Sequence[Object]], names: set[str], hash_: str, now: datetime
) -> list[Action]:
    kept = [pods[0] for name in names if (pods := [pod for pod in placed.get(name, ()) if not is_over(pod)])]
    waits = [seconds_until_available(pod, int(daemon_set["spec"].get("minReadySeconds") or 0), now) for pod in kept]
    available = waits.count(0.0)
    wanted: Object = {
        "desiredNumberScheduled": len(names),
        "currentNumberScheduled": len(kept),
        "numberMisscheduled": sum(
            any(phase(pod) == "Running" for pod in pods) for name, pods in placed.items() if name not in names
        ),
        "numberReady": sum(is_ready(pod) for pod in kept),
        "updatedNumberScheduled": sum(_hash(pod) == hash_ for pod in kept) or None,
        "numberAvailable": available or None,
        "numberUnavailable": (len(names) - available) or None,
        "observedGeneration": daemon_set["metadata"].get("generation") or 0,
    }
    pending = [wait for wait in waits if wait]
    return [*status_patch(daemon_set, wanted), *([Requeue(min(pending))] if pending else [])]


def _hash(pod: ReadOnlyObject) -> str:
    return labels_of(pod).get(HASH_LABEL) or ""


def _name(obj: ReadOnlyObject) -> str:
    return str(metadata_of(obj).get("name") or "")
