"""Compiled schemas: an OpenAPI v3 schema as a tree of small nodes, so that a walk looks up nothing twice.

One form serves the built-in kinds (definitions that refer to each other, some in circles) and CRDs (one inlined
structural schema): apiextensions' pkg/apiserver/schema. What the nodes' users need is kept, descriptions are not.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from roadstead.api.objects import ReadOnlyObject
from roadstead.lib.patterns import Pattern, PatternError, compile_pattern

MISSING: Final = object()
"""The default of a field that has none (None would be a default of null)."""

_PREFIX = "#/components/schemas/"
_LIMITS = (
    "maxLength", "minLength", "maximum", "minimum", "maxItems", "minItems", "maxProperties", "minProperties",
    "exclusiveMaximum", "exclusiveMinimum", "multipleOf", "uniqueItems",
)  # fmt: skip
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_KINDS = {_QUANTITY: "quantity"}


class Schema:
    """What one field may hold.

    `type` is `object`, `array`, `string`, `integer`, `number`, `boolean`, `int-or-string`, `quantity` or `any`.
    `properties` are the fields of an object, `values` is the schema of a map's values, `items` that of a list's
    entries. `list_type` is `atomic`, `set` or `map` (with `map_keys`); `atomic` is an object applied as a whole.
    An `open` object keeps unknown fields; a `strict` one, as in CRDs, has none but those it lists, even if none.
    `patch_merge`, `patch_replace` and `retain_keys` are the strategic merge strategies, with `merge_key`.
    """

    __slots__ = (
        "_ruled", "all_of", "any_of", "atomic", "default", "embedded", "enum", "format", "items", "limits", "list_type",
        "map_keys", "merge_key", "not_", "nullable", "one_of", "open", "patch_merge", "patch_replace", "pattern",
        "pattern_text", "properties", "required", "retain_keys", "rules", "strict", "type", "values",
    )  # fmt: skip

    def __init__(self, raw: ReadOnlyObject, name: str = "") -> None:
        self.type: str = _KINDS.get(name) or _type(raw)
        self.format: str = raw.get("format", "")
        self.properties: dict[str, Schema] = {}
        self.values: Schema | None = None
        self.items: Schema | None = None
        self.required: tuple[str, ...] = tuple(raw.get("required", ()))
        self.nullable = bool(raw.get("nullable"))
        self.open = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(raw.get("x-kubernetes-embedded-resource"))
        self.enum: tuple[Any, ...] = tuple(raw.get("enum", ()))
        self.pattern_text: str = raw.get("pattern", "")
        self.pattern: Pattern | None = _pattern(self.pattern_text)
        self.limits: dict[str, Any] = {key: raw[key] for key in _LIMITS if key in raw}
        self.rules: tuple[ReadOnlyObject, ...] = tuple(raw.get("x-kubernetes-validations", ()))
        self.strict = False
        self._ruled: bool | None = None
        self.all_of: tuple[Schema, ...] = ()
        self.any_of: tuple[Schema, ...] = ()
        self.one_of: tuple[Schema, ...] = ()
        self.not_: Schema | None = None
        self.default: Any = MISSING
        self.annotate(raw)

    def annotate(self, raw: ReadOnlyObject) -> None:
        """Take over what a field says about a definition that it refers to."""
        self.default = raw.get("default", self.default if hasattr(self, "default") else MISSING)
        strategies = (raw.get("x-kubernetes-patch-strategy") or "").split(",")
        self.patch_merge, self.patch_replace = "merge" in strategies, "replace" in strategies
        self.retain_keys = "retainKeys" in strategies
        self.merge_key: str = raw.get("x-kubernetes-patch-merge-key", "")
        self.list_type: str = raw.get("x-kubernetes-list-type", getattr(self, "list_type", "atomic"))
        self.map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", getattr(self, "map_keys", ())))
        kind = raw.get("x-kubernetes-map-type")
        # A field may be granular though its type is atomic: `claimRef` of a PersistentVolume.
        self.atomic: bool = kind == "atomic" if kind else getattr(self, "atomic", False)
        self.nullable = bool(raw.get("nullable", self.nullable))

    def child(self, name: str) -> "Schema | None":
        """Return the schema of a field or of a map's value, or None where nothing is known of it."""
        return self.properties.get(name) or self.values

    def has_rules(self) -> bool:
        """Say whether there are CEL rules here or anywhere below; the answer is remembered."""
        if self._ruled is None:
            self._ruled = False  # what a circle of definitions answers on its way round
            below = (*self.properties.values(), self.values, self.items)
            self._ruled = bool(self.rules) or any(child.has_rules() for child in below if child is not None)
        return self._ruled


def _type(raw: ReadOnlyObject) -> str:
    if raw.get("x-kubernetes-int-or-string") or raw.get("format") == "int-or-string":
        return "int-or-string"
    kind = raw.get("type")
    if isinstance(kind, str) and kind:
        return kind
    return "object" if "properties" in raw or "additionalProperties" in raw else "any"


def _pattern(text: str) -> Pattern | None:
    """Compile a pattern. None if there is none; validation of the definition says what is wrong with it."""
    try:
        return compile_pattern(text) if text else None
    except PatternError:
        return None


Definitions = Mapping[str, ReadOnlyObject]


class Compiler:
    """Compiles schemas that may refer to definitions; every definition becomes one node, circles included.

    `strict` is for CRDs: an object that lists no fields has none, where a built-in one may have any.
    """

    def __init__(self, definitions: Definitions, *, strict: bool = False) -> None:
        self._definitions = definitions
        self._strict = strict
        self._compiled: dict[str, Schema] = {}

    def definition(self, name: str) -> Schema:
        """Return the node of a definition. Raises KeyError for a name that is not defined."""
        if name not in self._compiled:
            raw = self._definitions[name]
            self._compiled[name] = node = Schema(raw, name)
            self._fill(node, raw)
        return self._compiled[name]

    def compile(self, raw: ReadOnlyObject) -> Schema:
        """Return the node of a schema."""
        name = reference(raw)
        if name:
            # A shallow copy shares the definition's `properties`, which may still be filling if it is a circle.
            node = copy.copy(self.definition(name))
            node.annotate(raw)
            return node
        node = Schema(raw)
        node.strict = self._strict
        self._fill(node, raw)
        return node

    def _fill(self, node: Schema, raw: ReadOnlyObject) -> None:
        for name, child in (raw.get("properties") or {}).items():
            node.properties[name] = self.compile(child)
        node.values = self._optional(raw.get("additionalProperties"))
        node.items = self._optional(raw.get("items"))
        node.not_ = self._optional(raw.get("not"))
        node.all_of = self._each(raw, "allOf")
        node.any_of = self._each(raw, "anyOf")
        node.one_of = self._each(raw, "oneOf") if node.type not in ("quantity", "int-or-string") else ()
        if raw.get("additionalProperties") is True:
            node.open = True

    def _optional(self, raw: Any) -> Schema | None:
        return self.compile(raw) if isinstance(raw, Mapping) else None

    def _each(self, raw: ReadOnlyObject, key: str) -> tuple[Schema, ...]:
        return tuple(self.compile(entry) for entry in raw.get(key) or ())


def reference(raw: ReadOnlyObject) -> str:
    """Return the name of the definition that a schema refers to, directly or as its only `allOf`; else `""`."""
    target = raw.get("$ref")
    if not isinstance(target, str):
        every: Sequence[ReadOnlyObject] = raw.get("allOf") or ()
        target = every[0].get("$ref") if len(every) == 1 else None
    return target.removeprefix(_PREFIX) if isinstance(target, str) else ""
