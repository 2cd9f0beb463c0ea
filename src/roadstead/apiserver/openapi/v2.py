"""OpenAPI v2: one document of everything, for clients that do not know v3, and for `--output=plaintext-openapiv2`.

It is made from the documents of v3, with what v2 cannot say left out (kube-openapi's pkg/schemaconv and apiextensions'
pkg/controller/openapi/v2). Next: `v2_protobuf`, the form in which client-go asks for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Scheme
from roadstead.apiserver.openapi.documents import document
from roadstead.apiserver.openapi.paths import SCHEMAS

_DEFINITIONS = "#/definitions/"
_UNKNOWN_TO_V2 = frozenset({"anyOf", "oneOf", "not", "nullable", "allOf", "$ref", "properties", "items"})
_METHODS = ("get", "put", "post", "delete", "patch")


def swagger(scheme: Scheme) -> Object:
    """Return the OpenAPI v2 document of everything that a scheme serves."""
    definitions: Object = {}
    paths: Object = {}
    for group_version in sorted({resource.api_version for resource in scheme.resources}):
        shown = document(scheme, group_version, ())
        for name, schema in shown["components"]["schemas"].items():
            if name not in definitions:
                definitions[name] = _schema(schema)
        for path, item in shown["paths"].items():
            paths[path] = _path(item)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
    }


def _schema(schema: ReadOnlyObject) -> Object:
    if target := _reference(schema):
        described = {"description": schema["description"]} if "description" in schema else {}
        return {**described, "$ref": _DEFINITIONS + target}
    shown: Object = {key: value for key, value in schema.items() if key not in _UNKNOWN_TO_V2}
    if schema.get("nullable") or schema.get("x-kubernetes-preserve-unknown-fields"):
        # Published with its fields, such a schema would make clients refuse what the server takes.
        shown.pop("type", None)
        return {key: value for key, value in shown.items() if key not in ("additionalProperties", "required")}
    if "properties" in schema:
        shown["properties"] = {name: _schema(child) for name, child in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        shown["items"] = _schema(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        shown["additionalProperties"] = _schema(schema["additionalProperties"])
    return shown


def _reference(schema: ReadOnlyObject) -> str:
    """Return the definition that a schema refers to, directly or as its only `allOf`; else `""`."""
    every: Sequence[ReadOnlyObject] = schema.get("allOf") or ()
    target = every[0].get("$ref") if len(every) == 1 else schema.get("$ref")
    return target.removeprefix(SCHEMAS) if isinstance(target, str) else ""


def _path(item: ReadOnlyObject) -> Object:
    shown: Object = {method: _operation(item[method]) for method in _METHODS if method in item}
    if "parameters" in item:
        shown["parameters"] = list(_parameters(item["parameters"]))
    return shown


def _operation(operation: ReadOnlyObject) -> Object:
    body = operation.get("requestBody") or {}
    parameters = list(_parameters(operation["parameters"]))
    if body:
        schema = next(iter(body["content"].values()))["schema"]
        sent = {"name": "body", "in": "body", "required": body["required"], "schema": _schema(schema)}
        parameters.insert(0, sent)
    kept = {key: value for key, value in operation.items() if key in ("operationId", "tags") or key.startswith("x-")}
    consumes = list(body.get("content") or ("*/*",))
    return {
        **kept,
        "consumes": consumes,
        "produces": ["application/json"],
        "parameters": parameters,
        "responses": {code: _response(answer) for code, answer in operation["responses"].items()},
    }


def _parameters(parameters: Iterable[ReadOnlyObject]) -> Iterator[Object]:
    for parameter in parameters:
        schema: dict[str, Any] = dict(parameter["schema"])
        yield {**{key: value for key, value in parameter.items() if key != "schema"}, **schema}


def _response(answer: ReadOnlyObject) -> Object:
    content: ReadOnlyObject = next(iter((answer.get("content") or {}).values()), {})
    shown: Object = {"description": answer["description"]}
    return {**shown, "schema": _schema(content["schema"])} if "schema" in content else shown
