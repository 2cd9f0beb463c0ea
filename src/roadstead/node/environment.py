"""A container's environment: what the manifest says, resolved as the kubelet resolves it. Pure.

The order is the kubelet's (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables): the image's variables, those of
Services, `envFrom`, then `env`, where `$(NAME)` stands for what was defined before. Next: `volumes`.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject, annotations_of, key_of, labels_of, metadata_of
from roadstead.node.container_resources import container_resource

Lookup = Callable[[str, str], ReadOnlyObject | None]
"""Finds a `ConfigMap` or `Secret` (the kind) by name in the pod's namespace."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^()\s]*)\))")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


class ReferenceProblem(Exception):
    """Something that a pod refers to is not there; the message names it, the pod waits for it."""


def environment(
    container: ReadOnlyObject,
    pod: ReadOnlyObject,
    lookup: Lookup,
    services: Mapping[str, str],
    image: Mapping[str, str],
) -> dict[str, str]:
    """Return the variables of a container.

    `services` are the variables that tell of Services (see `service_variables`); the pod's `status` must carry its
    addresses. Raises ReferenceProblem for a ConfigMap, Secret, key or field that is not there and not optional.
    """
    variables = {**image, **services}
    for source in container.get("envFrom") or ():
        variables.update(_from_source(source, lookup))
    for entry in container.get("env") or ():
        value = _value(entry, container, pod, lookup, variables)
        if value is not None:
            variables[entry["name"]] = value
    return variables


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; unknown names stay, and `$$` is a dollar sign (third_party/forked/expansion)."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def command_of(container: ReadOnlyObject, image_command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return the words to execute: `command` replaces the image's, `args` follow it, as Kubernetes has it.

    With `args` alone the image's command stays in front of them.
    """
    command = container.get("command") or image_command
    return [expand(word, variables) for word in [*command, *(container.get("args") or ())]]


def _from_source(source: ReadOnlyObject, lookup: Lookup) -> dict[str, str]:
    for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        reference = source.get(field)
        if reference:
            content = referenced_content(kind, reference, lookup)
            prefix = source.get("prefix") or ""
            texts = {prefix + key: value.decode(errors="replace") for key, value in content.items()}
            return {key: value for key, value in texts.items() if _VARIABLE.fullmatch(key)}
    return {}


def _value(
    entry: ReadOnlyObject,
    container: ReadOnlyObject,
    pod: ReadOnlyObject,
    lookup: Lookup,
    variables: Mapping[str, str],
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value") or "", variables)
    if reference := source.get("fieldRef"):
        return field_value(reference.get("fieldPath") or "", pod)
    if reference := source.get("resourceFieldRef"):
        return container_resource(reference, container)
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if reference := source.get(field):
            return _keyed_value(kind, reference, lookup)
    return ""


def _keyed_value(kind: str, reference: ReadOnlyObject, lookup: Lookup) -> str | None:
    key = reference.get("key") or ""
    content = referenced_content(kind, reference, lookup)
    if key in content:
        return content[key].decode(errors="replace")
    if reference.get("optional"):
        return None
    raise ReferenceProblem(f'couldn\'t find key {key} in {kind} "{reference.get("name")}"')


def referenced_content(kind: str, reference: ReadOnlyObject, lookup: Lookup) -> dict[str, bytes]:
    """Return what a ConfigMap or Secret holds; `{}` for an optional one that is not there.

    Raises ReferenceProblem, worded as the kubelet words it.
    """
    name = reference.get("name") or reference.get("secretName") or ""
    found = lookup(kind, name)
    if found is not None:
        return content_of(found)
    if reference.get("optional"):
        return {}
    raise ReferenceProblem(f'{kind.lower()} "{name}" not found')


def content_of(obj: ReadOnlyObject) -> dict[str, bytes]:
    """Return the keys and bytes of a ConfigMap or Secret; what is not base64 counts as empty."""
    if obj.get("kind") == "Secret":
        return {key: _decoded(value) for key, value in (obj.get("data") or {}).items()}
    texts = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    return texts | {key: _decoded(value) for key, value in (obj.get("binaryData") or {}).items()}


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value or "")
    except (ValueError, TypeError):
        return b""


def field_value(path: str, pod: ReadOnlyObject) -> str:
    """Return a field of the pod as the downward API gives it. Raises ReferenceProblem for a path that it lacks."""
    if keyed := _KEYED_FIELD.fullmatch(path):
        return str((labels_of(pod) if keyed[1] == "labels" else annotations_of(pod)).get(keyed[2], ""))
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    fields: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: key_of(pod).name,
        "metadata.namespace": lambda: key_of(pod).namespace,
        "metadata.uid": lambda: metadata_of(pod).get("uid") or "",
        "metadata.labels": lambda: _listed(labels_of(pod)),
        "metadata.annotations": lambda: _listed(annotations_of(pod)),
        "spec.nodeName": lambda: spec.get("nodeName") or "",
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName") or "default",
        "status.hostIP": lambda: status.get("hostIP") or "",
        "status.hostIPs": lambda: status.get("hostIP") or "",
        "status.podIP": lambda: status.get("podIP") or "",
        "status.podIPs": lambda: status.get("podIP") or "",
    }
    if path not in fields:
        raise ReferenceProblem(f"fieldPath {path!r} is not one that a pod tells its containers")
    return fields[path]()


def _listed(texts: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{value}"' for key, value in sorted(texts.items()))


def service_variables(services: Iterable[ReadOnlyObject], namespace: str, *, links: bool = True) -> dict[str, str]:
    """Return the variables that tell a container of the Services of its namespace and of `default/kubernetes`.

    With `links` false (`enableServiceLinks: false`) only the latter. Source: pkg/kubelet/envvars.
    """
    variables: dict[str, str] = {}
    for service in services:
        where = key_of(service)
        wanted = where == ("default", "kubernetes") or (links and where.namespace == namespace)
        address = (service.get("spec") or {}).get("clusterIP")
        if wanted and address and address != "None":
            variables |= _service(where.name, address, service["spec"].get("ports") or [])
    return variables


def _service(name: str, address: str, ports: Sequence[Object]) -> dict[str, str]:
    if not ports:
        return {}
    prefix = name.upper().replace("-", "_")
    first = ports[0]
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first["port"])}
    scheme = (first.get("protocol") or "TCP").lower()
    variables[f"{prefix}_PORT"] = f"{scheme}://{address}:{first['port']}"
    for entry in ports:
        number, protocol = str(entry["port"]), entry.get("protocol") or "TCP"
        if entry.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{entry['name'].upper().replace('-', '_')}"] = number
        link = f"{prefix}_PORT_{number}_{protocol.upper()}"
        variables[link] = f"{protocol.lower()}://{address}:{number}"
        variables |= {f"{link}_PROTO": protocol.lower(), f"{link}_PORT": number, f"{link}_ADDR": address}
    return variables
