"""CustomResourceDefinitions: a kind that a user brings becomes a resource like the built-in ones.

    scheme = scheme.with_resources(resources(crd))  # one CustomResource per served version, its schema compiled once

A `CustomResource` is a `Resource` that carries its schema, so `validation`, `defaults`, `apply`, `tables` and `openapi`
take it without knowing that it is custom. A write to one starts with `prune(resource, obj)`, then comes
`defaults.apply_defaults`, then `validation.validate`. `accept(crd, now)` writes the status of the definition itself.
"""

from collections.abc import Iterator

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.objects import Object
from roadstead.api.resources import Resource, resource
from roadstead.apiserver.schemas.checking import type_causes
from roadstead.apiserver.schemas.pruning import prune as prune_value
from roadstead.apiserver.schemas.rules import unsupported_rules
from roadstead.apiserver.schemas.structure import Compiler, Schema
from roadstead.apiserver.schemas.tables import (
    ANYTHING,
    OBJECT_META,
    CustomResource,
    compile_definition,
    schema_of,
)

_DEFAULT_COLUMNS = ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)

_NO_RULES = (
    "These CEL rules are not understood by Roadstead and not evaluated; a cluster may refuse what is accepted here: "
)


def resources(crd: Object) -> list[CustomResource]:
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


def prune(resource: Resource, obj: Object) -> None:
    """Remove from an object of a custom resource what its schema does not know, in place; others are left alone."""
    if isinstance(resource, CustomResource):
        prune_value(obj, resource.schema)


def storage_version(crd: Object) -> str:
    """Return the version in which objects of a (validated) CRD are stored."""
    return next(str(version["name"]) for version in crd["spec"]["versions"] if version.get("storage"))


def accept(crd: Object, now: str) -> None:
    """Fill in a definition's names and write its status in place: names accepted, established.

    A definition that is malformed is left alone: validation says what is wrong. CEL rules that are not understood here
    are named in the condition `ValidationRulesEvaluated`.
    """
    if type_causes(crd, schema_of(resource("CustomResourceDefinition"))) or not _fill_in_names(crd):
        return
    spec, status = crd["spec"], crd.get("status") or {}
    wanted = [
        condition("NamesAccepted", True, "NoConflicts", "no conflicts found"),
        condition("Established", True, "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    if rules := unsupported_rules(spec["versions"]):
        wanted.append(condition("ValidationRulesEvaluated", False, "NotSupported", _NO_RULES + "; ".join(rules)))
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    before = status.get("storedVersions") or []
    crd["status"] = {
        **status,
        "acceptedNames": dict(spec["names"]),
        "conditions": merge_conditions(status.get("conditions") or [], wanted, now),
        "storedVersions": [*before, *(name for name in stored if name not in before)],
    }


def _fill_in_names(crd: Object) -> bool:
    """Fill in what a definition may leave out; say whether it has at least a kind and versions."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    kind = names.get("kind")
    if not kind or not all("name" in version for version in spec.get("versions") or [{}]):
        return False
    names.setdefault("listKind", f"{kind}List")
    names.setdefault("singular", kind.lower())
    spec.setdefault("conversion", {"strategy": "None"})
    return True
