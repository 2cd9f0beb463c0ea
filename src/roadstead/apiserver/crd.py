"""CustomResourceDefinitions: a kind that a user brings becomes a resource like the built-in ones.

    for resource in resources_of(crd):              # one CustomResource per served version, its schema compiled once
        scheme = scheme.with_resources([resource])

A `CustomResource` is a `Resource` that carries its schema, so `validation`, `defaults`, `apply`, `tables` and `openapi`
take it without knowing that it is custom. `prune_unknown(resource, obj)` is what a write does first, then
`defaults.apply_defaults`, then `validation.validate`. `accepted_status(crd, now)` is what the server writes back.
"""

import re
from collections.abc import Iterator
from typing import Any

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.schemas.pruning import prune
from roadstead.apiserver.schemas.structure import Compiler, Schema
from roadstead.apiserver.schemas.tables import ANYTHING, OBJECT_META, CustomResource, compile_definition

_DEFAULT_COLUMNS = ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)

_NO_RULES = (
    "x-kubernetes-validations (CEL) of this definition are not evaluated by Roadstead; types, limits and patterns are. "
    "A cluster may refuse objects that are accepted here."
)


def resources_of(crd: Object) -> list[CustomResource]:
    """Return the resources that a (validated) CRD serves, one per version."""
    return [_resource(crd["spec"], version) for version in crd["spec"]["versions"] if version.get("served")]


def _resource(spec: Object, version: Object) -> CustomResource:
    names = spec["names"]
    raw = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    subresources = version.get("subresources") or {}
    return CustomResource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        spec["scope"] == "Namespaced",
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
        tuple(name for name in ("status", "scale") if name in subresources),
        schema=compile_structural(raw),
        raw_schema=raw,
        columns=tuple(version.get("additionalPrinterColumns") or _DEFAULT_COLUMNS),
        scale=subresources.get("scale"),
    )


def compile_structural(raw: Object) -> Schema:
    """Compile the structural schema of a CRD's version; `apiVersion`, `kind` and `metadata` are as everywhere."""
    if not raw:
        return ANYTHING
    schema = Compiler({}, strict=True).compile(raw)
    text = Schema({"type": "string"})
    metadata = compile_definition(OBJECT_META)
    schema.properties.update({"apiVersion": text, "kind": text, "metadata": metadata})
    for embedded in _embedded(schema, set()):
        embedded.properties.update({"apiVersion": text, "kind": text, "metadata": metadata})
    return schema


def _embedded(schema: Schema, seen: set[int]) -> Iterator[Schema]:
    if id(schema) in seen:
        return
    seen.add(id(schema))
    if schema.embedded:
        yield schema
    for child in (*schema.properties.values(), schema.values, schema.items):
        if child is not None:
            yield from _embedded(child, seen)


def prune_unknown(resource: Resource, obj: Object) -> None:
    """Remove from an object of a custom resource what its schema does not know, in place; others are left alone."""
    if isinstance(resource, CustomResource):
        prune(obj, resource.schema)


def accepted_status(crd: Object, now: str) -> Object:
    """Return the `status` of a CRD that is served from now on: its names are accepted and it is established.

    CEL rules are not evaluated; a CRD that has some says so in the condition `ValidationRulesEvaluated`.
    """
    spec = crd["spec"]
    status = crd.get("status") or {}
    wanted = [
        condition("NamesAccepted", True, "NoConflicts", "no conflicts found"),
        condition("Established", True, "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    if has_rules(crd):
        wanted.append(condition("ValidationRulesEvaluated", False, "NotSupported", _NO_RULES))
    names = {"listKind": f"{spec['names']['kind']}List", "singular": spec["names"]["kind"].lower(), **spec["names"]}
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    before = status.get("storedVersions") or []
    return {
        **status,
        "acceptedNames": names,
        "conditions": merge_conditions(status.get("conditions") or [], wanted, now),
        "storedVersions": [*before, *(name for name in stored if name not in before)],
    }


def has_rules(raw: Any) -> bool:
    """Say whether CEL rules appear anywhere in a CRD or a schema."""
    if isinstance(raw, dict):
        return "x-kubernetes-validations" in raw or any(has_rules(entry) for entry in raw.values())
    return isinstance(raw, list) and any(has_rules(entry) for entry in raw)


def fill_in_names(crd: Object) -> None:
    """Fill in the names that a CRD may leave out (`listKind`, `singular`) and its conversion, in place."""
    spec = crd.get("spec")
    if not isinstance(spec, dict) or not isinstance(names := spec.get("names"), dict):
        return
    kind = names.get("kind")
    if isinstance(kind, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", kind):
        names.setdefault("listKind", f"{kind}List")
        names.setdefault("singular", kind.lower())
    spec.setdefault("conversion", {"strategy": "None"})
