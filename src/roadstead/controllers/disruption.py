"""Statuses of PodDisruptionBudgets: how many disruptions each allows now (pkg/controller/disruption/disruption.go).

For people and their tools (`kubectl get pdb`); evictions are judged by the API server itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from roadstead.api.budgets import ReplicasOf, budget_state
from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import ReadOnlyObject, is_deleting
from roadstead.controllers.actions import Action, status_patch
from roadstead.lib.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Observed:
    """A budget, the pods of its namespace, and how many pods their controllers want."""

    budget: ReadOnlyObject
    pods: Sequence[ReadOnlyObject]
    replicas_of: ReplicasOf


def plan(observed: Observed, now: datetime) -> list[Action]:
    """Return the patch of the budget's status, if it says something else."""
    budget = observed.budget
    if is_deleting(budget):
        return []
    state = budget_state(budget, observed.pods, observed.replicas_of)
    generation = budget["metadata"].get("generation") or 0
    reason = "SufficientPods" if state.allowed else "InsufficientPods"
    wish = condition("DisruptionAllowed", bool(state.allowed), reason, generation=generation)
    current = (budget.get("status") or {}).get("conditions") or ()
    wanted = {
        "currentHealthy": state.healthy,
        "desiredHealthy": state.desired,
        "expectedPods": state.expected,
        "disruptionsAllowed": state.allowed,
        "observedGeneration": generation,
        "conditions": merge_conditions(current, [wish], rfc3339(now)),
    }
    return status_patch(budget, wanted)
