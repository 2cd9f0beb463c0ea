"""What a pod's manifest asks of the node: users, names, files, mounts, references. Pure, defaults as in Kubernetes.

Next: `pod_volumes` puts the volumes on disk, `pod_worker` runs the containers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from roadstead.api.objects import ReadOnlyObject, key_of
from roadstead.node.environment import ReferenceProblem, expand
from roadstead.node.netd_protocol import Mount
from roadstead.node.records import containers_of
from roadstead.node.volumes import OBJECT_VOLUMES, volume_kind

_NOBODY = 65532
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class Names:
    """What a pod's /etc files are made of."""

    domain: str
    dns: str


@dataclass(frozen=True, slots=True)
class User:
    """Who a container's process is inside its user namespace."""

    user: int
    group: int


def user_of(pod: ReadOnlyObject, container: ReadOnlyObject) -> User:
    """Return the ids of a container's process.

    Without `runAsUser` it is root, or with `runAsNonRoot` a user that is not. Raises ReferenceProblem when root is
    both asked for and forbidden.
    """
    user = _security(pod, container, "runAsUser")
    if _security(pod, container, "runAsNonRoot"):
        if user == 0:
            raise ReferenceProblem("container's runAsUser breaks non-root policy: runAsNonRoot is true, runAsUser is 0")
        user = _NOBODY if user is None else user
    group = _security(pod, container, "runAsGroup")
    return User(int(user or 0), int(group if group is not None else user or 0))


def is_read_only(container: ReadOnlyObject) -> bool:
    """Say whether a container may not write to its root."""
    return bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem"))


def _security(pod: ReadOnlyObject, container: ReadOnlyObject, field: str) -> Any:
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else ((pod.get("spec") or {}).get("securityContext") or {}).get(field)


def hostname_of(pod: ReadOnlyObject) -> str:
    """Return the name that the pod's processes give their machine."""
    return str((pod.get("spec") or {}).get("hostname") or key_of(pod).name)[:63].rstrip("-.")


def etc_files(pod: ReadOnlyObject, address: str, names: Names, machine_dns: str) -> dict[str, str]:
    """Return /etc/hosts, /etc/hostname and /etc/resolv.conf; `machine_dns` is this machine's own resolv.conf."""
    name = hostname_of(pod)
    return {
        "/etc/hosts": _hosts(pod, address, name, names),
        "/etc/hostname": f"{name}\n",
        "/etc/resolv.conf": _resolv_conf(pod, names, machine_dns),
    }


def _hosts(pod: ReadOnlyObject, address: str, name: str, names: Names) -> str:
    spec = pod.get("spec") or {}
    own = f"{address}\t{name}"
    if subdomain := spec.get("subdomain"):
        own = f"{address}\t{name}.{subdomain}.{key_of(pod).namespace}.svc.{names.domain}\t{name}"
    aliases = [
        f"{alias.get('ip')}\t" + "\t".join(alias.get("hostnames") or ()) for alias in spec.get("hostAliases") or ()
    ]
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        own,
    ]
    return "\n".join([*lines, *aliases, ""])


def _resolv_conf(pod: ReadOnlyObject, names: Names, machine_dns: str) -> str:
    spec = pod.get("spec") or {}
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    config = spec.get("dnsConfig") or {}
    servers, searches, options = list(config.get("nameservers") or ()), list(config.get("searches") or ()), []
    if policy == "Default":
        return machine_dns
    if policy != "None":
        servers.insert(0, names.dns)
        searches = [f"{key_of(pod).namespace}.svc.{names.domain}", f"svc.{names.domain}", names.domain, *searches]
        options.append("ndots:5")
    options += [_option(entry) for entry in config.get("options") or ()]
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {server}" for server in servers]
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join([*lines, ""])


def _option(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('name')}:{entry['value']}" if entry.get("value") is not None else str(entry.get("name"))


