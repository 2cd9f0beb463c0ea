"""Disruption budgets: how many of the pods that one covers may be taken away at this moment. Pure.

Two parts must agree on it: the API server, which refuses evictions, and the controller that writes budgets' statuses
(kubernetes pkg/controller/disruption/disruption.go).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadstead.api.conditions import is_true
from roadstead.api.objects import ReadOnlyObject, controller_of, is_deleting, labels_of
from roadstead.api.selectors import label_selector_from

ReplicasOf = Callable[[Mapping[str, Any]], int | None]
"""Tells how many pods the controller in an owner reference wants, None if it does not say."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How many of the covered pods are healthy, how many have to be, and how many there should be."""

    healthy: int
    desired: int
    expected: int

    @property
    def allowed(self) -> int:
        """How many may be taken away now."""
        return max(0, self.healthy - self.desired) if self.expected else 0


def covers(budget: ReadOnlyObject, pod: ReadOnlyObject) -> bool:
    """Say whether a budget is about this pod of its namespace."""
    return label_selector_from((budget.get("spec") or {}).get("selector")).matches(labels_of(pod))


def budget_state(budget: ReadOnlyObject, pods: Sequence[ReadOnlyObject], replicas_of: ReplicasOf) -> BudgetState:
    """Return how a budget stands; `pods` are those of its namespace."""
    covered = [pod for pod in pods if covers(budget, pod)]
    expected = expected_pods(covered, replicas_of)
    return BudgetState(sum(map(is_healthy, covered)), desired_healthy(budget.get("spec") or {}, expected), expected)


def is_healthy(pod: ReadOnlyObject) -> bool:
    """Say whether a pod serves: it is ready and not being deleted."""
    return not is_deleting(pod) and is_true((pod.get("status") or {}).get("conditions"), "Ready")


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
