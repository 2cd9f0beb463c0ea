"""Containers: names, images, ports, environment, resources, mounts."""

from collections.abc import Container as Collection
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, one_of, required_name
from roadstead.apiserver.validation.paths import local_path
from roadstead.apiserver.validation.probes import hooks, probes
from roadstead.apiserver.validation.references import ENVIRONMENT_FIELDS, field_reference, resource_reference
from roadstead.apiserver.validation.resource_names import is_standard
from roadstead.apiserver.validation.security import container_security

PROTOCOLS = ("SCTP", "TCP", "UDP")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_OVERCOMMITTED = ("cpu", "memory", "ephemeral-storage")


def containers(spec: ReadOnlyObject, path: str, volumes: Collection[str]) -> Causes:
    """Return what is wrong with all containers of a pod."""
    listed = spec.get("containers") or ()
    found: Causes = [] if listed else [causes.required(f"{path}.containers")]
    taken: set[str] = set()
    for at, container in enumerate(listed):
        where = f"{path}.containers[{at}]"
        found += _container(container, where, volumes, spec) + _twice(container, where, taken)
        found += hooks(container, where, spec.get("terminationGracePeriodSeconds")) + probes(container, where)
        found += one_of(f"{where}.restartPolicy", container.get("restartPolicy"), _RESTART_POLICIES)
    found += _host_ports(listed, f"{path}.containers")
    for at, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{at}]"
        found += _container(container, where, volumes, spec)
        found += one_of(f"{where}.restartPolicy", container.get("restartPolicy"), _RESTART_POLICIES)
        found += _twice(container, where, taken) + _init_only(container, where, spec)
    for at, container in enumerate(spec.get("ephemeralContainers") or ()):
        where = f"{path}.ephemeralContainers[{at}]"
        found += _container(container, where, volumes, spec) + _twice(container, where, taken)
        found += _ephemeral_only(container, where, spec)
    return found


def _twice(container: ReadOnlyObject, path: str, taken: set[str]) -> Causes:
    name = container.get("name", "")
    if name in taken:
        return [causes.duplicate(f"{path}.name", name)]
    taken.add(name)
    return []


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


def _init_only(container: ReadOnlyObject, path: str, spec: ReadOnlyObject) -> Causes:
    if container.get("restartPolicy") == "Always":
        return hooks(container, path, spec.get("terminationGracePeriodSeconds")) + probes(container, path)
    detail = "may not be set for init containers without restartPolicy=Always"
    forbidden = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
    return [causes.forbidden(f"{path}.{name}", detail) for name in forbidden if container.get(name) is not None]


_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")


def _container(container: ReadOnlyObject, path: str, volumes: Collection[str], spec: ReadOnlyObject) -> Causes:
    found = required_name(container, path, names.label_complaints)
    if not container.get("image"):
        found.append(causes.required(f"{path}.image"))
    message = container.get("terminationMessagePolicy")
    found += one_of(f"{path}.terminationMessagePolicy", message, _MESSAGE_POLICIES)
    found += _ports(container.get("ports") or (), f"{path}.ports")
    found += _environment(container, path)
    found += _mounts(container, f"{path}.volumeMounts", volumes)
    found += one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    found += resources(container.get("resources") or {}, f"{path}.resources")
    found += _resizing(container.get("resizePolicy") or (), f"{path}.resizePolicy")
    context, own = container.get("securityContext") or {}, spec.get("hostUsers") is False
    return found + container_security(context, f"{path}.securityContext", host_users=not own)


def _resizing(policies: Sequence[ReadOnlyObject], path: str) -> Causes:
    found: Causes = []
    taken: list[str] = []
    for at, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in taken:
            found.append(causes.duplicate(f"{path}[{at}]", name))
        taken.append(name)
        if name not in ("cpu", "memory"):
            found.append(causes.not_supported(path, name, ("cpu", "memory")))
        if restart not in ("NotRequired", "RestartContainer"):
            found.append(causes.not_supported(path, restart, ("NotRequired", "RestartContainer")))
    return found


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
        return field_reference(source, path, ENVIRONMENT_FIELDS)
    return resource_reference(source, path) if kind == "resourceFieldRef" else []


