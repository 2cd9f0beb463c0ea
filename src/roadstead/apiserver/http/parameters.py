"""The query of a request, read once into options with types. A value that cannot be understood is a BadRequest."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from roadstead.api.errors import BadRequest, invalid
from roadstead.api.objects import Object
from roadstead.api.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    Requirement,
    parse_field_selector,
    parse_label_selector,
)
from roadstead.apiserver.causes import Cause, Causes, forbidden, printed, required, too_long
from roadstead.apiserver.causes import invalid as invalid_value
from roadstead.apiserver.validation.names import label_value_complaints, qualified_name_complaints

Query = Mapping[str, Sequence[str]]
FieldValidation = Literal["Strict", "Warn", "Ignore"]
ANY_FIELDS = FieldSelector()
META = "meta.k8s.io"
_LONGEST_MANAGER = 128
_POLICIES = ("Foreground", "Background", "Orphan")
_NEWEST = frozenset({"", "0"})
_INTEGER, _DIGITS = re.compile(r"[+-]?[0-9]+"), re.compile(r"[0-9]+")
_INTEGERS, _REVISIONS = range(-(1 << 63), 1 << 63), range(1 << 64)
_MOST_DIGITS = 40  # beyond which no number is looked at
_VALIDATIONS: dict[str, FieldValidation] = {"Strict": "Strict", "Warn": "Warn", "Ignore": "Ignore"}


def parse_query(text: str) -> Query:
    """Read a query string; every parameter keeps all of its values."""
    return parse_qs(text, keep_blank_values=True)


def first(query: Query, key: str) -> str:
    """Return a parameter's first value, empty if it is absent."""
    return query[key][0] if key in query else ""


def flag(query: Query, key: str) -> bool:
    """Return a boolean parameter as Go reads it: present and neither `false` nor `0`."""
    return key in query and first(query, key).lower() not in {"false", "0"}


def number(query: Query, key: str) -> int | None:
    """Return an integer parameter, None if it is absent. Raises BadRequest if it is not one of 64 bits."""
    return _parsed("ParseInt", first(query, key), _INTEGER, _INTEGERS) if key in query else None


