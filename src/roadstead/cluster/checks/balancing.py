"""Do all calls end up in one pod? A Service balances connections, and gRPC sends all calls of a client over one.

So a client that is given the address of such a Service keeps to one of its pods, and new pods have nothing to do. What
balances calls is a Gateway, a mesh, or a client that knows the pods: by a headless Service or by xDS.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from roadstead.api.objects import ObjectKey, annotations_of, labels_of
from roadstead.api.selectors import label_selector_of
from roadstead.cluster.checks.finding import Checked, Finding
from roadstead.cluster.checks.workloads import Template

_ADDRESS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*:/{0,3})?(?<![\w.@-])"
    r"(?P<name>[a-z0-9-]+)(?:\.(?P<namespace>[a-z0-9-]+)(?:\.svc(?:\.[a-z0-9.-]+?)?)?)?\.?:(?P<port>\d{1,5})(?!\d)"
)
_GRPC_PROTOCOLS = {"grpc", "kubernetes.io/h2c"}
_SCALED = ("Deployment", "StatefulSet", "ReplicaSet")
# Where these stand, on a pod or its namespace, a proxy beside each pod balances its calls.
_MESH = {
    ("istio-injection", "enabled"),
    ("istio.io/dataplane-mode", "ambient"),
    ("linkerd.io/inject", "enabled"),
    ("sidecar.istio.io/inject", "true"),
}


class _Balanced(NamedTuple):
    """A Service with one address for several pods, and its ports for gRPC."""

    key: ObjectKey
    pods: int
    ports: frozenset[int]


def check_balancing(objects: Iterable[Checked], pods: Iterable[Template]) -> Iterator[Finding]:
    """Yield where a client of gRPC is given an address behind which only connections are balanced."""
    listed, described = list(objects), list(pods)
    services = {service.key: service for service in _balanced(listed, described)}
    namespaces = {one.key.name: one for one in listed if one.kind == "Namespace"}
    for owner, path, text in _texts(listed, described, namespaces):
        for service in _named(text, owner.key.namespace, services):
            message = (
                f"Service {service.key} balances connections among {service.pods} pods, and gRPC keeps one connection: "
                "one pod gets all of this client's calls. Call it through a Gateway, or name a headless Service "
                "(clusterIP: None) and have the client balance (round_robin)"
            )
            yield owner.finding(path, message, "warning")


# --- Services


def _balanced(objects: Iterable[Checked], pods: list[Template]) -> Iterator[_Balanced]:
    listed = list(objects)
    for service in listed:
        spec = service.object.get("spec") or {}
        selector = spec.get("selector")
        if service.kind != "Service" or not selector or spec.get("clusterIP") == "None":
            continue
        matcher = label_selector_of(selector)
        selected = [
            pod for pod in pods if pod.owner.key.namespace == service.key.namespace and matcher.matches(pod.labels)
        ]
        number = sum(_replicas(pod.owner, listed) for pod in selected)
        ports = {port["port"] for port in spec.get("ports") or () if _is_grpc(port, service.key, selected, listed)}
        if number > 1 and ports:
            yield _Balanced(service.key, number, frozenset(ports))


def _replicas(owner: Checked, objects: Iterable[Checked]) -> int:
    """Return how many pods an owner has, at most if it is scaled for it."""
    if owner.kind not in _SCALED:
        return 1
    stated = (owner.object.get("spec") or {}).get("replicas", 1)
    scaled = [
        (one.object.get("spec") or {}).get("maxReplicas") or 0
        for one in objects
        if one.kind == "HorizontalPodAutoscaler" and _is_about(one, owner)
    ]
    return max(stated, *scaled) if scaled else int(stated)


def _is_about(autoscaler: Checked, owner: Checked) -> bool:
    target = (autoscaler.object.get("spec") or {}).get("scaleTargetRef") or {}
    named = target.get("kind"), target.get("name")
    return autoscaler.key.namespace == owner.key.namespace and named == (owner.kind, owner.key.name)


def _is_grpc(port: Mapping[str, Any], service: ObjectKey, pods: Iterable[Template], objects: Iterable[Checked]) -> bool:
    name = port.get("name") or ""
    if port.get("appProtocol") is not None:
        return port["appProtocol"] in _GRPC_PROTOCOLS
    if name == "grpc" or (name.startswith("grpc-") and not name.startswith("grpc-web")):
        return True
    probed = any(_probes(container, port.get("targetPort")) for pod in pods for _, container in pod.containers())
    return probed or any(_routes_to(route, service, port["port"]) for route in objects if route.kind == "GRPCRoute")


def _probes(container: Mapping[str, Any], target: Any) -> bool:
    """Say whether a container is asked for its health by gRPC at the port that the Service has in mind."""
    named = {port.get("name"): port.get("containerPort") for port in container.get("ports") or ()}
    number = named.get(target, target)
    probes = (container.get(f"{moment}Probe") or {} for moment in ("readiness", "liveness", "startup"))
    return any((probe.get("grpc") or {}).get("port") == number for probe in probes if number is not None)


def _routes_to(route: Checked, service: ObjectKey, port: int) -> bool:
    rules = (route.object.get("spec") or {}).get("rules") or ()
    references = [reference for rule in rules for reference in rule.get("backendRefs") or ()]
    return any(
        (reference.get("kind") or "Service") == "Service"
        and (reference.get("namespace") or route.key.namespace, reference.get("name")) == service
        and reference.get("port") == port
        for reference in references
    )


# --- clients


def _texts(
    objects: Iterable[Checked], pods: Iterable[Template], namespaces: Mapping[str, Checked]
) -> Iterator[tuple[Checked, str, str]]:
    """Yield every text in which a client may be told an address, with its place."""
    for pod in pods:
        if _is_in_mesh(pod, namespaces):
            continue
        for path, container in pod.containers():
            for field in ("command", "args"):
                for number, word in enumerate(container.get(field) or ()):
                    yield pod.owner, f"{path}.{field}[{number}]", word
            for number, entry in enumerate(container.get("env") or ()):
                yield pod.owner, f"{path}.env[{number}].value", entry.get("value") or ""
    for one in objects:
        if one.kind == "ConfigMap" and not _has_mesh(namespaces.get(one.key.namespace)):
            for key, text in (one.object.get("data") or {}).items():
                yield one, f"data.{key}", text


def _is_in_mesh(pod: Template, namespaces: Mapping[str, Checked]) -> bool:
    metadata = pod.content.get("metadata") or {}
    said = {*(metadata.get("labels") or {}).items(), *(metadata.get("annotations") or {}).items()}
    return bool(said & _MESH) or _has_mesh(namespaces.get(pod.owner.key.namespace))


def _has_mesh(namespace: Checked | None) -> bool:
    if namespace is None:
        return False
    labels = labels_of(namespace.object)
    return "istio.io/rev" in labels or bool({*labels.items(), *annotations_of(namespace.object).items()} & _MESH)


def _named(text: str, namespace: str, services: Mapping[ObjectKey, _Balanced]) -> Iterator[_Balanced]:
    """Yield each of the Services once that a text names with a port for gRPC; `xds:` targets are balanced by calls."""
    found = {}
    for match in _ADDRESS.finditer(text) if services else ():
        service = services.get(ObjectKey(match["namespace"] or namespace, match["name"]))
        if (
            service is not None
            and int(match["port"]) in service.ports
            and not (match["scheme"] or "").startswith("xds")
        ):
            found[service.key] = service
    yield from found.values()
