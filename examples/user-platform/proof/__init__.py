"""Proves that the system behaves as its manifests say: `scripts/demo` runs it, and it works against any cluster.

Every check is a real call by a real client outside the cluster. `report` says how checks read, `system` how the
system is reached; the other modules hold the checks by subject; `__main__` runs them.
"""