def _parsed(function: str, text: str, form: re.Pattern[str], bounds: range) -> int:
    """Read a number as a function of Go's strconv does, whose words clients see. Raises BadRequest."""
    if not form.fullmatch(text):
        raise BadRequest(f"strconv.{function}: parsing {printed(text)}: invalid syntax")
    if len(text) > _MOST_DIGITS or int(text) not in bounds:
        raise BadRequest(f"strconv.{function}: parsing {printed(text)}: value out of range")
    return int(text)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or a watch asks for (`metav1.ListOptions`). `revision` is None for "whatever is newest"."""

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = ANY_FIELDS
    limit: int = 0
    resume: "Continuation | None" = None
    revision: int | None = None
    revision_match: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    initial_events: bool | None = None

    @classmethod
    def of(cls, query: Query, *, watch: bool = False) -> "ListOptions":
        """Read them. Raises BadRequest for what cannot be understood, Invalid for what does not go together."""
        given = cls(
            labels=_label_selector(first(query, "labelSelector")),
            fields=parse_field_selector(first(query, "fieldSelector")),
            limit=max(0, number(query, "limit") or 0),
            revision_match=first(query, "resourceVersionMatch"),
            timeout_seconds=number(query, "timeoutSeconds"),
            bookmarks=flag(query, "allowWatchBookmarks"),
            initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
        )
        version, token = first(query, "resourceVersion"), first(query, "continue")
        problems = [*(_of_watch(given) if watch else _of_list(given, version)), *_of_match(given, token)]
        if problems:
            raise invalid("ListOptions", META, "", problems)
        if watch:
            newest = version in _NEWEST and given.initial_events is None
            return replace(given, revision=_revision(version), initial_events=True if newest else given.initial_events)
        # What may be of any age comes whole: a cache answers, which keeps no pages.
        whole = version == "0" and not token and given.revision_match != "Exact"
        resume = _resumed(token, version) if token else None
        return replace(given, revision=_revision(version), resume=resume, limit=0 if whole else given.limit)

    @property
    def exact_name(self) -> str:
        """The one `metadata.name` that the field selector admits, empty if it admits several."""
        return next((wanted for path, wanted, equal in self.fields.terms if path == "metadata.name" and equal), "")


def _label_selector(text: str) -> LabelSelector:
    """Read a selector and hold its keys and values to what labels can be: anything else is a mistake in writing."""
    selector = parse_label_selector(text)
    if text.rstrip().endswith(","):
        raise BadRequest("found '', expected: identifier after ','")
    for requirement in selector.requirements:
        if problem := _unlike_a_label(requirement):
            raise BadRequest(f"unable to parse requirement: {problem}")
    return selector


def _unlike_a_label(requirement: Requirement) -> str:
    key, values = requirement.key, requirement.values
    if complaints := qualified_name_complaints(key):
        return f"<nil>: Invalid value: {printed(key)}: {'; '.join(complaints)}"
    for position, value in enumerate(values):
        place = f"values[{position}]"
        if requirement.operator in {"Gt", "Lt"} and not _INTEGER.fullmatch(value):
            words = "for 'Gt', 'Lt' operators, the value must be an integer"
            return f"{place}: Invalid value: {printed(value)}: {words}"
        if complaints := label_value_complaints(value):
            return f"{place}[{key}]: Invalid value: {printed(value)}: {'; '.join(complaints)}"
    return ""


def _of_list(given: ListOptions, version: str) -> Causes:
    """Return what a list may not ask for (apimachinery's pkg/apis/meta/internalversion/validation)."""
    found: Causes = []
    match, field = given.revision_match, "resourceVersionMatch"
    if match and not version:
        found.append(forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if match not in {"", "Exact", "NotOlderThan"}:
        found.append(_unsupported(field, match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and version == "0":
        found.append(forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    if given.initial_events is not None:
        found.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _of_watch(given: ListOptions) -> Causes:
    """Return what a watch may not ask for."""
    found: Causes = []
    match, field = given.revision_match, "resourceVersionMatch"
    if given.initial_events is not None and match != "NotOlderThan":
        found.append(forbidden(field, f"sendInitialEvents requires setting {field} to NotOlderThan"))
    if given.initial_events is None and match:
        found.append(forbidden(field, f"{field} is forbidden for watch unless sendInitialEvents is provided"))
    if match not in {"", "NotOlderThan"}:
        found.append(_unsupported(field, match, ("NotOlderThan",)))
    return found


def _of_match(given: ListOptions, token: str) -> Causes:
    field = "resourceVersionMatch"
    return (
        [forbidden(field, f"{field} is forbidden when continue is provided")] if given.revision_match and token else []
    )


def _revision(text: str) -> int | None:
    """Return the revision that a resourceVersion means, None for the newest. Raises BadRequest."""
    if text in _NEWEST:
        return None
    try:
        return _parsed("ParseUint", text, _DIGITS, _REVISIONS)
    except BadRequest as error:
        problem = f"resourceVersion: Invalid value: {printed(text)}: {error.message}"
        raise BadRequest(f"invalid resource version: {problem}") from None


def _resumed(token: str, version: str) -> "Continuation":
    resume = Continuation.decode(token)
    if version not in _NEWEST:
        raise BadRequest("specifying resource version is not allowed when using continue")
    return resume


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where the next page of a list starts: after this object. `revision` is that of the first page."""

    revision: int
    namespace: str
    name: str

    def encode(self) -> str:
        """Return the opaque token."""
        return base64.urlsafe_b64encode(msgspec.json.encode((self.revision, self.namespace, self.name))).decode()

    @classmethod
    def decode(cls, token: str) -> "Continuation":
        """Read a token. Raises BadRequest if it is not one that we gave."""
        try:
            parts = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, str, str])
        except ValueError:
            problem = "continue key is not valid: it is not one of this server's"
            raise BadRequest(f"invalid continue token: {problem}") from None
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be made (`metav1.CreateOptions`, `UpdateOptions`, `PatchOptions`)."""

    dry_run: bool = False
    field_manager: str = ""
    validation: FieldValidation = "Warn"
    force: bool = False

    @classmethod
    def of(cls, query: Query, kind: str = "CreateOptions", *, apply: bool = False) -> "WriteOptions":
        """Read them; `kind` is what Kubernetes calls those of the verb. Raises Invalid, naming all that is wrong."""
        manager, validation = first(query, "fieldManager"), first(query, "fieldValidation")
        problems = [*_of_patch(query, manager, apply=apply)] if kind == "PatchOptions" else []
        problems += [*_of_manager(manager), *_of_dry_run(query.get("dryRun", ()))]
        if validation and validation not in _VALIDATIONS:
            problems.append(_unsupported("fieldValidation", validation, ("", *sorted(_VALIDATIONS))))
        if problems:
            raise invalid(kind, META, "", problems)
        return cls("dryRun" in query, manager, _VALIDATIONS[validation or "Warn"], flag(query, "force"))


def _of_patch(query: Query, manager: str, *, apply: bool) -> Causes:
    if apply:
        return [] if manager else [required("fieldManager", "is required for apply patch")]
    return [forbidden("force", "may not be specified for non-apply patch")] if "force" in query else []


def _of_manager(manager: str) -> Causes:
    found: Causes = [too_long("fieldManager", _LONGEST_MANAGER)] if len(manager.encode()) > _LONGEST_MANAGER else []
    position = 0
    for letter in manager:
        if not letter.isprintable():
            place = f"U+{ord(letter):04X} (at position {position})"
            found.append(invalid_value("fieldManager", manager, f"invalid character {place}"))
        position += len(letter.encode())
    return found


def _of_dry_run(values: Sequence[str]) -> Causes:
    wrong = any(value != "All" for value in values)
    return [_unsupported("dryRun", list(values), ("All",))] if wrong else []


def _unsupported(field: str, value: Any, choices: Sequence[str]) -> Cause:
    """Say that a value is none of the choices, named in the order in which Kubernetes names them."""
    named = ", ".join(printed(choice) for choice in choices)
    return ("FieldValueNotSupported", field, f"Unsupported value: {printed(value)}: supported values: {named}")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is to be made (`metav1.DeleteOptions`): from the body, else from the query."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""

    @classmethod
    def of(cls, query: Query, body: Object | None) -> "DeleteOptions":
        """Read them; the query counts only if there is no body. Raises BadRequest or Invalid."""
        given = _queried(query) if body is None else body
        preconditions = _mapping(given.get("preconditions"), "preconditions")
        policy, orphan = given.get("propagationPolicy"), given.get("orphanDependents")
        dry_run = given.get("dryRun") or ()
        problems = [*_of_propagation(policy, orphan), *_of_dry_run(dry_run)]
        if problems:
            raise invalid("DeleteOptions", META, "", problems)
        if orphan is not None:
            policy = "Orphan" if orphan else "Background"
        grace = given.get("gracePeriodSeconds")
        return cls(
            dry_run=bool(dry_run),
            grace_period_seconds=1 if grace is not None and grace < 0 else grace,  # as little as there is
            propagation=policy or "",
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
        )


def _queried(query: Query) -> Object:
    """Return DeleteOptions as a body would have them from the query."""
    given: Object = {"gracePeriodSeconds": number(query, "gracePeriodSeconds"), "dryRun": query.get("dryRun", ())}
    if "propagationPolicy" in query:
        given["propagationPolicy"] = first(query, "propagationPolicy")
    if "orphanDependents" in query:
        given["orphanDependents"] = flag(query, "orphanDependents")
    return given


def _of_propagation(policy: Any, orphan: Any) -> Causes:
    found: Causes = []
    if orphan is not None and policy is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        found.append(invalid_value("propagationPolicy", policy, detail))
    if policy is not None and policy not in _POLICIES:
        found.append(_unsupported("propagationPolicy", policy, (*_POLICIES, "nil")))
    return found


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"{field}: expected an object")
    return value or {}
