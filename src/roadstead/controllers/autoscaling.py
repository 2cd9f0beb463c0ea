"""What HorizontalPodAutoscalers look at: their target, its pods, what these use, and what was recommended before."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from roadstead.api.errors import ApiError
from roadstead.api.objects import Object, ObjectKey, is_deleting, key_of, labels_of
from roadstead.api.resources import resource
from roadstead.api.selectors import pod_selector_of
from roadstead.client.client import ApiClient
from roadstead.controllers import horizontalpodautoscaler as autoscaler
from roadstead.controllers.actions import Action
from roadstead.controllers.controller import Controller, Situation, View
from roadstead.controllers.scaling_behavior import History

_KIND = "HorizontalPodAutoscaler"
_SCALED = {"Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps", "ReplicationController": ""}
_LONGEST_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Measured:
    metrics: Mapping[str, Object]
    problem: str = ""


class Autoscalers:
    """Decides for all autoscalers; remembers, as Kubernetes' controller does, only as long as it runs."""

    def __init__(self) -> None:
        self._histories: dict[ObjectKey, History] = {}

    async def look(self, client: ApiClient, view: View, key: Any) -> _Measured:
        """Ask what the pods of the namespace use."""
        if view.get(_KIND, key) is None:
            return _Measured({})
        try:
            measured = await client.list(resource("PodMetrics"), key.namespace)
        except ApiError as error:
            return _Measured({}, error.message)
        return _Measured({each["metadata"]["name"]: each for each in measured})

    def decide(self, situation: Situation) -> list[Action]:
        """Plan for one autoscaler, and remember what was recommended and done."""
        view, key, now = situation.view, situation.key, situation.now
        found = view.get(_KIND, key)
        if found is None:
            self._histories.pop(key, None)
            return []
        history = self._histories.setdefault(key, History())
        history.forget(now - _LONGEST_WINDOW)
        target = _target(view, found, key.namespace)
        pods = _pods(view, target, key.namespace) if target is not None else []
        live: _Measured = situation.live
        observed = autoscaler.Observed(found, target, pods, live.metrics, history, live.problem)
        outcome = autoscaler.plan(observed, now)
        if outcome.recommended is not None:
            history.recommendations.append((now, outcome.recommended))
        if outcome.change:
            history.changes.append((now, outcome.change))
        return outcome.actions


def autoscaling_controller() -> Controller:
    """Return the controller of HorizontalPodAutoscalers."""
    autoscalers = Autoscalers()
    return Controller(
        "horizontal-pod-autoscaler",
        {_KIND: _its_spec},
        autoscalers.decide,
        reads=(*_SCALED, "Pod"),
        look=autoscalers.look,
        unhurried=True,
    )


def _its_spec(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
    """Trigger an autoscaler that was made, changed or deleted; its status changes with every plan."""
    if old is not None and new is not None and (old["spec"], is_deleting(old)) == (new["spec"], is_deleting(new)):
        return []
    return [key_of(new or old or {})]


def _target(view: View, found: Object, namespace: str) -> Object | None:
    reference = found["spec"].get("scaleTargetRef") or {}
    kind, group = str(reference.get("kind")), str(reference.get("apiVersion") or "").rpartition("/")[0]
    if _SCALED.get(kind) != group:
        return None
    return view.get(kind, ObjectKey(namespace, str(reference.get("name"))))


def _pods(view: View, target: Object, namespace: str) -> list[Object]:
    selector = pod_selector_of(target)
    return [pod for pod in view.in_namespace("Pod", namespace) if selector.matches(labels_of(pod))]
