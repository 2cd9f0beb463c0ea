"""What a pod or a template says that works, but hardly as meant (kubernetes pkg/api/pod/warnings.go).

Texts come in Kubernetes' order, since clients show them in that order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from roadstead.api.objects import ReadOnlyObject, metadata_of
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver.admission.address_warnings import address_warnings
from roadstead.apiserver.causes import printed
from roadstead.apiserver.validation import names

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR_OF = "container.apparmor.security.beta.kubernetes.io/"
_OLD_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SHOWN_VOLUMES = {"storageos": "storageOS"}
"""Kinds of volumes that Kubernetes calls otherwise in its warnings than in its fields."""


def pod_warnings(pod: ReadOnlyObject, path: str = "") -> Iterator[str]:
    """Tell what is odd about a pod, or about a template at a path such as `spec.template`."""
    prefix = f"{path}." if path else ""
    spec, notes = pod.get("spec") or {}, metadata_of(pod).get("annotations") or {}
    where = f"{prefix}spec"
    listed = list(_containers(spec, where))
    yield from _nodes(spec, where)
    yield from (f"{prefix}metadata.annotations[{k}]: {text}" for k, text in _OLD_ANNOTATIONS.items() if k in notes)
    yield from _volumes(spec.get("volumes") or (), f"{where}.volumes")
    yield from _repeated(spec, where, "hostAliases", "ip")
    yield from _repeated(spec, where, "imagePullSecrets", "name")
    for at, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{where}.imagePullSecrets[{at}].name: invalid empty name ""'
    yield from fractions(spec.get("overhead"), f"{where}.overhead", ("memory", "ephemeral-storage"))
    if _SECCOMP in notes and not (spec.get("securityContext") or {}).get("seccompProfile"):
        yield f"{prefix}metadata.annotations[{_SECCOMP}]: {_NO_SECCOMP}"
    for container, place in listed:
        yield from _profiles(container, notes, prefix, template=bool(path))
        yield from _container(container, place)
    yield from _ports(listed)
    yield from _port_names(listed)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{where}.terminationGracePeriodSeconds: {text}"
    yield from _affinities(spec.get("affinity") or {}, f"{where}.affinity")
    for at, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from address_warnings(server, f"{where}.dnsConfig.nameservers[{at}]")
    for at, alias in enumerate(spec.get("hostAliases") or ()):
        yield from address_warnings(alias.get("ip"), f"{where}.hostAliases[{at}].ip")


_NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'


def _containers(spec: ReadOnlyObject, path: str) -> Iterator[tuple[ReadOnlyObject, str]]:
    for kind in _CONTAINERS:
        for at, container in enumerate(spec.get(kind) or ()):
            yield container, f"{path}.{kind}[{at}]"


def old_label(key: str) -> str:
    """Return what to say of a label of nodes that nobody should use any more, empty for others."""
    return _OLD_LABELS.get(key, "")


def _nodes(spec: ReadOnlyObject, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if text := old_label(key):
            yield f"{path}.nodeSelector[{key}]: {text}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    for at, term in enumerate((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        yield from node_term_warnings(term, f"{where}.{_REQUIRED}.nodeSelectorTerms[{at}]")
    for at, term in enumerate(affinity.get(_PREFERRED) or ()):
        yield from node_term_warnings(
            term.get("preference") or {}, f"{where}.{_PREFERRED}[{at}].preference", values=True
        )
    for at, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key, place = constraint.get("topologyKey", ""), f"{path}.topologySpreadConstraints[{at}]"
        if text := old_label(key):
            yield f"{place}.topologyKey: {key} is {text}"
        yield from _unselecting(constraint, place)


def node_term_warnings(term: ReadOnlyObject, path: str, *, values: bool = False) -> Iterator[str]:
    """Tell of labels of nodes that nobody should use any more, and if wanted of values that no label can have."""
    for at, requirement in enumerate(term.get("matchExpressions") or ()):
        key, where = requirement.get("key", ""), f"{path}.matchExpressions[{at}]"
        if text := old_label(key):
            yield f"{where}.key: {key} is {text}"
        for index, value in enumerate((requirement.get("values") or ()) if values else ()):
            for complaint in names.label_value_complaints(value):
                yield f"{where}.values[{index}]: {value} is invalid, {complaint}"


def _unselecting(term: ReadOnlyObject, path: str) -> Iterator[str]:
    if term.get("labelSelector") is None:
        yield f"{path}.labelSelector: a null labelSelector results in matching no pod"


def _affinities(affinity: ReadOnlyObject, path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        for at, term in enumerate(rules.get(_REQUIRED) or ()):
            yield from _unselecting(term, f"{path}.{kind}.{_REQUIRED}[{at}]")
        for at, term in enumerate(rules.get(_PREFERRED) or ()):
            yield from _unselecting(
                term.get("podAffinityTerm") or {}, f"{path}.{kind}.{_PREFERRED}[{at}].podAffinityTerm"
            )


def _repeated(spec: ReadOnlyObject, path: str, field: str, key: str) -> Iterator[str]:
    seen: set[str] = set()
    for at, item in enumerate(spec.get(field) or ()):
        value = item.get(key, "")
        if value in seen:
            yield f"{path}.{field}[{at}].{key}: duplicate {key} {printed(value)}"
        seen.add(value)


def fractions(amounts: ReadOnlyObject | None, path: str, resources: Sequence[str]) -> Iterator[str]:
    """Tell of amounts of bytes that are no whole number."""
    for name in resources:
        if name in (amounts or {}) and _is_fraction((amounts or {})[name]):
            text = printed(str((amounts or {})[name]))
            yield f"{path}[{name}]: fractional byte value {text} is invalid, must be an integer"


def _is_fraction(amount: Any) -> bool:
    # Kubernetes looks at thousandths, rounded up.
    return parse_quantity(str(amount)).quantize(Decimal("0.001"), "ROUND_UP") % 1 != 0


def _profiles(container: ReadOnlyObject, notes: ReadOnlyObject, prefix: str, *, template: bool) -> Iterator[str]:
    context, name = container.get("securityContext") or {}, container.get("name", "")
    if _SECCOMP_OF + name in notes and not context.get("seccompProfile"):
        yield f"{prefix}metadata.annotations[{_SECCOMP_OF}{name}]: {_NO_SECCOMP}"
    if template and _APPARMOR_OF + name in notes and not context.get("appArmorProfile"):
        text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
        yield f"{prefix}metadata.annotations[{_APPARMOR_OF}{name}]: {text}"


def _container(container: ReadOnlyObject, path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in ("memory", "ephemeral-storage"):
        for part in ("limits", "requests"):
            yield from fractions(resources.get(part), f"{path}.resources.{part}", (name,))
    seen: set[str] = set()
    for at, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen and _hides(variable):
            yield (
                f"{path}.env[{at}]: hides previous definition of {printed(name)}, which may be dropped when using apply"
            )
        seen.add(name)


def _hides(variable: ReadOnlyObject) -> bool:
    """Say whether a variable that comes twice forgets what it was before."""
    reference, value = f"$({variable.get('name', '')})", variable.get("value", "")
    return variable.get("valueFrom") is not None or value == reference or reference not in value


def _ports(listed: Iterable[tuple[ReadOnlyObject, str]]) -> Iterator[str]:
    taken: dict[tuple[Any, Any], list[tuple[str, str, int]]] = {}
    for container, path in listed:
        for at, port in enumerate(container.get("ports") or ()):
            place, address, number = f"{path}.ports[{at}]", port.get("hostIP", ""), port.get("hostPort", 0)
            if address and not number:
                yield f"{place}: hostIP set without hostPort: {_shown_port(port)}"
            others = taken.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other, its_address, its_number in others:
                if clash := _clash((address, number), (its_address, its_number)):
                    yield f"{place}: {clash} port definition with {other}"
            others.append((place, address, number))


def _shown_port(port: ReadOnlyObject) -> str:
    """Return a port as Go prints its fields."""
    shown = {key[0].upper() + key[1:]: port.get(key) for key in ("name", "hostPort", "containerPort", "protocol")}
    shown["HostPort"] = shown["HostPort"] or 0
    fields = " ".join(f"{key}:{'' if value is None else value}" for key, value in shown.items())
    return f"{{{fields} HostIP:{port.get('hostIP', '')}}}"


def _clash(one: tuple[str, int], other: tuple[str, int]) -> str:
    """Return how a port on the host relates to another of the same container's port."""
    if one == other:
        return "duplicate"
    if not one[1] or not other[1]:
        return "overlapping"
    return "dangerously ambiguous" if one[1] == other[1] and (not one[0]) != (not other[0]) else ""


