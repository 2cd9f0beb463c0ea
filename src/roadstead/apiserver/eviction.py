"""May this pod be evicted now? Disruption budgets, judged by what is there at the moment. Pure.

Kubernetes keeps the answer in each budget's status, written by a controller; counting the pods at the moment of the
request needs no such status and is never late (kubernetes pkg/registry/core/pod/storage/eviction.go).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from roadstead.api.conditions import is_true
from roadstead.api.errors import TooManyRequests
from roadstead.api.objects import ReadOnlyObject, controller_of, labels_of
from roadstead.api.selectors import label_selector_from

ReplicasOf = Callable[[Mapping[str, Any]], int | None]
"""Tells how many pods the controller in an owner reference wants, None if it does not say."""


def check_budgets(
    pod: ReadOnlyObject, budgets: Iterable[ReadOnlyObject], pods: Sequence[ReadOnlyObject], replicas_of: ReplicasOf
) -> None:
    """Raise TooManyRequests if evicting a pod would break one of its namespace's budgets.

    `pods` are those of the namespace. A pod that is not ready may always go: it serves nobody.
    """
    if not _healthy(pod):
        return
    for budget in budgets:
        selector = label_selector_from((budget.get("spec") or {}).get("selector"))
        if not selector.matches(labels_of(pod)):
            continue
        covered = [other for other in pods if selector.matches(labels_of(other))]
        healthy = sum(map(_healthy, covered))
        desired = desired_healthy(budget["spec"], expected_pods(covered, replicas_of))
        if healthy - 1 < desired:
            name = budget["metadata"]["name"]
            message = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
            raise TooManyRequests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                {"causes": [{"reason": "DisruptionBudget", "message": message}]},
            )


def expected_pods(covered: Sequence[ReadOnlyObject], replicas_of: ReplicasOf) -> int:
    """Return how many pods there should be: what the controllers want, and pods without one as they are."""
    owners = {owner["uid"]: owner for pod in covered if (owner := controller_of(pod)) is not None}
    alone = sum(controller_of(pod) is None for pod in covered)
    wanted = (replicas_of(owner) for owner in owners.values())
    return alone + sum(count for count in wanted if count is not None)


def desired_healthy(spec: ReadOnlyObject, expected: int) -> int:
    """Return how many of the expected pods a budget wants healthy; percentages are rounded up, as Kubernetes does."""
    if spec.get("minAvailable") is not None:
        return _amount(spec["minAvailable"], expected)
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - _amount(spec["maxUnavailable"], expected))
    return 1


def _amount(value: int | str, whole: int) -> int:
    text = str(value)
    return math.ceil(int(text[:-1]) * whole / 100) if text.endswith("%") else int(text)


def _healthy(pod: ReadOnlyObject) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return is_true((pod.get("status") or {}).get("conditions"), "Ready")
