"""Whether what was applied is up, and if not, which object, why, and what to do: the content of `up`'s screen.

Pure: the objects of the cluster in, one `Standing` per workload, gateway and route out. The reasons are the
conditions and container states that the parts wrote; nothing is judged twice here.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import Object, ObjectKey, controller_of, key_of, labels_of
from roadstead.api.selectors import label_selector_from

State = Literal["ready", "waiting", "failed"]
# A pod that waits for one of these will not come up by waiting longer.
_FATAL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff",
          "CreateContainerError", "RunContainerError"}  # fmt: skip

# Reasons of conditions that are False only until somebody else has done their part.
_PASSING = {"Pending", "AddressNotAssigned"}


ROUTES = ("GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute")


class Standing(NamedTuple):
    """How one object stands; `message` says what it waits for or why it failed."""

    kind: str
    key: ObjectKey
    state: State
    message: str


def standings(objects: Mapping[str, Iterable[Object]]) -> list[Standing]:
    """Judge Deployments, Gateways, routes and Ingresses.

    `objects` maps a kind to all its objects. A Deployment is ready if its status and its pods (`Pod`) say so: after a
    restart of the cluster a status may still tell of pods that have ended.
    """
    pods = list(objects.get("Pod", ()))
    judged = [_deployment(deployment, pods) for deployment in objects.get("Deployment", ())]
    judged += [_gateway(gateway) for gateway in objects.get("Gateway", ())]
    for kind in ROUTES:
        judged += [_route(kind, route) for route in objects.get(kind, ())]
    judged += [_ingress(ingress) for ingress in objects.get("Ingress", ())]
    return judged


def _deployment(deployment: Object, pods: Iterable[Object]) -> Standing:
    key, status = key_of(deployment), deployment.get("status") or {}
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    own = list(_pods_of(deployment, pods))
    ready = min(status.get("readyReplicas") or 0, sum(map(_is_ready, own)))
    current = status.get("observedGeneration") == deployment["metadata"].get("generation")
    count = f"{ready}/{wanted} ready"
    if current and ready == wanted and (status.get("updatedReplicas") or 0) == wanted:
        return Standing("Deployment", key, "ready", count)
    problems = [problem for pod in own for problem in _container_problems(pod)]
    if problems:
        fatal = any(is_fatal for is_fatal, _ in problems)
        return Standing("Deployment", key, "failed" if fatal else "waiting", problems[0][1])
    failure = find_condition(status.get("conditions"), "ReplicaFailure")
    if failure is not None and failure["status"] == "True":
        return Standing("Deployment", key, "failed", failure.get("message", ""))
    return Standing("Deployment", key, "waiting", count)


def _pods_of(deployment: Object, pods: Iterable[Object]) -> Iterator[Object]:
    selector = label_selector_from(deployment["spec"].get("selector"))
    namespace = key_of(deployment).namespace
    for pod in pods:
        if key_of(pod).namespace == namespace and controller_of(pod) and selector.matches(labels_of(pod)):
            yield pod


def _is_ready(pod: Object) -> bool:
    return is_true((pod.get("status") or {}).get("conditions"), "Ready")


def _container_problems(pod: Object) -> Iterator[tuple[bool, str]]:
    status = pod.get("status") or {}
    scheduled = find_condition(status.get("conditions"), "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        yield False, f"pod {key_of(pod).name}: {scheduled.get('message') or scheduled.get('reason', '')}"
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("message"):
            reason = waiting.get("reason", "")
            yield reason in _FATAL, f"pod {key_of(pod).name}: {reason}: {waiting['message']}"


def _gateway(gateway: Object) -> Standing:
    key, status = key_of(gateway), gateway.get("status") or {}
    broken = [
        f"listener {listener['name']}: {entry.get('message') or entry['reason']}"
        for listener in status.get("listeners") or ()
        for entry in listener.get("conditions") or ()
        if entry["type"] in ("Accepted", "ResolvedRefs") and entry["status"] == "False"
    ]
    if broken:
        return Standing("Gateway", key, "failed", "; ".join(broken))
    if is_true(status.get("conditions"), "Programmed"):
        addresses = ", ".join(address["value"] for address in status.get("addresses") or ())
        return Standing("Gateway", key, "ready", addresses)
    return _unfulfilled("Gateway", key, status.get("conditions"), ("Accepted", "Programmed"))


def _route(kind: str, route: Object) -> Standing:
    key = key_of(route)
    parents = (route.get("status") or {}).get("parents") or ()
    if not parents:
        return Standing(kind, key, "waiting", "no Gateway has answered for it")
    for parent in parents:
        standing = _unfulfilled(kind, key, parent.get("conditions"), ("Accepted", "ResolvedRefs"))
        if standing.state != "ready":
            return standing
    return Standing(kind, key, "ready", "accepted")


def _unfulfilled(kind: str, key: ObjectKey, conditions: Iterable[Object] | None, wanted: Iterable[str]) -> Standing:
    listed = list(conditions or ())
    for type_ in wanted:
        found = find_condition(listed, type_)
        if found is None or found["status"] == "Unknown":
            return Standing(kind, key, "waiting", (found or {}).get("message") or f"waiting for {type_}")
        if found["status"] == "False":
            message = found.get("message") or found["reason"]
            return Standing(kind, key, "waiting" if found["reason"] in _PASSING else "failed", message)
    return Standing(kind, key, "ready", "")


def _ingress(ingress: Object) -> Standing:
    balancer = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = ", ".join(entry.get("ip") or entry.get("hostname", "") for entry in balancer)
    if addresses:
        return Standing("Ingress", key_of(ingress), "ready", addresses)
    return Standing("Ingress", key_of(ingress), "waiting", "no address yet")
