"""Requests as values: what is asked of an API server, without asking it.

Every function returns a `Request`; `http` sends it and `client` reads the answer. Pure, so that a test can
compare what would be sent. Paths and parameters: kubernetes.io/docs/reference/using-api/api-concepts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from roadstead.api.objects import Object, ReadOnlyObject, key_of
from roadstead.api.resources import Resource

PatchKind: TypeAlias = Literal["merge", "strategic", "json"]

Patch: TypeAlias = Mapping[str, Any] | list[Any]
"""A merge patch is an object, a JSON patch a list of operations."""

_JSON = "application/json"
_PATCH_TYPES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: `target` is the path with its query."""

    method: str
    target: str
    body: bytes = b""
    content_type: str = ""


def target(path: str, **parameters: str) -> str:
    """Return a path with those query parameters that are not empty; `_` after a Python keyword is dropped."""
    query = urlencode({key.rstrip("_"): value for key, value in parameters.items() if value})
    return f"{quote(path)}?{query}" if query else quote(path)


def get(resource: Resource, namespace: str, name: str, subresource: str = "") -> Request:
    """Read one object."""
    return Request("GET", target(resource.path(namespace, name, subresource)))


def list_all(
    resource: Resource, namespace: str = "", label_selector: str = "", field_selector: str = "", version: str = ""
) -> Request:
    """Read a collection; `version` is a resourceVersion that the answer must not be older than."""
    return Request(
        "GET",
        target(
            resource.path(namespace),
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=version,
        ),
    )


def watch(
    resource: Resource,
    namespace: str = "",
    label_selector: str = "",
    field_selector: str = "",
    *,
    version: str = "",
    initial_events: bool = False,
    timeout_seconds: int = 300,
) -> Request:
    """Follow a collection from `version` on; `initial_events` (WatchList, KEP-3157) begins with all there is."""
    streaming = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"} if initial_events else {}
    return Request(
        "GET",
        target(
            resource.path(namespace),
            watch="true",
            allowWatchBookmarks="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=version,
            timeoutSeconds=str(timeout_seconds),
            **streaming,
        ),
    )


def create(resource: Resource, obj: ReadOnlyObject, *, field_manager: str = "", subresource: str = "") -> Request:
    """Create an object, or POST to a subresource (`binding`, `eviction`) of the object that `obj` names."""
    namespace, name = key_of(obj)
    path = resource.path(namespace, name if subresource else "", subresource)
    return Request("POST", target(path, fieldManager=field_manager), encode(obj), _JSON)


def replace(resource: Resource, obj: ReadOnlyObject, *, subresource: str = "") -> Request:
    """Replace an object; its resourceVersion, if it has one, guards against writing over a newer one."""
    namespace, name = key_of(obj)
    return Request("PUT", target(resource.path(namespace, name, subresource)), encode(obj), _JSON)


def patch(
    resource: Resource,
    name: str,
    namespace: str,
    body: Patch,
    kind: PatchKind = "merge",
    *,
    subresource: str = "",
    field_manager: str = "",
) -> Request:
    """Change parts of an object."""
    path = resource.path(namespace, name, subresource)
    return Request("PATCH", target(path, fieldManager=field_manager), encode(body), _PATCH_TYPES[kind])


def apply(
    resource: Resource, obj: ReadOnlyObject, *, field_manager: str, force: bool = True, subresource: str = "",
    field_validation: str = "",
) -> Request:  # fmt: skip
    """State the fields that this manager wants (server-side apply); `force` takes them from other managers."""
    namespace, name = key_of(obj)
    path = target(
        resource.path(namespace, name, subresource),
        fieldManager=field_manager,
        force="true" if force else "false",
        fieldValidation=field_validation,
    )
    # JSON is YAML: the server reads either under this content type.
    return Request("PATCH", path, encode(obj), "application/apply-patch+yaml")


def delete(
    resource: Resource,
    name: str,
    namespace: str,
    *,
    propagation: str = "Background",
    grace_period_seconds: int | None = None,
    preconditions_uid: str | None = None,
) -> Request:
    """Delete an object; `preconditions_uid` spares a namesake that was created since."""
    options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if preconditions_uid:
        options["preconditions"] = {"uid": preconditions_uid}
    return Request("DELETE", target(resource.path(namespace, name)), encode(options), _JSON)


def encode(value: object) -> bytes:
    """Return a value as JSON."""
    return msgspec.json.encode(value)