def _environment_from(source: ReadOnlyObject, path: str, listed: str) -> Causes:
    given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
    found: Causes = []
    if prefix := source.get("prefix"):
        found += complain(f"{path}.prefix", prefix, names.variable_complaints(prefix))
    for kind in given:
        found += required_name(source[kind], f"{path}.{kind}", names.subdomain_complaints)
    if not given:
        found.append(causes.invalid(listed, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        found.append(causes.invalid(listed, "", "may not have more than one field specified at a time"))
    return found


def _mounts(container: ReadOnlyObject, path: str, volumes: Collection[str]) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
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
        found += _mount_options(mount, container, path, where)
    return found


_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def _mount_options(mount: ReadOnlyObject, container: ReadOnlyObject, path: str, where: str) -> Causes:
    """Kubernetes tells of some of them without saying which mount it means."""
    part, expression, spread = mount.get("subPath", ""), mount.get("subPathExpr", ""), mount.get("mountPropagation")
    found = local_path(part, f"{path}.subPath")
    if part and expression:
        detail = "subPathExpr and subPath are mutually exclusive"
        found.append(causes.invalid(f"{where}.subPathExpr", expression, detail))
    found += local_path(expression, f"{path}.subPathExpr")
    if spread is not None and spread not in _PROPAGATIONS:
        found.append(causes.not_supported(f"{path}.mountPropagation", spread, _PROPAGATIONS))
    if spread == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        found.append(causes.forbidden(f"{path}.mountPropagation", detail))
    if mount.get("recursiveReadOnly") not in (None, "Disabled") and not mount.get("readOnly"):
        found.append(causes.forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true"))
    return found


def resources(requirements: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with requests and limits."""
    found: Causes = []
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    for name, amount in sorted(limits.items()):
        found += _amount(name, amount, f"{path}.limits[{name}]")
    for name, amount in sorted(requests.items()):
        found += _amount(name, amount, f"{path}.requests[{name}]") + _request(name, amount, limits, path)
    given = {*limits, *requests}
    if not given & {"cpu", "memory"} and any(name.startswith("hugepages-") for name in given):
        found.append(causes.forbidden(path, "HugePages require cpu or memory"))
    return found


def _amount(name: str, amount: Any, path: str) -> Causes:
    found = complain(path, name, resource_name_complaints(name))
    found += complain(path, amount, names.quantity_complaints(amount))
    number = parse_quantity(str(amount))
    if "/" in name and "kubernetes.io/" not in name and number % 1:
        found.append(causes.invalid(path, amount, "must be an integer"))
    if name.startswith("hugepages-") and not _is_pages(number, name.removeprefix("hugepages-")):
        found.append(causes.invalid(path, amount, f"{amount} is not positive integer multiple of {name}"))
    return found


def _is_pages(number: Decimal, size: str) -> bool:
    try:
        return number > 0 and number % parse_quantity(size) == 0
    except (ValueError, ArithmeticError):
        return False


def resource_name_complaints(name: str) -> list[str]:
    """Complain about a name that is no resource of containers."""
    found = names.qualified_name_complaints(name)
    if "/" not in name and not (name in _OVERCOMMITTED or name.startswith("hugepages-")):
        if not found and not is_standard(name):
            found.append("must be a standard resource type or fully qualified")
        found.append("must be a standard resource for containers")
    elif name.startswith("requests.") and "kubernetes.io/" not in name:
        found.append("doesn't follow extended resource name standard")
    return found


def _request(name: str, amount: Any, limits: ReadOnlyObject, path: str) -> Causes:
    overcommitted = name in _OVERCOMMITTED or ("/" not in name and not name.startswith("hugepages-"))
    if name not in limits:
        detail = "Limit must be set for non overcommitable resources"
        return [] if overcommitted else [causes.required(f"{path}.limits", detail)]
    wanted, allowed = parse_quantity(str(amount)), parse_quantity(str(limits[name]))
    if wanted != allowed and not overcommitted:
        return [causes.invalid(f"{path}.requests", amount, f"must be equal to {name} limit of {limits[name]}")]
    if wanted <= allowed:
        return []
    return [causes.invalid(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limits[name]}")]
