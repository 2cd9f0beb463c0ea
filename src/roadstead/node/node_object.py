"""The Node object: what this machine is and what it does not enforce, and the Lease that says that it lives. Pure."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from roadstead import __version__
from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.node.times import precise_timestamp, timestamp

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
_MAX_PODS = 250


def node_object(name: str, pod_range: str) -> Object:
    """Return the Node to create."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "node-role.kubernetes.io/control-plane": "",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": pod_range, "podCIDRs": [pod_range]},
    }


def node_status(
    current: ReadOnlyObject, address: str, *, isolated: bool, limitations: Sequence[str], now: float
) -> Object:
    """Return the Node's status. `limitations` say in words what this machine lacks."""
    name = (current.get("metadata") or {}).get("name") or ""
    before = (current.get("status") or {}).get("conditions") or ()
    moment = timestamp(now)
    conditions = merge_conditions(before, node_conditions(isolated=isolated, limitations=limitations), moment)
    resources = {"cpu": str(os.cpu_count() or 1), "memory": f"{_memory_kib()}Ki", "pods": str(_MAX_PODS)}
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "capacity": resources,
        "allocatable": resources,
        "conditions": [{**entry, "lastHeartbeatTime": moment} for entry in conditions],
        "nodeInfo": _node_info(),
    }


def node_conditions(*, isolated: bool, limitations: Sequence[str]) -> list[Object]:
    """Return the Node's conditions: it is ready, and what is not enforced, with the remedy."""
    lacking = "; ".join(limitations)
    pressures = [
        condition(f"{kind}Pressure", False, f"KubeletHasNo{kind}Pressure", f"the node has no {kind.lower()} pressure")
        for kind in ("Memory", "Disk", "PID")
    ]
    if isolated and not lacking:
        policies = condition("NetworkPolicyEnforced", True, "NetworkFilter", "policies are enforced in the kernel")
    elif isolated:
        policies = condition("NetworkPolicyEnforced", True, "Limited", lacking)
    else:
        message = (
            f"pods are plain processes here ({lacking}); NetworkPolicies are NOT enforced, pods see the machine's "
            "network, ports must be bound to $POD_IP. Allow user namespaces (see `roadstead doctor`) or run as root"
        )
        policies = condition("NetworkPolicyEnforced", False, "NoUserNamespaces", message)
    limits = condition(
        "ResourceLimitsEnforced", False, "NoControlGroups", "limits of cpu and memory are not enforced on this node"
    )
    return [*pressures, condition("Ready", True, "KubeletReady", "the node takes pods"), policies, limits]


def lease(node: str, now: float) -> Object:
    """Return the Lease that says the node is alive at this time."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node, "namespace": LEASE_NAMESPACE},
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": precise_timestamp(now),
        },
    }


def _memory_kib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024


def _node_info() -> Object:
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "bootID": _first_line("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": f"roadstead://{__version__}",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": "v1.37.0",
        "machineID": _first_line("/etc/machine-id"),
        "operatingSystem": "linux",
        "osImage": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if _has_release() else "Linux",
        "systemUUID": "",
    }


def _has_release() -> bool:
    return Path("/etc/os-release").exists() or Path("/usr/lib/os-release").exists()


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
