"""A finding: one thing that is wrong with a manifest, where it stands, and how bad it is."""

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.client.manifests import Document, Problem

Severity: TypeAlias = Literal["error", "warning"]


class Finding(NamedTuple):
    """`error`: it will not come up, or not do what it says. `warning`: it will, and hardly as its author means it.

    `line` is 0 where it is unknown, `subject` (`Deployment shop/web`) and `field` are empty where there is none.
    """

    path: Path
    line: int
    severity: Severity
    subject: str
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return ": ".join(part for part in (place, self.severity, self.subject, self.field, self.message) if part)


class Checked(NamedTuple):
    """An object as the API server would store it, and the document that it comes from."""

    document: Document
    object: Object

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.object["kind"])

    @property
    def key(self) -> ObjectKey:
        """The object's namespace and name."""
        return key_of(self.object)

    def finding(self, field: str, message: str, severity: Severity = "error") -> Finding:
        """Return a finding about a field of this object; `""` is about all of it."""
        return found_in(self.document, f"{self.kind} {self.key}", field, message, severity)


def found_in(document: Document, subject: str, field: str, message: str, severity: Severity = "error") -> Finding:
    """Return a finding about a field of a document, at the line nearest to the field."""
    line = int(document.where(field).rpartition(":")[2])
    return Finding(document.path, line, severity, subject, field, message)


def unreadable(problem: Problem) -> Finding:
    """Return the finding for what could not even be read as an object."""
    return Finding(problem.path, problem.line, "error", "", "", problem.message)
