"""What pods need and what selects them: images, Secrets and ConfigMaps, Services, fields without effect here."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from roadstead.api.objects import ObjectKey
from roadstead.api.selectors import label_selector_of
from roadstead.cluster.checks.finding import Checked, Finding
from roadstead.node.images import Installation, UnknownImage, resolve_image
from roadstead.node.policy.problems import problems
from roadstead.node.project import Project
from roadstead.node.unsupported import without_effect

_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
_MADE_BY_THE_CLUSTER = {("ConfigMap", "kube-root-ca.crt")}


class Template(NamedTuple):
    """A pod as an object of the manifests describes it; `path` leads to it within that object."""

    owner: Checked
    path: str
    content: Mapping[str, Any]

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of such pods."""
        return (self.content.get("metadata") or {}).get("labels") or {}

    def volumes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield each volume with its path."""
        for number, volume in enumerate((self.content.get("spec") or {}).get("volumes") or ()):
            yield f"{self.path}spec.volumes[{number}]", volume

    def containers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield each container with its path."""
        for field in ("initContainers", "containers"):
            for number, container in enumerate((self.content.get("spec") or {}).get(field) or ()):
                yield f"{self.path}spec.{field}[{number}]", container


def templates(objects: Iterable[Checked]) -> list[Template]:
    """Return the pods that these objects describe."""
    found = []
    for one in objects:
        steps = _TEMPLATES.get(one.kind)
        if steps is not None:
            content: Mapping[str, Any] = one.object
            for step in steps:
                content = content.get(step) or {}
            found.append(Template(one, "".join(f"{step}." for step in steps), content))
    return found


def check_images(pods: Iterable[Template], project: Project, here: Installation) -> Iterator[Finding]:
    """Yield the images of which nobody says what they run."""
    for pod in pods:
        for path, container in pod.containers():
            answer = resolve_image(container.get("image") or "", project, here)
            if isinstance(answer, UnknownImage):
                # The advice is a piece of roadstead.toml; its first line, the table's header, is enough here.
                yield pod.owner.finding(f"{path}.image", " ".join(answer.message.splitlines()[:2]))


def check_fields(pods: Iterable[Template]) -> Iterator[Finding]:
    """Yield the fields of pods that have no effect on a node of ours."""
    for pod in pods:
        for sentence in without_effect(pod.content, isolated=True):
            path, _, message = sentence.partition(": ")
            yield pod.owner.finding(pod.path + path, message, "warning")


def check_references(
    pods: Iterable[Template], there: Mapping[tuple[str, ObjectKey], Collection[str]]
) -> Iterator[Finding]:
    """Yield the Secrets and ConfigMaps, and the keys in them, that pods need and that are not there.

    `there` maps kind and name to the keys.
    """
    for pod in pods:
        for path, kind, name, key in _needed(pod):
            where = ObjectKey(pod.owner.key.namespace, name)
            keys = there.get((kind, where))
            if keys is None and (kind, name) not in _MADE_BY_THE_CLUSTER:
                yield pod.owner.finding(path, f"there is no {kind} {where} among the manifests; the pod will not start")
            elif keys is not None and key and key not in keys:
                known = ", ".join(sorted(keys)) or "none"
                yield pod.owner.finding(path, f"{kind} {where} has no key {key}; it has {known}")


def _needed(pod: Template) -> Iterator[tuple[str, str, str, str]]:
    """Yield path, kind, name and key (`""`: any) of what a pod does not start without."""
    for path, volume in pod.volumes():
        for field, kind, name in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
            yield from _one(f"{path}.{field}", kind, volume.get(field), name)
    for path, container in pod.containers():
        for number, entry in enumerate(container.get("envFrom") or ()):
            for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                yield from _one(f"{path}.envFrom[{number}].{field}", kind, entry.get(field))
        for number, entry in enumerate(container.get("env") or ()):
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                reference = (entry.get("valueFrom") or {}).get(field)
                yield from _one(f"{path}.env[{number}].valueFrom.{field}", kind, reference)


def _one(
    path: str, kind: str, reference: Mapping[str, Any] | None, name: str = "name"
) -> Iterator[tuple[str, str, str, str]]:
    if reference and reference.get(name) and not reference.get("optional"):
        yield path, kind, reference[name], reference.get("key") or ""


def check_services(objects: Iterable[Checked], pods: Iterable[Template]) -> Iterator[Finding]:
    """Yield the Services that will have no endpoints: nothing carries their labels, or has the port that they name."""
    described = list(pods)
    for service in objects:
        spec = service.object.get("spec") or {}
        selector = spec.get("selector")
        if service.kind != "Service" or not selector:
            continue
        selected = [pod for pod in described if _selects(service, selector, pod)]
        if not selected:
            wanted = ", ".join(f"{name}={value}" for name, value in selector.items())
            yield service.finding("spec.selector", f"no pod of the manifests has the labels {wanted}", "warning")
            continue
        yield from _missing_ports(service, spec, selected)


def _selects(service: Checked, selector: Mapping[str, str], pod: Template) -> bool:
    return pod.owner.key.namespace == service.key.namespace and label_selector_of(selector).matches(pod.labels)


def _missing_ports(service: Checked, spec: Mapping[str, Any], selected: Iterable[Template]) -> Iterator[Finding]:
    named = {
        port.get("name")
        for pod in selected
        for _, container in pod.containers()
        for port in container.get("ports") or ()
    }
    for number, port in enumerate(spec.get("ports") or ()):
        target = port.get("targetPort")
        if isinstance(target, str) and target not in named:
            known = ", ".join(sorted(filter(None, named))) or "none"
            message = f"no container that it selects has a port named {target}; there are: {known}"
            yield service.finding(f"spec.ports[{number}].targetPort", message)


def check_policies(objects: Iterable[Checked]) -> Iterator[Finding]:
    """Yield the fields of NetworkPolicies that have no effect."""
    for one in objects:
        if one.kind == "NetworkPolicy":
            for sentence in problems(one.object):
                path, _, message = sentence.partition(": ")
                yield one.finding(path, message, "warning")
