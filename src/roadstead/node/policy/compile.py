"""NetworkPolicies, pods and namespaces become a `PolicyTable`. Pure; next comes `rules`."""

from collections.abc import Iterable, Mapping

from roadstead.api.objects import ObjectKey, ReadOnlyObject
from roadstead.node.policy.table import PolicyTable


def compile_policies(
    pods: Iterable[ReadOnlyObject],
    namespaces: Iterable[ReadOnlyObject],
    policies: Iterable[ReadOnlyObject],
    addresses: Mapping[ObjectKey, str] | None = None,
) -> PolicyTable:
    """Return what the policies mean for these pods.

    `addresses` gives addresses of pods that `status.podIP` does not know yet: a pod is admitted (its table applied)
    before its first process starts, so before its status is written. Pods without an address, on the host's network,
    or that have ended are left out.
    """
    raise NotImplementedError
