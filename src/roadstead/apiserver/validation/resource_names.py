"""Names of resources that Kubernetes knows, whoever uses them: containers, quotas, limit ranges."""

_STANDARD = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "storage", "requests.storage",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip


def is_standard(name: str) -> bool:
    """Say whether a name without a domain is that of a resource."""
    return name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))
