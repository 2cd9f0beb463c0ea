"""Paths of an OpenAPI v3 document: one operation per verb, with the parameters that clients look for.

Answers are described as they come: a list is a list, and whatever goes wrong is a Status. Next: `documents` puts the
schemas that operations refer to beside them.
"""

from collections.abc import Iterable, Sequence

from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.schemas import CustomResource
from roadstead.apiserver.schemas.tables import KINDS

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SCHEMAS = "#/components/schemas/"
SCALE = "io.k8s.api.autoscaling.v1.Scale"
_PATCH_TYPES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "pretty")
_DELETE_PARAMETERS = ("dryRun", "gracePeriodSeconds", "orphanDependents", "pretty", "propagationPolicy")
_LIST_PARAMETERS = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "pretty", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip


def paths(resource: Resource, name: str) -> Object:
    """Return the paths of a resource whose schema has this name."""
    verbs = set(resource.verbs)
    collection: Object = {}
    if "list" in verbs:
        collection["get"] = _operation(resource, list_name(name), "list", _LIST_PARAMETERS)
    if "create" in verbs:
        collection["post"] = _operation(resource, name, "post", _WRITE_PARAMETERS, body=("*/*",), codes=("201",))
    if "deletecollection" in verbs:
        collection["delete"] = _operation(resource, list_name(name), "deletecollection", _DELETE_PARAMETERS)
    root = resource.path("{namespace}")
    found = {root: _with_path_parameters(collection, resource, named=False)}
    if resource.namespaced and "list" in verbs:
        found[resource.path()] = {"get": _operation(resource, list_name(name), "list", _LIST_PARAMETERS)}
    if "get" in verbs:
        item = _with_path_parameters(_item_operations(resource, name), resource, named=True)
        found[f"{root}/{{name}}"] = item
        for subresource in sorted({"status", "scale"} & set(resource.subresources)):
            operations: Object = {verb: item[verb] for verb in ("get", "put", "patch") if verb in item}
            if subresource == "scale":
                operations = _scale_operations(resource)
            found[f"{root}/{{name}}/{subresource}"] = {**operations, "parameters": item["parameters"]}
    return found


def list_name(name: str) -> str:
    """Return the name of the schema of lists of objects whose schema has this name."""
    return f"{name}List"


def list_schema(resource: Resource, name: str) -> Object:
    """Return the schema of lists of a resource."""
    text = {"type": "string"}
    metadata = {"allOf": [{"$ref": f"{SCHEMAS}{META}ListMeta"}]}
    items = {"type": "array", "items": {"allOf": [{"$ref": SCHEMAS + name}]}}
    return {
        "type": "object",
        "description": f"{resource.kind}List is a list of {resource.kind}.",
        "required": ["items"],
        "properties": {"apiVersion": text, "kind": text, "metadata": metadata, "items": items},
        KINDS: [{"group": resource.group, "version": resource.version, "kind": f"{resource.kind}List"}],
    }


def _item_operations(resource: Resource, name: str) -> Object:
    operations: Object = {"get": _operation(resource, name, "get", ("pretty",))}
    if "update" in resource.verbs:
        operations["put"] = _operation(resource, name, "put", _WRITE_PARAMETERS, body=("*/*",))
    if "patch" in resource.verbs:
        operations["patch"] = _patch(resource, name)
    if "delete" in resource.verbs:
        # A Status, or the object that waits for its finalizers.
        operations["delete"] = _operation(resource, "", "delete", _DELETE_PARAMETERS, body=("*/*",))
    return operations


def _scale_operations(resource: Resource) -> Object:
    scale = Resource("autoscaling", "v1", resource.plural, "Scale", resource.namespaced)
    return {
        "get": _operation(scale, SCALE, "get", ("pretty",)),
        "put": _operation(scale, SCALE, "put", _WRITE_PARAMETERS, body=("*/*",)),
        "patch": _patch(scale, SCALE),
    }


def _patch(resource: Resource, name: str) -> Object:
    types = _PATCH_TYPES if isinstance(resource, CustomResource) else (*_PATCH_TYPES, _STRATEGIC)
    return _operation(resource, name, "patch", (*_WRITE_PARAMETERS, "force"), body=types, codes=("200", "201"))


_BODIES = {"patch": META + "Patch", "delete": META + "DeleteOptions"}
_BOOLEANS = {"allowWatchBookmarks", "force", "orphanDependents", "sendInitialEvents", "watch"}
_NUMBERS = {"gracePeriodSeconds", "limit", "timeoutSeconds"}


def _operation(
    resource: Resource,
    name: str,
    action: str,
    parameters: Iterable[str],
    *,
    body: Sequence[str] = (),
    codes: Sequence[str] = ("200",),
) -> Object:
    operation: Object = {
        "operationId": f"{action}{resource.group.partition('.')[0].title()}{resource.version.title()}{resource.kind}",
        "tags": [(resource.group or "core").partition(".")[0] + "_" + resource.version],
        "x-kubernetes-action": action,
        KINDS: {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": _responses(codes, name),
    }
    if body:
        sent = _content(body, _BODIES.get(action, name))
        operation["requestBody"] = {"content": sent, "required": action != "delete"}
    return operation


_DESCRIPTIONS = {"200": "OK", "201": "Created"}


def _responses(codes: Sequence[str], name: str) -> Object:
    """Return what may come back: the object in question, of any kind if it has no name, or a Status."""
    good = _content(("application/json",), name) if name else {"application/json": {"schema": {"type": "object"}}}
    failed = {"description": "Failure", "content": _content(("application/json",), META + "Status")}
    return {**{code: {"description": _DESCRIPTIONS[code], "content": good} for code in codes}, "default": failed}


def _content(types: Iterable[str], name: str) -> Object:
    return {type_: {"schema": {"$ref": SCHEMAS + name}} for type_ in types}


def _parameter(name: str) -> Object:
    type_ = "boolean" if name in _BOOLEANS else "integer" if name in _NUMBERS else "string"
    return {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}


def _with_path_parameters(operations: Object, resource: Resource, *, named: bool) -> Object:
    names = [*(["name"] if named else []), *(["namespace"] if resource.namespaced else [])]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
        for name in names
    ]
    return {**operations, "parameters": parameters}
