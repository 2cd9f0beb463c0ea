"""What controllers ask of a pod: is it active, ready, available, and whose is it."""

from datetime import datetime, timedelta

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import Object, ReadOnlyObject, is_deleting
from roadstead.lib.clock import from_rfc3339

_OVER = frozenset({"Succeeded", "Failed"})


def phase(pod: ReadOnlyObject) -> str:
    """Return `status.phase`; a pod without a status is Pending."""
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_over(pod: ReadOnlyObject) -> bool:
    """Say whether all its containers have ended for good."""
    return phase(pod) in _OVER


def is_active(pod: ReadOnlyObject) -> bool:
    """Say whether it runs or will, and is not being deleted."""
    return not is_over(pod) and not is_deleting(pod)


def is_ready(pod: ReadOnlyObject) -> bool:
    """Say whether its Ready condition is true."""
    return is_true((pod.get("status") or {}).get("conditions"), "Ready")


def ready_since(pod: ReadOnlyObject) -> datetime | None:
    """Return when it became ready, or None if it is not."""
    ready = find_condition((pod.get("status") or {}).get("conditions"), "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    return from_rfc3339(ready.get("lastTransitionTime"))


def seconds_until_available(pod: ReadOnlyObject, min_ready_seconds: int, now: datetime) -> float | None:
    """Return 0 for an available pod, how long a ready one must stay ready yet, or None for one that is not ready."""
    if not is_ready(pod):
        return None
    if not min_ready_seconds:
        return 0.0
    since = ready_since(pod)
    if since is None:
        return float(min_ready_seconds)
    return max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds())


def is_available(pod: ReadOnlyObject, min_ready_seconds: int, now: datetime) -> bool:
    """Say whether it has been ready for long enough."""
    return seconds_until_available(pod, min_ready_seconds, now) == 0.0


def restarts(pod: ReadOnlyObject) -> int:
    """Return the highest restart count of its containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((status.get("restartCount") or 0 for status in statuses), default=0)


def pod_from_template(template: ReadOnlyObject, namespace: str, owner: Object, prefix: str) -> Object:
    """Return the pod to create from a controller's pod template; the server completes its name."""
    described = template.get("metadata") or {}
    metadata: Object = {"generateName": prefix, "namespace": namespace, "ownerReferences": [owner]}
    for field in ("labels", "annotations", "finalizers"):
        if described.get(field):
            metadata[field] = described[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}