def mounts_of(
    pod: ReadOnlyObject, container: ReadOnlyObject, sources: Mapping[str, Path], variables: Mapping[str, str]
) -> list[Mount]:
    """Return where a container sees which volume. `sources` says where each volume is on this machine.

    `variables` are those for `subPathExpr`. Raises ReferenceProblem for a mount of a volume that is not there.
    """
    volumes = {volume["name"]: volume for volume in (pod.get("spec") or {}).get("volumes") or ()}
    found = []
    for entry in container.get("volumeMounts") or ():
        volume = volumes.get(entry["name"])
        if volume is None:
            raise ReferenceProblem(f"volumeMounts: there is no volume {entry['name']!r} in spec.volumes")
        kind = volume_kind(volume)
        of_volume = (volume.get(kind) or {}).get("readOnly")
        read_only = bool(entry.get("readOnly") or of_volume) or kind in OBJECT_VOLUMES
        if is_in_memory(pod, volume):
            found.append(Mount(entry["name"], entry["mountPath"], read_only, memory=True))
        else:
            part = _sub_path(entry, variables)
            found.append(Mount(str(sources[entry["name"]] / part), entry["mountPath"], read_only))
    return found


class SubPath(NamedTuple):
    """A part of a volume that a container sees; `folder` is the volume's, `is_made` says whether it may be missing."""

    mount_path: str
    folder: Path
    part: str
    is_made: bool


def sub_paths_of(
    pod: ReadOnlyObject, container: ReadOnlyObject, sources: Mapping[str, Path], variables: Mapping[str, str]
) -> list[SubPath]:
    """Return the parts of volumes that a container mounts. `variables` are those for `subPathExpr`."""
    kinds = {volume["name"]: volume_kind(volume) for volume in (pod.get("spec") or {}).get("volumes") or ()}
    return [
        SubPath(entry["mountPath"], sources[entry["name"]], part, kinds[entry["name"]] not in OBJECT_VOLUMES)
        for entry in container.get("volumeMounts") or ()
        if entry["name"] in kinds and (part := _sub_path(entry, variables))
    ]


def _sub_path(entry: ReadOnlyObject, variables: Mapping[str, str]) -> str:
    part = str(expand(entry["subPathExpr"], variables) if entry.get("subPathExpr") else entry.get("subPath") or "")
    if part.startswith("/") or ".." in Path(part).parts:
        raise ReferenceProblem(f"volumeMounts {entry['mountPath']}: subPath {part!r} must stay inside the volume")
    return part


def is_in_memory(pod: ReadOnlyObject, volume: ReadOnlyObject) -> bool:
    """Say whether a volume is an emptyDir in memory. One of which a container sees a part is a folder all the same."""
    if (volume.get("emptyDir") or {}).get("medium") != "Memory":
        return False
    mounts = [entry for container in containers_of(pod).values() for entry in container.get("volumeMounts") or ()]
    return not any(
        entry["name"] == volume["name"] and (entry.get("subPath") or entry.get("subPathExpr")) for entry in mounts
    )


def referenced_objects(pod: ReadOnlyObject) -> set[tuple[str, str]]:
    """Return the ConfigMaps and Secrets, as `(kind, name)`, that a pod's containers and volumes use."""
    found: set[tuple[str, str]] = set()
    for container in containers_of(pod).values():
        for source in container.get("envFrom") or ():
            found |= _named(source, (("configMapRef", "ConfigMap"), ("secretRef", "Secret")))
        for entry in container.get("env") or ():
            keyed = (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret"))
            found |= _named(entry.get("valueFrom") or {}, keyed)
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        found |= _of_volumes([volume, *((volume.get("projected") or {}).get("sources") or ())])
    return found


def _of_volumes(sources: Iterable[ReadOnlyObject]) -> set[tuple[str, str]]:
    return {one for source in sources for one in _named(source, (("configMap", "ConfigMap"), ("secret", "Secret")))}


def _named(source: ReadOnlyObject, fields: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    references = ((kind, source.get(field) or {}) for field, kind in fields)
    named = ((kind, reference.get("name") or reference.get("secretName")) for kind, reference in references)
    return {(kind, name) for kind, name in named if name}


def priority_of(pod: ReadOnlyObject) -> int:
    """Return a pod's priority; Kubernetes' own two classes are known by name (pkg/apis/scheduling/types.go)."""
    spec = pod.get("spec") or {}
    if spec.get("priority") is not None:
        return int(spec["priority"])
    return _SYSTEM_PRIORITIES.get(str(spec.get("priorityClassName")), 0)
