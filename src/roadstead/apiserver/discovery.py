"""Discovery: which groups, versions and resources there are, in the aggregated form and in the plain one.

kubectl and client-go ask for `apidiscovery.k8s.io/v2`, one document for `/api` and one for `/apis`; kr8s, the Python
client and `kubectl auth can-i` still walk the plain lists. Pure.
"""

from collections.abc import Iterable

from roadstead.api.objects import Object
from roadstead.api.resources import Resource, Scheme

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_STREAMS = ("create", "get")
_PROXIED = ("create", "delete", "get", "patch", "update")
_OBJECT_SUBRESOURCES = ("get", "patch", "update")

_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "scale": ("autoscaling", "v1", "Scale", _OBJECT_SUBRESOURCES),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "exec": ("", "v1", "PodExecOptions", _STREAMS),
    "attach": ("", "v1", "PodAttachOptions", _STREAMS),
    "portforward": ("", "v1", "PodPortForwardOptions", _STREAMS),
    "finalize": ("", "v1", "Namespace", ("update",)),
}
"""Subresources whose body is of another kind than their resource: group, version, kind, verbs."""


def wants_aggregated(accept: str) -> bool:
    """Say whether an Accept header asks for the aggregated document (before any plain JSON)."""
    first = accept.split(",")[0]
    parts = {part.strip() for part in first.split(";")}
    return {"application/json", "g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"} <= parts


def aggregated(scheme: Scheme, *, core: bool) -> Object:
    """Return the `APIGroupDiscoveryList` of `/api` (core) or `/apis`."""
    groups = [group for group in _groups(scheme) if (group == "") is core]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_aggregated_group(scheme, group) for group in groups],
    }


def _aggregated_group(scheme: Scheme, group: str) -> Object:
    metadata: Object = {"name": group} if group else {}
    versions = [
        {
            "version": version,
            "resources": [_aggregated_resource(resource) for resource in _resources(scheme, group, version)],
            "freshness": "Current",
        }
        for version in _versions(scheme, group)
    ]
    return {"metadata": metadata, "versions": versions}


def _aggregated_resource(resource: Resource) -> Object:
    shown: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    subresources = [_aggregated_subresource(resource, name) for name in sorted(resource.subresources)]
    if subresources:
        shown["subresources"] = subresources
    return shown


def _aggregated_subresource(resource: Resource, name: str) -> Object:
    group, version, kind, verbs = _subresource(resource, name)
    return {
        "subresource": name,
        "responseKind": {"group": group, "version": version, "kind": kind},
        "verbs": list(verbs),
    }


def _subresource(resource: Resource, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    if name == "proxy":
        return ("", "v1", f"{resource.kind}ProxyOptions", _PROXIED)
    return _SUBRESOURCES.get(name, (resource.group, resource.version, resource.kind, _OBJECT_SUBRESOURCES))


def paths(scheme: Scheme, others: Iterable[str]) -> Object:
    """Return the answer of `/`: every path that describes something, `others` beside the API's own."""
    roots = {resource.root for resource in scheme.resources}
    groups = {root.rpartition("/")[0] for root in roots}
    return {"paths": sorted({"/apis", *roots, *groups, *others})}


def api_versions() -> Object:
    """Return the plain answer of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    }


def group_list(scheme: Scheme) -> Object:
    """Return the plain answer of `/apis`."""
    groups = [_group(scheme, name) for name in _groups(scheme) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(scheme: Scheme, name: str) -> Object | None:
    """Return the answer of `/apis/GROUP`, None if there is no such group."""
    if name not in _groups(scheme) or not name:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(scheme, name)}


def _group(scheme: Scheme, name: str) -> Object:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _versions(scheme, name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(scheme: Scheme, group_name: str, version: str) -> Object | None:
    """Return the answer of `/api/v1` and `/apis/GROUP/VERSION`, None if nothing is served there."""
    resources = _resources(scheme, group_name, version)
    if not resources:
        return None
    entries: list[Object] = []
    for resource in resources:
        entries.append(_plain(resource))
        entries += [_plain_subresource(resource, name) for name in sorted(resource.subresources)]
    found: Object = {"kind": "APIResourceList", "groupVersion": resources[0].api_version, "resources": entries}
    return {"apiVersion": "v1", **found} if group_name else found  # that of the oldest group never said its version


def _plain(resource: Resource) -> Object:
    shown: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    return shown


def _plain_subresource(resource: Resource, name: str) -> Object:
    kind_group, kind_version, kind, verbs = _subresource(resource, name)
    shown: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }
    if (kind_group, kind_version) != (resource.group, resource.version):  # else it is that of the list
        shown |= {"group": kind_group, "version": kind_version}
    return shown


def _groups(scheme: Scheme) -> list[str]:
    return list(dict.fromkeys(resource.group for resource in scheme.resources))


def _versions(scheme: Scheme, group_name: str) -> list[str]:
    found = dict.fromkeys(resource.version for resource in scheme.resources if resource.group == group_name)
    return sorted(found, key=version_priority)


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Order versions as Kubernetes does: v2 before v1, both before v1beta1, that before v1alpha1."""
    for rank, mark in enumerate(("", "beta", "alpha")):
        major, found, minor = version.removeprefix("v").partition(mark) if mark else (version[1:], "", "")
        if major.isdecimal() and bool(found) is bool(mark) and (not mark or minor.isdecimal()):
            return (rank, -int(major), -int(minor or 0), version)
    return (3, 0, 0, version)


def _resources(scheme: Scheme, group_name: str, version: str) -> list[Resource]:
    found: Iterable[Resource] = scheme.resources
    here = [resource for resource in found if (resource.group, resource.version) == (group_name, version)]
    return sorted(here, key=lambda resource: resource.plural)
