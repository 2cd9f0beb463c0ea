"""May this pod be evicted now? Disruption budgets, judged by what is there at the moment. Pure.

Kubernetes goes by each budget's status, which a controller writes; counting the pods at the moment of the request is
never late (kubernetes pkg/registry/core/pod/storage/eviction.go).
"""

from collections.abc import Iterable, Sequence

from roadstead.api.budgets import ReplicasOf, budget_state, covers, is_healthy
from roadstead.api.errors import TooManyRequests
from roadstead.api.objects import ReadOnlyObject


def check_budgets(
    pod: ReadOnlyObject, budgets: Iterable[ReadOnlyObject], pods: Sequence[ReadOnlyObject], replicas_of: ReplicasOf
) -> None:
    """Raise TooManyRequests if evicting a pod would break one of its namespace's budgets.

    `pods` are those of the namespace. A pod that is not ready may always go: it serves nobody.
    """
    if not is_healthy(pod):
        return
    for budget in budgets:
        if not covers(budget, pod):
            continue
        state = budget_state(budget, pods, replicas_of)
        if not state.allowed:
            name = budget["metadata"]["name"]
            message = (
                f"The disruption budget {name} needs {state.desired} healthy pods and has {state.healthy} currently"
            )
            raise TooManyRequests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                {"causes": [{"reason": "DisruptionBudget", "message": message}]},
            )
