"""Fields of a pod that this node does not act on, and what is so instead. Pure; `pod_worker` tells it as an event.

Limits of cpu and memory are not among them: nearly every pod has some, so the Node's condition says it once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from roadstead.api.objects import ReadOnlyObject

_OF_POD: Mapping[str, str] = {
    "shareProcessNamespace": "each container sees its own processes only",
}
_OF_ISOLATED_POD: Mapping[str, str] = {
    "hostNetwork": "the pod has a network and an address of its own, and NetworkPolicies do not select it",
    "hostPID": "each container sees its own processes only",
    "hostIPC": "the pod has IPC of its own",
}
_GRANTED = "NET_BIND_SERVICE"
"""The one capability whose effect every pod with a network of its own has: any port may be bound."""


def without_effect(pod: ReadOnlyObject, *, isolated: bool) -> list[str]:
    """Return a sentence for each field of a pod that has no effect on this node, with its path.

    Without namespaces (`isolated` false) a pod has the host's anyway, so the fields that ask for those are no news.
    """
    spec = pod.get("spec") or {}
    fields = {**_OF_POD, **_OF_ISOLATED_POD} if isolated else _OF_POD
    found = [f"spec.{field}: {instead}" for field, instead in fields.items() if spec.get(field)]
    security = spec.get("securityContext") or {}
    if security.get("fsGroup") is not None:
        found.append("spec.securityContext.fsGroup: volumes belong to whoever runs Roadstead, as every container does")
    if security.get("sysctls"):
        found.append("spec.securityContext.sysctls: the kernel's defaults hold")
    for field in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(field) or ()):
            found += _of_container(f"spec.{field}[{number}].securityContext", container, isolated=isolated)
    return found


def _of_container(path: str, container: Mapping[str, Any], *, isolated: bool) -> Iterator[str]:
    security = container.get("securityContext") or {}
    added = (security.get("capabilities") or {}).get("add") or ()
    missing = [name for name in added if not (isolated and name.removeprefix("CAP_") == _GRANTED)]
    without = "containers have no capabilities" if isolated else "the capabilities are those of whoever runs Roadstead"
    if missing:
        yield f"{path}.capabilities.add: {', '.join(missing)}: {without}"
    if security.get("privileged"):
        yield f"{path}.privileged: {without}"
