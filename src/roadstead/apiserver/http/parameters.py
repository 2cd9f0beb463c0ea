"""The query of a request, read once into options with types. A value that cannot be understood is a BadRequest."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from roadstead.api.errors import BadRequest, Expired
from roadstead.api.objects import Object
from roadstead.api.selectors import EVERYTHING, FieldSelector, LabelSelector, parse_field_selector, parse_label_selector
from roadstead.apiserver.validation.names import label_value_complaints, qualified_name_complaints

Query = Mapping[str, Sequence[str]]
FieldValidation = Literal["Strict", "Warn", "Ignore"]
ANY_FIELDS = FieldSelector()
_VALIDATIONS: dict[str, FieldValidation] = {"Strict": "Strict", "Warn": "Warn", "Ignore": "Ignore"}


def parse_query(text: str) -> Query:
    """Read a query string; every parameter keeps all of its values."""
    return parse_qs(text, keep_blank_values=True)


def first(query: Query, key: str) -> str:
    """Return a parameter's first value, empty if it is absent."""
    return query[key][0] if key in query else ""


def flag(query: Query, key: str) -> bool:
    """Return a boolean parameter as Go reads it: present and neither `false` nor `0`."""
    return key in query and first(query, key) not in {"false", "False", "0"}


def number(query: Query, key: str) -> int | None:
    """Return an integer parameter, None if it is absent. Raises BadRequest if it is not one."""
    text = first(query, key)
    try:
        return int(text) if text else None
    except ValueError:
        raise BadRequest(f"invalid value for {key}: {text!r} is not a number") from None


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
    def of(cls, query: Query) -> "ListOptions":
        """Read them. Raises BadRequest, or Expired for a continue token that is not one of ours."""
        token = first(query, "continue")
        return cls(
            labels=_label_selector(first(query, "labelSelector")),
            fields=parse_field_selector(first(query, "fieldSelector")),
            limit=max(0, number(query, "limit") or 0),
            resume=Continuation.decode(token) if token else None,
            revision=_revision(first(query, "resourceVersion")),
            revision_match=first(query, "resourceVersionMatch"),
            timeout_seconds=number(query, "timeoutSeconds"),
            bookmarks=flag(query, "allowWatchBookmarks"),
            initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
        )

    @property
    def exact_name(self) -> str:
        """The one `metadata.name` that the field selector admits, empty if it admits several."""
        return next((wanted for path, wanted, equal in self.fields.terms if path == "metadata.name" and equal), "")


def _label_selector(text: str) -> LabelSelector:
    """Read a selector and hold its keys and values to what labels can be: anything else is a mistake in writing."""
    selector = parse_label_selector(text)
    for requirement in selector.requirements:
        complaints = qualified_name_complaints(requirement.key)
        for value in requirement.values:
            complaints += label_value_complaints(value)
        if complaints:
            raise BadRequest(f"unable to parse label selector {text!r}: {'; '.join(complaints)}")
    return selector


def _revision(text: str) -> int | None:
    if text in {"", "0"}:
        return None
    if not text.isdecimal():
        raise BadRequest(f"invalid resource version {text!r}")
    return int(text)


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
        """Read a token. Raises Expired: whoever holds one that we cannot read must start over."""
        try:
            parts = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, str, str])
        except ValueError:
            raise Expired("The provided continue parameter is not valid; start the list again") from None
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be made (`metav1.CreateOptions`, `UpdateOptions`, `PatchOptions`)."""

    dry_run: bool = False
    field_manager: str = ""
    validation: FieldValidation = "Warn"
    force: bool = False

    @classmethod
    def of(cls, query: Query) -> "WriteOptions":
        """Read them. Raises BadRequest."""
        validation = first(query, "fieldValidation") or "Warn"
        if validation not in _VALIDATIONS:
            raise BadRequest(f"fieldValidation: Unsupported value: {validation!r}: supported: Ignore, Warn, Strict")
        manager = first(query, "fieldManager")
        if len(manager) > 128 or not manager.isprintable():
            raise BadRequest("fieldManager: must be printable and at most 128 characters")
        return cls(_dry_run(query.get("dryRun", ())), manager, _VALIDATIONS[validation], flag(query, "force"))


def _dry_run(values: Sequence[str]) -> bool:
    if any(value != "All" for value in values):
        raise BadRequest(f"dryRun: Unsupported value: {values[0]!r}: supported values: All")
    return bool(values)


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
        """Read them. Raises BadRequest."""
        given: Object = body or {}
        preconditions = _mapping(given.get("preconditions"), "preconditions")
        grace = given.get("gracePeriodSeconds", number(query, "gracePeriodSeconds"))
        propagation = given.get("propagationPolicy") or first(query, "propagationPolicy")
        if propagation not in {"", "Background", "Foreground", "Orphan"}:
            raise BadRequest(
                f"propagationPolicy: Unsupported value: {propagation!r}: supported: Background, Foreground, Orphan"
            )
        if grace is not None and (not isinstance(grace, int) or grace < 0):
            raise BadRequest(f"gracePeriodSeconds: {grace!r} is not a number of seconds")
        return cls(
            dry_run=_dry_run(given.get("dryRun") or query.get("dryRun", ())),
            grace_period_seconds=grace,
            propagation=propagation,
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
        )


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"{field}: expected an object")
    return value or {}
