"""Selectors: how a list, a Service, a policy or a controller picks objects.

Label selectors exist twice in Kubernetes: as the text of a query (`app=web,tier in (a, b),!legacy`; apimachinery's
pkg/labels/selector.go) and as JSON (`matchLabels`, `matchExpressions`). Both become the same tuple of `Requirement`s.
Field selectors know only equality.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roadstead.api.errors import BadRequest
from roadstead.api.objects import ReadOnlyObject

_TERM = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<absent_key>[^\s,!=()<>]+)
      | (?P<key>[^\s,!=()<>]+)\s*(?:
            (?P<set>\bin\b|\bnotin\b)\s*\((?P<values>[^)]*)\)
          | (?P<operator>==|=|!=|<|>)\s*(?P<value>[^\s,!=()<>]*)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE,
)
_FIELD_TERM = re.compile(r"(?:\\.|[^,\\])+", re.DOTALL)
_FIELD = re.compile(r"(?P<path>(?:\\.|[^\\!=])*)(?P<operator>!=|==|=)(?P<value>.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_UNSET = {"spec.hostNetwork": "false", "spec.unschedulable": "false", "status.replicas": "0", "status.successful": "0"}
_KEPT_AT = {"status.successful": "status.succeeded"}
_OPERATORS = {"=": "In", "==": "In", "!=": "NotIn", "in": "In", "notin": "NotIn", "<": "Lt", ">": "Gt"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label: `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels satisfy this requirement; NotIn is satisfied by an absent label."""
        present = self.key in labels
        if self.operator == "Exists":
            return present
        if self.operator == "DoesNotExist":
            return not present
        if self.operator == "NotIn":
            return not present or labels[self.key] not in self.values
        return present and self._compares(labels[self.key])

    def _compares(self, value: str) -> bool:
        if self.operator == "In":
            return value in self.values
        try:
            number, bound = int(value), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == "Gt" else number < bound


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = LabelSelector()


def parse_label_selector(text: str) -> LabelSelector:
    """Read the text form. Raises BadRequest that quotes the text from where it cannot be understood."""
    requirements: list[Requirement] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise BadRequest(f"unable to parse label selector {text!r}: unexpected {text[position:]!r}")
        requirements.append(_requirement(match))
        position = match.end()
    return LabelSelector(tuple(requirements))


def _requirement(match: re.Match[str]) -> Requirement:
    if match["absent"]:
        return Requirement(match["absent_key"], "DoesNotExist")
    if match["set"]:
        values = tuple(value.strip() for value in match["values"].split(","))
        return Requirement(match["key"], _OPERATORS[match["set"]], values)
    if match["operator"]:
        return Requirement(match["key"], _OPERATORS[match["operator"]], (match["value"],))
    return Requirement(match["key"], "Exists")


def label_selector_from(selector: Mapping[str, Any] | None) -> LabelSelector:
    """Read the JSON form (`metav1.LabelSelector`). An empty selector matches everything; None matches nothing.

    An unknown operator matches nothing rather than everything: validation refuses it, stored objects may predate it.
    """
    if selector is None:
        return LabelSelector((Requirement("", "Exists"),))
    equal = [Requirement(key, "In", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    terms = [
        Requirement(term["key"], term["operator"], tuple(term.get("values") or ()))
        for term in selector.get("matchExpressions") or ()
    ]
    return LabelSelector((*equal, *terms))


def label_selector_of(labels: Mapping[str, str]) -> LabelSelector:
    """Return the selector that a Service's plain `spec.selector` map means."""
    return LabelSelector(tuple(Requirement(key, "In", (value,)) for key, value in labels.items()))


def pod_selector_of(workload: ReadOnlyObject) -> LabelSelector:
    """Return what picks the pods of a workload; one without a selector has none.

    Of ReplicationControllers, the only ones of the API's first version, it is a plain map.
    """
    selector = (workload.get("spec") or {}).get("selector")
    if workload.get("kind") == "ReplicationController" and selector:
        return label_selector_of(selector)
    return label_selector_from(selector)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Equalities on fields: `(path, wanted, equal)` each, for instance `("metadata.name", "web", True)`."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, obj: ReadOnlyObject) -> bool:
        """Say whether the object's fields are as wanted; an absent field counts as its type's zero."""
        return all((_field(obj, path) == wanted) is equal for path, wanted, equal in self.terms)


def parse_field_selector(text: str) -> FieldSelector:
    """Read `path=value,path!=value`, where `\\` escapes a comma or an equals sign. Raises BadRequest otherwise."""
    terms: list[tuple[str, str, bool]] = []
    for term in filter(None, _FIELD_TERM.findall(text)):
        match = _FIELD.fullmatch(term)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        terms.append((match["path"], _unescaped(match["value"]), match["operator"] != "!="))
    return FieldSelector(tuple(terms))


def _unescaped(value: str) -> str:
    for escaped in _ESCAPE.finditer(value):
        if escaped[1] not in {"\\", ",", "="}:
            raise BadRequest(f"invalid field selector: invalid escape sequence: {escaped[0]}")
    return _ESCAPE.sub(r"\1", value)


def _field(obj: ReadOnlyObject, path: str) -> str:
    value: Any = obj
    for part in _KEPT_AT.get(path, path).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool):
        return str(value).lower()
    return _UNSET.get(path, "") if value is None else str(value)
