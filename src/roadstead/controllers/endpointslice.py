"""EndpointSlices: where the pods of a Service can be reached, and which of them are ready.

Kubernetes' staging/src/k8s.io/endpointslice. Names are derived from the Service and the ports instead of being
random, so that the same pods always give the same slices. Readers: the node's Services and DNS, the gateway.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from roadstead.api.objects import (
    Object,
    ReadOnlyObject,
    is_deleting,
    key_of,
    labels_of,
    metadata_of,
    owner_reference,
)
from roadstead.api.selectors import label_selector_of
from roadstead.controllers.actions import Action, Create, Delete, Patch
from roadstead.controllers.pods import is_over, is_ready
from roadstead.controllers.revisions import fnv1a, safe_encoded

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
_PER_SLICE = 100

Ports = tuple[tuple[str, str, int, str], ...]
"""`(name, protocol, port, appProtocol)` of each port that a pod serves."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Service, the pods of its namespace and the slices that bear its name."""

    service: ReadOnlyObject
    pods: Sequence[Object]
    slices: Sequence[Object]


def plan(observed: Observed) -> list[Action]:
    """Return what makes the slices of a Service agree with its pods."""
    service = observed.service
    spec = service.get("spec") or {}
    if not spec.get("selector") or spec.get("type") == "ExternalName" or is_deleting(service):
        return []
    wanted = {key_of(entry): entry for entry in wanted_slices(service, observed.pods)}
    ours = {key_of(entry): entry for entry in observed.slices if labels_of(entry).get(MANAGED_BY) == MANAGER}
    actions: list[Action] = []
    for key, slice_ in wanted.items():
        existing = ours.get(key)
        actions += [Create(slice_)] if existing is None else _update(existing, slice_)
    # Removal last: no moment in which a pod is in no slice.
    return [*actions, *(Delete(entry) for key, entry in ours.items() if key not in wanted and not is_deleting(entry))]


def wanted_slices(service: ReadOnlyObject, pods: Iterable[ReadOnlyObject]) -> list[Object]:
    """Return the slices that a Service should have: one set for each way in which its pods resolve the ports."""
    groups: dict[Ports, list[ReadOnlyObject]] = {}
    selector = label_selector_of(service["spec"]["selector"])
    for pod in pods:
        if selector.matches(labels_of(pod)) and _has_endpoint(pod):
            groups.setdefault(_ports_of(service, pod), []).append(pod)
    return [
        _slice(service, ports, number, members[start : start + _PER_SLICE])
        for ports, unsorted in (groups or {(): []}).items()
        for members in [sorted(unsorted, key=lambda pod: metadata_of(pod).get("name") or "")]
        for number, start in enumerate(range(0, max(len(members), 1), _PER_SLICE))
    ]


def _has_endpoint(pod: ReadOnlyObject) -> bool:
    return bool((pod.get("status") or {}).get("podIP")) and not is_over(pod)


def _ports_of(service: ReadOnlyObject, pod: ReadOnlyObject) -> Ports:
    resolved = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _target_port(port, protocol, pod)
        if number is not None:
            resolved.append((port.get("name") or "", protocol, number, port.get("appProtocol") or ""))
    return tuple(resolved)


def _target_port(port: Mapping[str, Any], protocol: str, pod: ReadOnlyObject) -> int | None:
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    if isinstance(target, str) and target.isdigit():
        return int(target)
    spec = pod.get("spec") or {}
    sidecars = [entry for entry in spec.get("initContainers") or () if entry.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for offered in container.get("ports") or ():
            if offered.get("name") == target and (offered.get("protocol") or "TCP") == protocol:
                return int(offered["containerPort"])
    return None


def _slice(service: ReadOnlyObject, ports: Ports, number: int, pods: Sequence[ReadOnlyObject]) -> Object:
    namespace, name = key_of(service)
    suffix = safe_encoded(f"{fnv1a(msgspec.json.encode((name, ports, number))):08x}"[-5:])
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{suffix}",
            "namespace": namespace,
            "labels": _labels(service),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in pods],
        "ports": [_port(*port) for port in ports] or None,
    }


def _labels(service: ReadOnlyObject) -> dict[str, str]:
    labels = {**labels_of(service), SERVICE_NAME: metadata_of(service)["name"], MANAGED_BY: MANAGER}
    labels.pop(HEADLESS, None)
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    return labels


def _port(name: str, protocol: str, number: int, app_protocol: str) -> Object:
    made: Object = {"name": name, "port": number, "protocol": protocol}
    return {**made, "appProtocol": app_protocol} if app_protocol else made


def _endpoint(service: ReadOnlyObject, pod: ReadOnlyObject) -> Object:
    serving, terminating = is_ready(pod), is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    spec, metadata = pod.get("spec") or {}, metadata_of(pod)
    made: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "name": metadata.get("name"),
            "namespace": metadata.get("namespace"),
            "uid": metadata.get("uid"),
        },
    }
    if spec.get("nodeName"):
        made["nodeName"] = spec["nodeName"]
    if spec.get("hostname") and spec.get("subdomain") == metadata_of(service).get("name"):
        made["hostname"] = spec["hostname"]
    return made


def _update(existing: Object, wanted: Object) -> list[Action]:
    patch: Object = {
        field: wanted[field] for field in ("endpoints", "ports") if (existing.get(field) or []) != (wanted[field] or [])
    }
    labels, current = labels_of(wanted), labels_of(existing)
    if labels != current:
        removed = dict.fromkeys(set(current) - set(labels))
        patch["metadata"] = {"labels": {**labels, **removed}}
    return [Patch(existing, patch)] if patch else []
