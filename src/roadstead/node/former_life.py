"""What the store says of pods whose node has ended: that they run and are ready, though their processes are gone.

The agent would say so itself as it takes them on, one after the other. Until then everybody who asks would be told
that all is well, so it is put right before the cluster is announced. What is written is what the agent's first report
would be.
"""

import time

import structlog

from roadstead.api.conditions import is_true
from roadstead.api.errors import ApiError
from roadstead.api.objects import Object, ReadOnlyObject, annotations_of, key_of, metadata_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.node.pod_spec import MIRROR_ANNOTATION
from roadstead.node.pod_status import pod_status
from roadstead.node.records import new_record

_log = structlog.get_logger(__name__)
_POD = resource("Pod")


def status_after_end(pod: ReadOnlyObject, now: float) -> Object | None:
    """Return the status of a pod whose node has ended since it was written; None if it claims nothing untrue.

    `now` is in seconds since the epoch. Mirrors are left to who makes them.
    """
    if MIRROR_ANNOTATION in annotations_of(pod) or not is_true((pod.get("status") or {}).get("conditions"), "Ready"):
        return None
    return {"podIP": None, "podIPs": None, **pod_status(pod, new_record(pod, now), now)}


async def report_ended(client: ApiClient, node: str) -> None:
    """Report every pod of a node that starts as what it is: not ready yet. A report that fails is logged."""
    for pod in await client.list(_POD, field_selector=f"spec.nodeName={node}"):
        await _report(client, pod)


async def _report(client: ApiClient, pod: Object) -> None:
    status, key = status_after_end(pod, time.time()), key_of(pod)
    if status is None:
        return
    patch = {"metadata": {"uid": metadata_of(pod).get("uid")}, "status": status}
    try:
        await client.patch(_POD, key.name, key.namespace, patch, subresource="status")
    except ApiError as error:
        _log.warning("the status of a pod that has ended is not written", pod=str(key), error=error.message)
