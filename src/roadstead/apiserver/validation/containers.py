"""Containers: names, images, ports, environment, resources, mounts."""

from collections.abc import Container as Collection
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, one_of, required_name
from roadstead.apiserver.validation.paths import local_path
from roadstead.apiserver.validation.probes import hooks, probes

PROTOCOLS = ("SCTP", "TCP", "UDP")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_OVERCOMMITTED = ("cpu", "memory", "ephemeral-storage")


def containers(spec: ReadOnlyObject, path: str, volumes: Collection[str]) -> Causes:
    """Return what is wrong with all containers of a pod."""
    listed = spec.get("containers") or ()
    if not listed:
        return [causes.required(f"{path}.containers")]
    found: Causes = []
    taken: set[str] = set()
    for at, container in enumerate(listed):
        where = f"{path}.containers[{at}]"
        found += _container(container, where, volumes, taken)
        found += hooks(container, where) + probes(container, where)
    for at, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{at}]"
        found += _container(container, where, volumes, taken) + _init_only(container, where)
    for at, container in enumerate(spec.get("ephemeralContainers") or ()):
        where = f"{path}.ephemeralContainers[{at}]"
        found += _container(container, where, volumes, taken) + _ephemeral_only(container, where, spec)
    return found + _host_ports(listed, f"{path}.containers")


_NOT_EPHEMERAL = ("lifecycle", "livenessProbe", "ports", "readinessProbe", "resources", "startupProbe")


def _ephemeral_only(container: ReadOnlyObject, path: str, spec: ReadOnlyObject) -> Causes:
    detail = "cannot be set for an Ephemeral Container"
    found = [causes.forbidden(f"{path}.{field}", detail) for field in _NOT_EPHEMERAL if container.get(field)]
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{at}]"
        found += [
            causes.forbidden(f"{where}.{field}", detail) for field in ("subPath", "subPathExpr") if mount.get(field)
        ]
    target = container.get("targetContainerName")
    others = {each.get("name") for kind in ("containers", "initContainers") for each in spec.get(kind) or ()}
    return found + (
        [causes.not_found(f"{path}.targetContainerName", target)] if target and target not in others else []
    )


def _init_only(container: ReadOnlyObject, path: str) -> Causes:
    found = one_of(f"{path}.restartPolicy", container.get("restartPolicy"), ("Always", "Never", "OnFailure"))
    if container.get("restartPolicy") == "Always":
        return found + hooks(container, path) + probes(container, path)
    detail = "may not be set for init containers without restartPolicy=Always"
    forbidden = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
    return found + [causes.forbidden(f"{path}.{name}", detail) for name in forbidden if container.get(name)]


def _container(container: ReadOnlyObject, path: str, volumes: Collection[str], taken: set[str]) -> Causes:
    found = required_name(container, path, names.label_complaints)
    name = container.get("name")
    if name in taken:
        found.append(causes.duplicate(f"{path}.name", name))
    elif name:
        taken.add(name)
    if not container.get("image"):
        found.append(causes.required(f"{path}.image"))
    found += one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"))
    policies = ("FallbackToLogsOnError", "File")
    found += one_of(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), policies)
    found += _ports(container.get("ports") or (), f"{path}.ports")
    found += _environment(container, path)
    found += _mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    return found + resources(container.get("resources") or {}, f"{path}.resources")


def _ports(ports: Any, path: str) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, port in enumerate(ports):
        where, name = f"{path}[{at}]", port.get("name")
        if name:
            complaints = complain(f"{where}.name", name, names.port_name_complaints(name))
            found += complaints or ([causes.duplicate(f"{where}.name", name)] if name in taken else [])
            taken.add(name)
        if not port.get("containerPort"):
            found.append(causes.required(f"{where}.containerPort"))
        else:
            number = port["containerPort"]
            found += complain(f"{where}.containerPort", number, names.port_complaints(number))
        if port.get("hostPort"):
            found += complain(f"{where}.hostPort", port["hostPort"], names.port_complaints(port["hostPort"]))
        found += one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
    return found


