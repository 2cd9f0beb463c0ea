"""What the server writes into every new pod for the scheduler: its priority, and how long it stays on a lost node.

As the admission plugins Priority and DefaultTolerationSeconds of Kubernetes do it (plugin/pkg/admission). Pure.
"""

from collections.abc import Iterable, Mapping

from roadstead.api.errors import Forbidden
from roadstead.api.objects import Object, ReadOnlyObject

SYSTEM_CLASSES = {
    "system-cluster-critical": (2_000_000_000, "Used for pods that the cluster needs, on whichever node they run."),
    "system-node-critical": (2_000_001_000, "Used for pods that the cluster needs on the very node that they run on."),
}
"""The classes that every cluster has: value and description."""
_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300
_USUAL = "PreemptLowerPriority"


def fill_in_priority(pod: Object, classes: Iterable[ReadOnlyObject]) -> None:
    """Give a new pod the priority of its class, in place. Raises Forbidden for an unknown class or another number."""
    spec = pod["spec"]
    chosen = _class_of(pod, str(spec.get("priorityClassName") or ""), list(classes))
    if chosen is not None:
        spec["priorityClassName"] = chosen["metadata"]["name"]
    priority = chosen["value"] if chosen is not None else 0
    policy = (chosen or {}).get("preemptionPolicy") or _USUAL
    _refuse_another(pod, "priority", "integer value of priority", priority)
    _refuse_another(pod, "preemptionPolicy", "string value of PreemptionPolicy", policy)
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def _refuse_another(pod: Object, field: str, what: str, computed: object) -> None:
    given = pod["spec"].get(field, computed)
    if given != computed:
        by = f"priority admission controller computed {computed} from the given PriorityClass name"
        raise _forbidden(pod, f"the {what} ({given}) must not be provided in pod spec; {by}")


def _class_of(pod: Object, name: str, classes: list[ReadOnlyObject]) -> ReadOnlyObject | None:
    if not name:
        everybodys = [one for one in classes if one.get("globalDefault")]
        return min(everybodys, key=lambda one: int(one["value"]), default=None)
    for one in classes:
        if one["metadata"]["name"] == name:
            return one
    raise _forbidden(pod, f"no PriorityClass with name {name} was found")


def _forbidden(pod: Object, problem: str) -> Forbidden:
    name = pod["metadata"]["name"]
    return Forbidden(f'pods "{name}" is forbidden: {problem}', {"name": name, "kind": "pods"})


def keep_priority(live: ReadOnlyObject, pod: Object) -> None:
    """Let a changed pod that says nothing of its priority keep what it has, in place."""
    for field in ("priority", "preemptionPolicy"):
        if field in live["spec"]:
            pod["spec"].setdefault(field, live["spec"][field])


def tolerate_lost_nodes(pod: Object) -> None:
    """Have a pod stay for five minutes on a node that is not ready or not heard of, unless it says otherwise."""
    spec = pod["spec"]
    given = spec.get("tolerations") or []
    missing = [key for key in _LOST if not any(_covers(one, key) for one in given)]
    if missing:
        added = [{"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}
                 for key in missing]  # fmt: skip
        spec["tolerations"] = [*given, *added]


def _covers(toleration: Mapping[str, object], key: str) -> bool:
    return toleration.get("key") in (None, "", key) and toleration.get("effect") in (None, "", "NoExecute")
