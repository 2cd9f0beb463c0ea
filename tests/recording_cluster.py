"""A cluster in memory that writes down what was decided: which controller, about what, and its actions in order."""

from typing import Any

from fake_cluster import FakeCluster, named

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.controllers.actions import Action, Bind, Create, Delete, Event, Patch
from roadstead.controllers.catalog import ClusterFacts, all_controllers

NODE = "roadstead-node"
WAY_TO_A_POD = ("deployment-controller", "replicaset-controller", "default-scheduler", "endpoint-slice-controller")
_GUARDS = ("uid", "resourceVersion")
_READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class RecordingCluster(FakeCluster):
    """Has the controllers between a manifest and its endpoints, and one node; `record` is what happened."""

    def __init__(self) -> None:
        super().__init__(*(one for one in all_controllers(ClusterFacts("")) if one.name in WAY_TO_A_POD))
        self.record: list[dict[str, Any]] = []
        self.create(named("Node", NODE, status=_READY))

    def carry_out(self, action: Action, number: int = 0, key: Any = None) -> None:
        said = described(action)
        if said:
            self._note_down(f"{self.controllers[number].name} {key}", said)
        super().carry_out(action, number, key)

    def set_ready(self, name: str, ready: bool = True, namespace: str = "default") -> None:
        super().set_ready(name, ready, namespace)
        address = self.get("Pod", ObjectKey(namespace, name))["status"]["podIP"]
        self._note_down(f"node {NODE}", {"starts": f"Pod {namespace}/{name} at {address}"})

    def _note_down(self, who: str, what: dict[str, Any]) -> None:
        if not self.record or self.record[-1]["by"] != who:
            self.record.append({"by": who, "actions": []})
        self.record[-1]["actions"].append(what)


def described(action: Action) -> dict[str, Any]:
    """Return an action as YAML can say it; nothing for an Event or a look at the clock, which change no object."""
    match action:
        case Create():
            return {f"create {_title(action.object)}": action.object, **_announced(action.announce)}
        case Patch():
            part = f"{action.subresource} of " if action.subresource else ""
            return {f"patch {part}{_title(action.object)}": _unguarded(action.patch), **_announced(action.announce)}
        case Bind():
            return {"bind": f"{_title(action.pod)} to {action.node}", **_announced(action.announce)}
        case Delete():
            return {"delete": _title(action.object), **_announced(action.announce)}
    return {}


def _title(obj: Object) -> str:
    metadata = obj["metadata"]
    key = key_of(obj)
    return f"{obj['kind']} {key}" if key.name else f"{obj['kind']} {key.namespace}/{metadata['generateName']}…"


def _unguarded(patch: Object) -> Object:
    """Return a patch without what only guards it against newer writes."""
    metadata = {name: value for name, value in patch.get("metadata", {}).items() if name not in _GUARDS}
    rest = {name: value for name, value in patch.items() if name != "metadata"}
    return {"metadata": metadata, **rest} if metadata else rest


def _announced(event: Event | None) -> dict[str, str]:
    return {"event": f"{event.reason}: {event.message}"} if event is not None else {}