def _host_ports(listed: Any, path: str) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, container in enumerate(listed):
        for index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            claim = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if claim in taken:
                found.append(causes.duplicate(f"{path}[{at}].ports[{index}].hostPort", claim))
            taken.add(claim)
    return found


def _environment(container: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    for at, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{at}]"
        found += required_name(variable, where, names.variable_complaints)
        if variable.get("valueFrom") is not None:
            found += _value_from(variable, f"{where}.valueFrom")
    for at, source in enumerate(container.get("envFrom") or ()):
        found += _environment_from(source, f"{path}.envFrom[{at}]", f"{path}.envFrom")
    return found


def _value_from(variable: ReadOnlyObject, path: str) -> Causes:
    source = variable["valueFrom"]
    given = [kind for kind in _SOURCES if source.get(kind) is not None]
    found: Causes = []
    for kind in given:
        found += _source(source[kind], kind, f"{path}.{kind}")
    if not given:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        )
        found.append(causes.invalid(path, "", detail))
    elif variable.get("value"):
        found.append(causes.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        found.append(causes.invalid(path, "", "may not have more than one field specified at a time"))
    return found


def _source(source: ReadOnlyObject, kind: str, path: str) -> Causes:
    if kind in ("configMapKeyRef", "secretKeyRef"):
        name = source.get("name", "")
        found = complain(f"{path}.name", name, names.subdomain_complaints(name))
        return found + required_name(source, path, names.config_key_complaints, key="key")
    if kind == "fieldRef":
        return _field_reference(source, path)
    if kind == "resourceFieldRef" and not source.get("resource"):
        return [causes.required(f"{path}.resource")]
    return []


def _field_reference(source: ReadOnlyObject, path: str) -> Causes:
    field = source.get("fieldPath", "")
    if not field:
        return [causes.required(f"{path}.fieldPath")]
    subscripted = field.startswith(("metadata.labels['", "metadata.annotations['")) and field.endswith("']")
    if field in _FIELDS or subscripted:
        return []
    return [causes.not_supported(f"{path}.fieldPath", field, _FIELDS)]


def _environment_from(source: ReadOnlyObject, path: str, listed: str) -> Causes:
    given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
    found: Causes = []
    for kind in given:
        found += required_name(source[kind], f"{path}.{kind}", names.subdomain_complaints)
    if not given:
        found.append(causes.invalid(listed, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        found.append(causes.invalid(listed, "", "may not have more than one field specified at a time"))
    return found


def _mounts(mounts: Any, path: str, volumes: Collection[str]) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, mount in enumerate(mounts):
        where, name, target = f"{path}[{at}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            found.append(causes.required(f"{where}.name"))
        if name not in volumes:
            found.append(causes.not_found(f"{where}.name", name))
        if not target:
            found.append(causes.required(f"{where}.mountPath"))
        if target in taken:
            found.append(causes.invalid(f"{where}.mountPath", target, "must be unique"))
        taken.add(target)
        found += local_path(mount.get("subPath", ""), f"{where}.subPath")
    return found


def resources(requirements: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with requests and limits."""
    found: Causes = []
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = f"{path}.{part}[{name}]"
            found += complain(where, name, _resource_name_complaints(name))
            found += complain(where, amount, names.quantity_complaints(amount))
    return found or _requests_within_limits(requests, limits, f"{path}.requests")


def _resource_name_complaints(name: str) -> list[str]:
    standard = name in _OVERCOMMITTED or name.startswith("hugepages-") or "/" in name
    return names.qualified_name_complaints(name) or ([] if standard else ["must be a standard resource for containers"])


def _requests_within_limits(requests: ReadOnlyObject, limits: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    for name, amount in requests.items():
        if name not in limits:
            continue
        wanted, allowed = parse_quantity(str(amount)), parse_quantity(str(limits[name]))
        if wanted != allowed and name not in _OVERCOMMITTED:
            found.append(causes.invalid(path, amount, f"must be equal to {name} limit of {limits[name]}"))
        elif wanted > allowed:
            found.append(causes.invalid(path, amount, f"must be less than or equal to {name} limit of {limits[name]}"))
    return found
