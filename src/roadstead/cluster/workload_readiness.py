"""Whether workloads are up: all that makes pods, and pods that somebody made by hand. Pure, for `readiness`.

A status alone does not do: after a restart of the cluster it may still tell of pods that have ended, so pods are asked,
too. A Job is up when it has completed, since others wait for what it does; a CronJob is nothing to wait for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import Object, annotations_of, controller_of, key_of, labels_of
from roadstead.api.selectors import pod_selector_of
from roadstead.cluster.standing import Standing
from roadstead.node.pod_spec import MIRROR_ANNOTATION

# A pod that waits for one of these will not come up by waiting longer.
_FATAL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff",
          "CreateContainerError", "RunContainerError"}  # fmt: skip


class _Count(NamedTuple):
    """How many pods a workload is to have, how many its status calls ready, and whether all are as they should be."""

    wanted: int
    ready: int
    is_updated: bool


def workload_standings(objects: Mapping[str, Iterable[Object]]) -> list[Standing]:
    """Judge every workload; `objects` maps a kind to all its objects, `Pod` among them.

    What another workload controls, as a Deployment its ReplicaSets, is judged with that; the node's own pods are not.
    """
    pods = list(objects.get("Pod", ()))
    judged = []
    for kind, count in _COUNTS.items():
        judged += [
            _replicated(kind, one, count(one), pods) for one in objects.get(kind, ()) if controller_of(one) is None
        ]
    judged += [_job(job, pods) for job in objects.get("Job", ()) if controller_of(job) is None]
    judged += [_pod(pod) for pod in pods if controller_of(pod) is None and MIRROR_ANNOTATION not in annotations_of(pod)]
    return judged


# --- how many


def _replicas(workload: Object) -> int:
    return int((workload.get("spec") or {}).get("replicas", 1))


def _status_count(workload: Object, field: str) -> int:
    return (workload.get("status") or {}).get(field) or 0


def _of_deployment(deployment: Object) -> _Count:
    wanted = _replicas(deployment)
    updated = _status_count(deployment, "updatedReplicas") == wanted
    return _Count(wanted, _status_count(deployment, "readyReplicas"), updated)


def _of_stateful_set(stateful: Object) -> _Count:
    wanted, strategy = _replicas(stateful), (stateful.get("spec") or {}).get("updateStrategy") or {}
    kept = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    updated = strategy.get("type") == "OnDelete" or _status_count(stateful, "updatedReplicas") >= wanted - kept
    return _Count(wanted, _status_count(stateful, "readyReplicas"), updated)


def _of_daemon_set(daemon: Object) -> _Count:
    wanted, strategy = _status_count(daemon, "desiredNumberScheduled"), (daemon.get("spec") or {}).get("updateStrategy")
    updated = (strategy or {}).get("type") == "OnDelete" or _status_count(daemon, "updatedNumberScheduled") == wanted
    return _Count(wanted, _status_count(daemon, "numberReady"), updated)


def _of_replica_set(replicas: Object) -> _Count:
    return _Count(_replicas(replicas), _status_count(replicas, "readyReplicas"), is_updated=True)


_COUNTS: Mapping[str, Callable[[Object], _Count]] = {
    "Deployment": _of_deployment,
    "StatefulSet": _of_stateful_set,
    "DaemonSet": _of_daemon_set,
    "ReplicaSet": _of_replica_set,
    "ReplicationController": _of_replica_set,
}


WORKLOADS = (*_COUNTS, "Job", "Pod")


# --- how they stand


def _replicated(kind: str, workload: Object, count: _Count, pods: Iterable[Object]) -> Standing:
    key, status = key_of(workload), workload.get("status") or {}
    own = list(_pods_of(workload, pods))
    ready = min(count.ready, sum(map(_is_ready, own)))
    current = status.get("observedGeneration") == workload["metadata"].get("generation")
    told = f"{ready}/{count.wanted} ready"
    if current and count.is_updated and ready == count.wanted:
        return Standing(kind, key, "ready", told)
    failure = find_condition(status.get("conditions"), "ReplicaFailure")
    if not any(map(_problems, own)) and failure is not None and failure["status"] == "True":
        return Standing(kind, key, "failed", failure.get("message", ""))
    return _waiting(kind, workload, own, told)


def _waiting(kind: str, workload: Object, own: Iterable[Object], told: str) -> Standing:
    """Return what a workload waits for: what keeps its pods, or else `told`."""
    problems = [problem for pod in own for problem in _problems(pod)]
    if not problems:
        return Standing(kind, key_of(workload), "waiting", told)
    fatal = any(is_fatal for is_fatal, _ in problems)
    return Standing(kind, key_of(workload), "failed" if fatal else "waiting", problems[0][1])


def _job(job: Object, pods: Iterable[Object]) -> Standing:
    key, status = key_of(job), job.get("status") or {}
    conditions = status.get("conditions")
    if is_true(conditions, "Complete"):
        return Standing("Job", key, "ready", "completed")
    failed = find_condition(conditions, "Failed")
    if failed is not None and failed["status"] == "True":
        return Standing("Job", key, "failed", failed.get("message") or failed.get("reason") or "failed")
    if (job.get("spec") or {}).get("suspend"):
        return Standing("Job", key, "ready", "suspended")
    told = f"{status.get('succeeded') or 0}/{(job.get('spec') or {}).get('completions') or 1} completed"
    return _waiting("Job", job, _pods_of(job, pods), told)


def _pod(pod: Object) -> Standing:
    key, status = key_of(pod), pod.get("status") or {}
    phase = status.get("phase") or "Pending"
    if phase == "Failed":
        return Standing("Pod", key, "failed", status.get("message") or status.get("reason") or "a container failed")
    if phase == "Succeeded" or _is_ready(pod):
        return Standing("Pod", key, "ready", "completed" if phase == "Succeeded" else "ready")
    return _waiting("Pod", pod, [pod], "not ready" if phase == "Running" else phase.lower())


def _pods_of(workload: Object, pods: Iterable[Object]) -> Iterator[Object]:
    namespace = key_of(workload).namespace
    selector = pod_selector_of(workload)
    for pod in pods:
        if key_of(pod).namespace == namespace and controller_of(pod) and selector.matches(labels_of(pod)):
            yield pod


def _is_ready(pod: Object) -> bool:
    return is_true((pod.get("status") or {}).get("conditions"), "Ready")


def _problems(pod: Object) -> list[tuple[bool, str]]:
    """Return what keeps a pod from running, and of each whether it is no use to wait longer."""
    status, found = pod.get("status") or {}, []
    scheduled = find_condition(status.get("conditions"), "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        found.append((False, f"pod {key_of(pod).name}: {scheduled.get('message') or scheduled.get('reason', '')}"))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("message"):
            reason = waiting.get("reason", "")
            found.append((reason in _FATAL, f"pod {key_of(pod).name}: {reason}: {waiting['message']}"))
    return found
