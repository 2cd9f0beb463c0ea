"""CustomResourceDefinitions: names, versions, and that the schemas are structural.

apiextensions' pkg/apis/apiextensions/validation and pkg/apiserver/schema (structural schemas).
"""

from collections.abc import Iterator, Sequence

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, immutable, one_of, required_name
from roadstead.lib.patterns import PatternError, compile_pattern

_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def validate_definition(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a CustomResourceDefinition."""
    spec = new.get("spec") or {}
    named = spec.get("names") or {}
    group, plural = spec.get("group", ""), named.get("plural", "")
    found: Causes = []
    expected = f"{plural}.{group}"
    if (new.get("metadata") or {}).get("name") != expected:
        name = (new.get("metadata") or {}).get("name", "")
        found.append(causes.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    found += required_name(spec, "spec", names.subdomain_complaints, key="group")
    if group and "." not in group:
        found.append(causes.invalid("spec.group", group, "should be a domain with at least one dot"))
    found += one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"), required=True)
    found += _names(named) + _versions(spec.get("versions") or ())
    strategy = (spec.get("conversion") or {}).get("strategy", "None")
    if strategy != "None":
        found.append(causes.not_supported("spec.conversion.strategy", strategy, ("None",)))
    return found + (_changes(spec, old.get("spec") or {}) if old is not None else [])


def _names(named: ReadOnlyObject) -> Causes:
    found: Causes = []
    for key in ("plural", "singular", "kind", "listKind"):
        found += required_name(named, "spec.names", lambda v: names.service_name_complaints(v.lower()), key=key)
    for key in ("plural", "singular"):
        if named.get(key) and named[key] != named[key].lower():
            found += complain(f"spec.names.{key}", named[key], names.service_name_complaints(named[key]))
    if named.get("kind") and named.get("kind") == named.get("listKind"):
        detail = "kind and listKind may not be the same"
        found.append(causes.invalid("spec.names.listKind", named["listKind"], detail))
    for key in ("shortNames", "categories"):
        for at, name in enumerate(named.get(key) or ()):
            found += complain(f"spec.names.{key}[{at}]", name, names.service_name_complaints(name))
    return found


def _versions(versions: Sequence[ReadOnlyObject]) -> Causes:
    listed = [version.get("name", "") for version in versions]
    found: Causes = []
    if len(set(listed)) != len(listed):
        found.append(causes.invalid("spec.versions", listed, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        found.append(causes.invalid("spec.versions", listed, detail))
    for at, version in enumerate(versions):
        found += _version(version, f"spec.versions[{at}]")
    return found


def _version(version: ReadOnlyObject, path: str) -> Causes:
    found = required_name(version, path, names.service_name_complaints)
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    where = f"{path}.schema.openAPIV3Schema"
    if schema is None:
        found.append(causes.required(where))
    else:
        if schema.get("type") != "object":
            found.append(causes.invalid(f"{where}.type", schema.get("type", ""), "must be object at the root"))
        found += _structural(schema, where)
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        column_path = f"{path}.additionalPrinterColumns[{at}]"
        types = ("boolean", "date", "integer", "number", "string")
        found += one_of(f"{column_path}.type", column.get("type"), types, required=True)
        found += [causes.required(f"{column_path}.{key}") for key in ("name", "jsonPath") if not column.get(key)]
    return found


def _structural(schema: ReadOnlyObject, path: str) -> Causes:
    """Return what keeps a schema from being structural, here and below."""
    found: Causes = []
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("type") or not free:
        found += one_of(f"{path}.type", schema.get("type"), _TYPES, required=True)
    found += _pattern(schema.get("pattern") or "", f"{path}.pattern")
    if isinstance(schema.get("$ref"), str):
        found.append(causes.forbidden(f"{path}.$ref", "$ref is not supported"))
    if schema.get("properties") and schema.get("additionalProperties"):
        found.append(causes.forbidden(f"{path}.additionalProperties", "must not be used together with properties"))
    if schema.get("type") == "array" and "items" not in schema:
        found.append(causes.required(f"{path}.items", "must be specified"))
    found += _list_keys(schema, path)
    for child, where in _children(schema, path):
        found += _structural(child, where)
    return found


def _pattern(text: str, path: str) -> Causes:
    try:
        compile_pattern(text)
    except PatternError as error:
        return [causes.invalid(path, text, f"must be a valid regular expression, but isn't: {error}")]
    return []


def _list_keys(schema: ReadOnlyObject, path: str) -> Causes:
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") != "map":
        return []
    if not keys:
        return [causes.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if list-type is map")]
    known = (schema.get("items") or {}).get("properties") or {}
    detail = "entries must all be names of item properties"
    field = f"{path}.x-kubernetes-list-map-keys"
    return [causes.invalid(f"{field}[{at}]", key, detail) for at, key in enumerate(keys) if key not in known]


def _children(schema: ReadOnlyObject, path: str) -> Iterator[tuple[ReadOnlyObject, str]]:
    for name, child in (schema.get("properties") or {}).items():
        if isinstance(child, dict):
            yield child, f"{path}.properties[{name}]"
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield schema[key], f"{path}.{key}"


def _changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    found = immutable(new.get("group"), old.get("group"), "spec.group")
    found += immutable(new.get("scope"), old.get("scope"), "spec.scope")
    after, before = new.get("names") or {}, old.get("names") or {}
    for key in ("kind", "plural"):
        found += immutable(after.get(key), before.get(key), f"spec.names.{key}")
    return found


VALIDATORS = {("apiextensions.k8s.io", "CustomResourceDefinition"): validate_definition}
