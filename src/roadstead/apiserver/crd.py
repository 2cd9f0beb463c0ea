"""CustomResourceDefinitions: a kind that a user brings becomes a resource like the built-in ones.

    scheme = scheme.with_resources(resources(crd))  # one CustomResource per served version, its schema compiled once

A `CustomResource` is a `Resource` that carries its schema, so `validation`, `defaults`, `apply`, `tables` and `openapi`
take it without knowing that it is custom. A write to one starts with `prune(resource, obj)`, then comes
`defaults.apply_defaults`, then `validation.validate`. `accept(crd, now, others)` writes the definition's own status.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from roadstead.api.conditions import condition, is_true, merge_conditions
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
    """Return the resources that a (validated) CRD serves, one per version, by the names that were accepted."""
    spec = crd["spec"]
    names = (crd.get("status") or {}).get("acceptedNames") or spec["names"]
    return [_resource(spec, names, version) for version in spec["versions"] if version.get("served")]


def _resource(spec: Object, names: Object, version: Object) -> CustomResource:
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
        selectable=frozenset(entry["jsonPath"].lstrip(".") for entry in version.get("selectableFields") or ()),
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


@dataclass(frozen=True, slots=True)
class Names:
    """Names that are in use in a group: of resources (plural, singular, short) and of kinds (and of their lists)."""

    resources: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    @classmethod
    def of(cls, group: str, built_in: Iterable[Resource], definitions: Iterable[Object]) -> "Names":
        """Return the names that built-in resources and other definitions' accepted names take."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for known in built_in:
            if known.group == group:
                resources |= {known.plural, known.singular, *known.short_names}
                kinds |= {known.kind, f"{known.kind}List"}
        for other in definitions:
            if other["spec"].get("group") == group:
                accepted = (other.get("status") or {}).get("acceptedNames") or {}
                resources |= {accepted.get("plural", ""), accepted.get("singular", "")}
                resources.update(accepted.get("shortNames") or ())
                kinds |= {accepted.get("kind", ""), accepted.get("listKind", "")}
        return cls(frozenset(resources - {""}), frozenset(kinds - {""}))


def accept(crd: Object, now: str, others: Names) -> None:
    """Write a definition's status in place: which of its names are accepted, whether it is established.

    A name that is in use already is not accepted; a definition is established, and served from then on, once all of
    its names are (apiextensions' pkg/controller/status). One that is malformed is left alone: validation says what is
    wrong. CEL rules that are not understood here are named in the condition `ValidationRulesEvaluated`.
    """
    if type_causes(crd, schema_of(resource("CustomResourceDefinition"))) or not _is_readable(crd):
        return
    spec, status = crd["spec"], crd.get("status") or {}
    accepted, conflict = _accepted_names(spec["names"], status.get("acceptedNames") or {}, others)
    wanted = [condition("NamesAccepted", not conflict, *(conflict or ("NoConflicts", "no conflicts found")))]
    if not conflict or is_true(status.get("conditions") or (), "Established"):
        wanted.append(condition("Established", True, "InitialNamesAccepted", "the initial names have been accepted"))
    else:
        wanted.append(condition("Established", False, "NotAccepted", "not all names are accepted"))
    if rules := unsupported_rules(spec["versions"]):
        wanted.append(condition("ValidationRulesEvaluated", False, "NotSupported", _NO_RULES + "; ".join(rules)))
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    before = status.get("storedVersions") or []
    crd["status"] = {
        **status,
        "acceptedNames": accepted,
        "conditions": merge_conditions(status.get("conditions") or [], wanted, now),
        "storedVersions": [*before, *(name for name in stored if name not in before)],
    }


_CONFLICTS = (("plural", "Plural"), ("singular", "Singular"), ("kind", "Kind"), ("listKind", "ListKind"))


def _accepted_names(wanted: Object, before: Object, others: Names) -> tuple[Object, tuple[str, str] | None]:
    """Return the names that a definition has, and the reason and message of the last conflict if there is one."""
    accepted, conflict = dict(before), None
    for field, word in _CONFLICTS:
        taken = others.kinds if word.endswith("Kind") else others.resources
        if wanted[field] in taken and wanted[field] != before.get(field):
            conflict = (f"{word}Conflict", f'"{wanted[field]}" is already in use')
        else:
            accepted[field] = wanted[field]
    short = [name for name in wanted.get("shortNames") or () if name not in (before.get("shortNames") or ())]
    if in_use := [f'"{name}" is already in use' for name in short if name in others.resources]:
        conflict = ("ShortNamesConflict", in_use[0] if len(in_use) == 1 else f"[{', '.join(in_use)}]")
    else:
        accepted["shortNames"] = wanted.get("shortNames") or []
    accepted["categories"] = wanted.get("categories") or []
    return {field: value for field, value in accepted.items() if value}, conflict


def is_established(crd: Object) -> bool:
    """Say whether a definition is to be served."""
    return is_true((crd.get("status") or {}).get("conditions") or (), "Established")


def _is_readable(crd: Object) -> bool:
    """Say whether a definition has names and versions; what it may leave out has its defaults."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    named = all(names.get(field) for field, _ in _CONFLICTS)
    return named and all("name" in version for version in spec.get("versions") or [{}])
