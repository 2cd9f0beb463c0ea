"""OpenAPI v3: what kubectl asks before it applies, explains or edits anything.

`kubectl apply` wants to see that PATCH takes `fieldValidation` and `dryRun`; `kubectl explain` looks for the group,
version and kind on the operations of `paths` and walks `components`. Documents are one per group and version; the index
names each with a hash of its content, because kubectl keeps a document on disk for as long as the hash is the same.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource, Scheme
from roadstead.apiserver import crd as custom
from roadstead.apiserver.openapi.paths import SCHEMAS, list_name, list_schema
from roadstead.apiserver.openapi.paths import paths as paths_of
from roadstead.apiserver.schemas import CustomResource
from roadstead.apiserver.schemas.tables import KINDS, OBJECT_META, definition_names, definitions, descriptions


def index(scheme: Scheme, crds: Sequence[Object]) -> Object:
    """Return the answer to `GET /openapi/v3`: every group and version, with a URL that changes with its content.

    `crds` are definitions whose resources are not in the scheme already as `CustomResource`.
    """
    resources = _resources(scheme, crds)
    paths = {}
    for root in sorted({resource.root for resource in resources}):
        served = tuple(resource for resource in resources if resource.root == root)
        hash_ = _digest(_document(served)) if _has_custom(served) else _built_in_digest(served)
        paths[root.removeprefix("/")] = {"serverRelativeURL": f"/openapi/v3{root}?hash={hash_}"}
    return {"paths": paths}


def _digest(shown: Object) -> str:
    return hashlib.sha256(msgspec.json.encode(shown, order="deterministic")).hexdigest().upper()


def _has_custom(served: Iterable[Resource]) -> bool:
    return any(isinstance(resource, CustomResource) for resource in served)


def document(scheme: Scheme, group_version: str, crds: Sequence[Object]) -> Object:
    """Return the OpenAPI v3 document of a group and version, written `apps/v1`, `apis/apps/v1`, `v1` or `api/v1`.

    A group and version that nobody serves gives a document without paths.
    """
    wanted = group_version.strip("/").removeprefix("apis/").removeprefix("api/")
    served = tuple(resource for resource in _resources(scheme, crds) if resource.api_version == wanted)
    return _document(served) if _has_custom(served) else _built_in_document(served)


@cache
def _built_in_document(served: tuple[Resource, ...]) -> Object:
    return _document(served)


@cache
def _built_in_digest(served: tuple[Resource, ...]) -> str:
    return _digest(_built_in_document(served))


def _resources(scheme: Scheme, crds: Iterable[Object]) -> tuple[Resource, ...]:
    return scheme.with_resources(found for crd in crds for found in custom.resources(crd)).resources


def _document(served: Iterable[Resource]) -> Object:
    paths: Object = {}
    components: Object = {}
    for resource in served:
        name = definition_name(resource)
        paths.update(paths_of(resource, name))
        components[name] = _schema(resource, name)
        if "list" in resource.verbs:
            components[list_name(name)] = list_schema(resource, name)
    _add_referenced(components, [*components.values(), *paths.values()])
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items()))},
    }


def definition_name(resource: Resource) -> str:
    """Return the name of a resource's schema; that of a custom one is its reversed group, version and kind."""
    kind = (resource.group, resource.version, resource.kind)
    reversed_ = ".".join((*reversed(resource.group.split(".")), resource.version, resource.kind))
    return reversed_ if isinstance(resource, CustomResource) else definition_names().get(kind, reversed_)


def _schema(resource: Resource, name: str) -> Object:
    kinds = [{"group": resource.group, "version": resource.version, "kind": resource.kind}]
    if not isinstance(resource, CustomResource):
        return _described(name) if name in definitions() else {"type": "object", KINDS: kinds}
    schema = published(resource.raw_schema)
    schema.setdefault("type", "object")
    standard = {key: {"type": "string"} for key in ("apiVersion", "kind")}
    metadata = {"allOf": [{"$ref": SCHEMAS + OBJECT_META}]}
    schema["properties"] = {**schema.get("properties", {}), **standard, "metadata": metadata}
    return {**schema, KINDS: kinds}


def published(raw: Any) -> Any:
    """Return the schema of a CRD as OpenAPI shows it: without rules and without what OpenAPI v3.0 cannot say."""
    if not isinstance(raw, dict):
        return raw
    shown = {key: value for key, value in raw.items() if key not in ("x-kubernetes-validations", "properties")}
    for key in ("items", "additionalProperties", "not"):
        if key in shown:
            shown[key] = published(shown[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in shown:
            shown[key] = [published(entry) for entry in shown[key]]
    if "properties" in raw:
        shown["properties"] = {name: published(child) for name, child in raw["properties"].items()}
    return shown


@cache
def _described(name: str) -> Object:
    """Return a definition with its descriptions put back."""
    schema: Object = published(join_descriptions(definitions()[name], descriptions().get(name, {})))
    return schema


def join_descriptions(schema: ReadOnlyObject, texts: ReadOnlyObject) -> Object:
    """Return a schema with the descriptions of a tree as `scripts/generate_schemas.py` makes it."""
    joined: Object = {"description": texts[""], **schema} if "" in texts else dict(schema)
    if "p" in texts:
        joined["properties"] = {
            name: join_descriptions(child, texts["p"].get(name, {})) for name, child in schema["properties"].items()
        }
    for key, short in (("items", "i"), ("additionalProperties", "a")):
        if short in texts:
            joined[key] = join_descriptions(schema[key], texts[short])
    return joined


def _add_referenced(components: Object, roots: Iterable[Any]) -> None:
    pending = [name for root in roots for name in _references(root)]
    while pending:
        name = pending.pop()
        if name not in components and name in definitions():
            components[name] = _described(name)
            pending += _references(components[name])


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        # A CRD's own schema has a property that is called `$ref`: only a text is a reference.
        if isinstance(target := schema.get("$ref"), str):
            yield target.removeprefix(SCHEMAS)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
