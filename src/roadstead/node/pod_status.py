"""What the API server is told of a pod: phase, conditions and the state of each container. Pure.

Phases, conditions and reasons are the kubelet's (pkg/kubelet: kubelet_pods.go, getPhase; status/generate.go).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from roadstead.api.conditions import condition, is_true, merge_conditions
from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.node.container_resources import quality_of_service
from roadstead.node.plan import is_complete
from roadstead.node.records import ContainerRecord, PodRecord, Role, State, Termination, containers_of
from roadstead.node.times import timestamp


def pod_status(pod: ReadOnlyObject, record: PodRecord, now: float) -> Object:
    """Return the pod's whole status; conditions of other components are kept."""
    phase = phase_of(pod, record)
    current = (pod.get("status") or {}).get("conditions") or ()
    status: Object = {
        "phase": phase,
        "conditions": merge_conditions(current, _conditions(pod, record, phase), timestamp(now)),
        "startTime": timestamp(record.accepted_at),
        "qosClass": (pod.get("status") or {}).get("qosClass") or quality_of_service(pod),
        "observedGeneration": metadata_of(pod).get("generation") or 1,
    }
    if record.host_address:
        status |= {"hostIP": record.host_address, "hostIPs": [{"ip": record.host_address}]}
    if record.address:
        status |= {"podIP": record.address, "podIPs": [{"ip": record.address}]}
    if record.failure is not None:
        status["reason"], status["message"] = record.failure
    manifests = containers_of(pod)
    for field, roles in _LISTED.items():
        listed = [_container(manifests.get(one.name, {}), one, record) for one in record.of_role(*roles)]
        if listed:
            status[field] = listed
    return status


_LISTED = {
    "initContainerStatuses": (Role.INIT, Role.SIDECAR),
    "containerStatuses": (Role.MAIN,),
    "ephemeralContainerStatuses": (Role.EPHEMERAL,),
}


def phase_of(pod: ReadOnlyObject, record: PodRecord) -> str:
    """Return Pending, Running, Succeeded or Failed."""
    if record.failure is not None:
        return "Failed"
    mains = list(record.of_role(Role.MAIN))
    if is_complete(pod, record) and not any(main.running for main in mains):
        everything = [*mains, *record.of_role(Role.INIT)]
        return "Failed" if any(one.failed for one in everything) else "Succeeded"
    if any(_blocks(init) for init in record.of_role(Role.INIT, Role.SIDECAR)) and not any(map(_ever_ran, mains)):
        return "Pending"
    return "Running" if all(map(_ever_ran, mains)) else "Pending"


def _blocks(container: ContainerRecord) -> bool:
    return not (container.started if container.role is Role.SIDECAR else container.succeeded)


def _ever_ran(container: ContainerRecord) -> bool:
    return container.state is not State.WAITING or container.last is not None


def _conditions(pod: ReadOnlyObject, record: PodRecord, phase: str) -> list[Object]:
    scheduled = {"type": "PodScheduled", "status": "True"}
    return [
        {"type": "PodReadyToStartContainers", "status": str(record.sandbox)},
        _initialized(record, phase),
        *_ready(pod, record, phase),
        scheduled,
    ]


def _initialized(record: PodRecord, phase: str) -> Object:
    if phase == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    waiting = [one.name for one in record.of_role(Role.INIT, Role.SIDECAR) if _blocks(one)]
    if waiting and not any(map(_ever_ran, record.of_role(Role.MAIN))):
        message = f"containers with incomplete status: [{' '.join(waiting)}]"
        return condition("Initialized", False, "ContainersNotInitialized", message)
    return {"type": "Initialized", "status": "True"}


def _ready(pod: ReadOnlyObject, record: PodRecord, phase: str) -> Iterable[Object]:
    """Yield the conditions Ready and ContainersReady."""
    if phase in ("Succeeded", "Failed"):
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        for kind in ("Ready", "ContainersReady"):
            yield {"type": kind, "status": "False", "reason": reason}
        return
    unready = [one.name for one in record.of_role(Role.MAIN, Role.SIDECAR) if not one.ready]
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        for kind in ("Ready", "ContainersReady"):
            yield condition(kind, False, "ContainersNotReady", message)
        return
    yield _gates(pod)
    yield {"type": "ContainersReady", "status": "True"}


def _gates(pod: ReadOnlyObject) -> Object:
    gates = [gate.get("conditionType") or "" for gate in (pod.get("spec") or {}).get("readinessGates") or ()]
    current = (pod.get("status") or {}).get("conditions")
    shut = [gate for gate in gates if not is_true(current, gate)]
    if shut:
        message = "; ".join(f'the status of pod readiness gate "{gate}" is not "True"' for gate in shut)
        return condition("Ready", False, "ReadinessGatesNotReady", message)
    return {"type": "Ready", "status": "True"}


def _container(manifest: Mapping[str, Any], container: ContainerRecord, record: PodRecord) -> Object:
    state, last = _states(container)
    status: Object = {
        "name": container.name,
        "image": manifest.get("image") or "",
        "imageID": container.image_id,
        "state": state,
        "lastState": {"terminated": _terminated(last, record, container.name)} if last else {},
        "ready": _is_ready(container),
        "restartCount": container.restarts,
        "started": container.started,
    }
    if container.running or container.termination is not None:
        status["containerID"] = _container_id(record, container.name)
    return status


def _is_ready(container: ContainerRecord) -> bool:
    if container.role is Role.INIT:
        return container.ready or container.succeeded
    return container.ready and container.role is not Role.EPHEMERAL


def _container_id(record: PodRecord, name: str) -> str:
    return f"roadstead://{record.uid}/{name}"


def _states(container: ContainerRecord) -> tuple[Object, Termination | None]:
    if container.running:
        return {"running": {"startedAt": timestamp(container.started_at)}}, container.last
    ended = container.termination
    if container.state is State.TERMINATED and ended is not None and not container.reason:
        return {"terminated": _terminated(ended, None, container.name)}, container.last
    waiting = {"reason": container.reason}
    if container.message:
        waiting["message"] = container.message
    return {"waiting": waiting}, ended or container.last


def _terminated(ended: Termination, record: PodRecord | None, name: str) -> Object:
    told: Object = {
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": timestamp(ended.started_at),
        "finishedAt": timestamp(ended.finished_at),
    }
    if ended.signal:
        told["signal"] = ended.signal
    if ended.message:
        told["message"] = ended.message
    if record is not None:
        told["containerID"] = _container_id(record, name)
    return told
