"""What the scheduler looks at: a pod, the nodes, the claims that the pod names, and who else wants those.

It remembers to which pods it gave claims that are for one pod alone: a binding is seen a moment after it was made, and
another pod is decided about meanwhile. Next: `scheduler`, which decides.
"""

from collections.abc import Hashable, Iterable

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, is_deleting, key_of, labels_of, metadata_of
from roadstead.api.storage import claims_of, is_exclusive
from roadstead.controllers import scheduler
from roadstead.controllers.actions import Action, Bind
from roadstead.controllers.controller import Controller, Situation, View, each
from roadstead.controllers.pods import is_over

_CLAIM = "PersistentVolumeClaim"


def scheduling_controller() -> Controller:
    """Return the controller that binds pods to nodes."""
    triggers = {"Pod": _unscheduled, "Node": _all_unscheduled, _CLAIM: each(_unscheduled_users)}
    return Controller("default-scheduler", triggers, Scheduling().decide)


class Scheduling:
    """Decides for all pods."""

    def __init__(self) -> None:
        # Of each claim that is for one pod alone, the pod (its uid) that was to have it last.
        self._given: dict[ObjectKey, str] = {}

    def decide(self, situation: Situation) -> list[Action]:
        """Plan for one pod, and remember what it was given."""
        view, pod = situation.view, situation.view.get("Pod", situation.key)
        if pod is None or not scheduler.wants_scheduling(pod):
            return []
        claims = {name: view.get(_CLAIM, ObjectKey(situation.key.namespace, name)) for name in claims_of(pod)}
        exclusive = {key_of(claim) for claim in claims.values() if claim is not None and is_exclusive(claim)}
        volumes, classes = (view.all("PersistentVolume"), view.all("StorageClass")) if claims else ([], [])
        nodes = view.all("Node")
        observed = scheduler.Observed(
            pod, nodes, _load(view, nodes), claims, volumes, classes, self._holders(view, pod, exclusive)
        )
        actions = scheduler.plan(observed, situation.now)
        self._remember(pod, exclusive, is_bound=any(isinstance(action, Bind) for action in actions))
        return actions

    def _holders(self, view: View, pod: Object, exclusive: set[ObjectKey]) -> list[Object]:
        """Return the other pods that have one of these claims: those on nodes, and those that are on their way."""
        if not exclusive:
            return []
        given = {self._given.get(claim) for claim in exclusive}
        others = _sharers(view, pod, {claim.name for claim in exclusive})
        return [
            other
            for other in others
            if not is_over(other)
            and ((other.get("spec") or {}).get("nodeName") or metadata_of(other).get("uid") in given)
        ]

    def _remember(self, pod: Object, exclusive: set[ObjectKey], *, is_bound: bool) -> None:
        uid = str(metadata_of(pod).get("uid"))
        for claim in exclusive:
            if is_bound:
                self._given[claim] = uid
            elif self._given.get(claim) == uid:
                del self._given[claim]


def as_seen_by_scheduler(node: ReadOnlyObject) -> tuple[object, ...]:
    """Return what of a node decides which pods it takes; a heartbeat changes nothing of it."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    statuses = [(entry.get("type"), entry.get("status")) for entry in conditions]
    return statuses, node.get("spec"), labels_of(node), is_deleting(node)


def _load(view: View, nodes: list[Object]) -> dict[str, int]:
    """Return how many pods each node has, where there is a choice."""
    load: dict[str, int] = {}
    for pod in view.all("Pod") if len(nodes) > 1 else ():
        name = (pod.get("spec") or {}).get("nodeName") or ""
        load[name] = load.get(name, 0) + 1
    return load


def _sharers(view: View, pod: ReadOnlyObject, claims: set[str]) -> list[Object]:
    """Return the other pods that name one of the claims."""
    others = view.in_namespace("Pod", key_of(pod).namespace)
    return [other for other in others if key_of(other) != key_of(pod) and not claims.isdisjoint(claims_of(other))]


def _unscheduled(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
    changed = new or old or {}
    pods = [new] if new is not None else []
    if claims := set(claims_of(changed)):
        pods += _sharers(view, changed, claims)  # one of them may have waited for what this one had
    return [key_of(pod) for pod in pods if scheduler.wants_scheduling(pod)]


def _all_unscheduled(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
    if old is not None and new is not None and as_seen_by_scheduler(old) == as_seen_by_scheduler(new):
        return []  # a heartbeat
    return [key_of(pod) for pod in view.all("Pod") if scheduler.wants_scheduling(pod)]


def _unscheduled_users(view: View, claim: Object) -> Iterable[Hashable]:
    key = key_of(claim)
    pods = [pod for pod in view.in_namespace("Pod", key.namespace) if scheduler.wants_scheduling(pod)]
    return [key_of(pod) for pod in pods if key.name in claims_of(pod)]