def _port_names(listed: Iterable[tuple[ReadOnlyObject, str]]) -> Iterator[str]:
    taken: dict[str, str] = {}
    for container, path in listed:
        for at, port in enumerate(container.get("ports") or ()):
            name, place = port.get("name"), f"{path}.ports[{at}]"
            if name and (other := taken.setdefault(name, place)) != place:
                text = f"services and probes that select ports by name will use {other}"
                yield f"{place}: duplicate port name {printed(name)} with {other}, {text}"


def _volumes(volumes: Sequence[ReadOnlyObject], path: str) -> Iterator[str]:
    for at, volume in enumerate(volumes):
        where = f"{path}[{at}]"
        for kind, text in OLD_VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{where}.{SHOWN_VOLUMES.get(kind, kind)}: {text}"
        claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec") or {}
        yield from claim_warnings(claim, f"{where}.ephemeral.volumeClaimTemplate.spec")
    for volume in volumes:
        yield from _overlaps(volume)


def claim_warnings(spec: ReadOnlyObject, path: str) -> Iterator[str]:
    """Tell of sizes that are no whole number of bytes."""
    resources = spec.get("resources") or {}
    for part in ("requests", "limits"):
        yield from fractions(resources.get(part), f"{path}.resources.{part}", ("storage",))


