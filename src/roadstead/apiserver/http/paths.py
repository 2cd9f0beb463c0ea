"""What a URL path names: a resource, a namespace, an object, a subresource.

The counterpart of `Resource.path` (apiserver's pkg/endpoints/request/requestinfo.go). Next: `parameters`.
"""

from dataclasses import dataclass

_OF_A_NAMESPACE = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """The parts of `/api/v1/...` and `/apis/GROUP/VERSION/...`; a part that is not named is empty."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


def parse(path: str) -> ResourcePath | None:
    """Read the path of a collection, an object or a subresource; None if it is none of these."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        return _below("", parts[1], parts[2:])
    if parts[:1] == ["apis"] and len(parts) > 3:
        return _below(parts[1], parts[2], parts[3:])
    return None


def _below(group: str, version: str, parts: list[str]) -> ResourcePath | None:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not (group == "" and parts[2] in _OF_A_NAMESPACE):
        namespace, parts = parts[1], parts[2:]
    if len(parts) > 3 and parts[2] != "proxy":  # below which the path is the pod's
        return None
    plural, name, subresource = (*parts, "", "")[:3]
    return ResourcePath(group, version, namespace, plural, name, subresource)
