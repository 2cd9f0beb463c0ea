"""Owners that an object names twice: once is enough (apiserver's pkg/endpoints/handlers/rest.go)."""

from typing import Any

from roadstead.api.objects import Object

_TWICE = (
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject "
    "such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
)


def drop_repeated_owners(obj: Object) -> tuple[str, ...]:
    """Keep every owner once, in place. Returns the warning about those that came more often, if any."""
    metadata = obj.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(owners, list):
        return ()
    kept: list[Any] = []
    repeated: list[Any] = []
    for owner in owners:
        (repeated if owner in kept else kept).append(owner)
    if not repeated:
        return ()
    metadata["ownerReferences"] = kept
    return (_TWICE + ", ".join(str(owner.get("uid", "")) for owner in repeated if isinstance(owner, dict)),)