class _File(NamedTuple):
    path: str
    source: str = ""

    def __str__(self) -> str:
        return printed(self.path) + (f" ({self.source})" if self.source else "")


def _overlaps(volume: ReadOnlyObject) -> Iterator[str]:
    """Tell of files of one volume that are in each other's place."""
    name = printed(volume.get("name", ""))
    for kind, title, key in _FILES:
        source = volume.get(kind)
        if source is not None:
            named = f"{title} {printed(source.get(key, ''))}" if key else title
            files = [_File(item.get("path", "")) for item in source.get("items") or ()]
            yield from (f"volume {name} ({named}): overlapping paths: {text}" for text in _collisions(files))
    if (projected := volume.get("projected")) is None:
        return
    files = []
    for source in projected.get("sources") or ():
        if not any(part is not None for part in source.values()):
            yield f"volume {name} (Projected) has no sources provided"
        files += _projected(source)
    yield from (f"volume {name} (Projected): overlapping paths: {text}" for text in _collisions(files))


_FILES = (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "DownwardAPI", ""))
_CERTIFICATES = {
    "certificateChainPath": "PodCertificate chain",
    "keyPath": "PodCertificate key",
    "credentialBundlePath": "PodCertificate credential bundle",
}


def _projected(source: Mapping[str, Any]) -> list[_File]:
    for kind, title, _ in _FILES:
        part = source.get(kind)
        if part is not None and part.get("items") is not None:
            named = title if kind == "downwardAPI" else f"{title} {printed(part.get('name', ''))}"
            return [_File(item.get("path", ""), named) for item in part["items"]]
    if (token := source.get("serviceAccountToken")) is not None:
        return [_File(token.get("path", ""), "ServiceAccountToken")]
    if (bundle := source.get("clusterTrustBundle")) is not None:
        name = bundle.get("name", bundle.get("signerName", ""))
        return [_File(bundle.get("path", ""), f"ClusterTrustBundle {printed(name)}")]
    certificate = source.get("podCertificate") or {}
    return [_File(certificate[key], title) for key, title in _CERTIFICATES.items() if certificate.get(key)]


def _collisions(files: Iterable[_File]) -> Iterator[str]:
    before: list[_File] = []
    for file in files:
        this = file._replace(path=file.path.rstrip("/"))
        for other in before:
            one, two = f"{this.path}/", f"{other.path}/"
            if this.path and other.path and (one.startswith(two) or two.startswith(one)):
                yield f"{this} with {other}"
        before.append(this)
