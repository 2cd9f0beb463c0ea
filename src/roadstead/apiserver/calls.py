"""One request to a resource, as every verb sees it, and the answer that it gives. Next: `rest`."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from roadstead.api.errors import AlreadyExists, ApiError, NotFound, not_found
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.http.parameters import Query
from roadstead.apiserver.lifecycle import collection_of
from roadstead.apiserver.store import Location, Record


@dataclass(frozen=True, slots=True)
class User:
    """Who calls: authenticated by certificate or token. `extra` is what else is known, as `UserInfo` shows it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a collection (`name` is empty), an object, or a subresource of it."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str
    query: Query
    user: User
    user_agent: str = ""
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def collection(self) -> str:
        """The store's collection of the resource."""
        return collection_of(self.resource)

    @property
    def location(self) -> Location:
        """Where the object is stored."""
        return Location(self.collection, self.namespace, self.name)

    def location_of(self, name: str) -> Location:
        """Return where another object of the same collection and namespace is stored."""
        return Location(self.collection, self.namespace, name)


class Answer(NamedTuple):
    """What a verb answers: a stored record, or an object that is not stored (dry run, Status, Scale)."""

    code: int
    record: Record | None = None
    obj: Object | None = None
    warnings: tuple[str, ...] = ()

    def with_warnings(self, warnings: tuple[str, ...]) -> "Answer":
        """Return this answer with more warnings, before its own."""
        return self._replace(warnings=(*warnings, *self.warnings))


@contextlib.contextmanager
def telling(warnings: tuple[str, ...]) -> Iterator[None]:
    """Let the errors that the body of this context raises carry warnings, too."""
    try:
        yield
    except ApiError as error:
        error.warnings = (*warnings, *error.warnings)
        raise


def missing(resource: Resource, name: str) -> NotFound:
    """Return the answer for an object that is not there."""
    return not_found(resource.plural, resource.group, name)


def already_exists(resource: Resource, name: str, *, going: bool) -> AlreadyExists:
    """Return the answer for an object that is there already; `going`: it is being deleted."""
    qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    state = "object is being deleted: " if going else ""
    return AlreadyExists(f'{state}{qualified} "{name}" already exists', details)


def success(resource: Resource, obj: Object) -> Object:
    """Return the Status that tells of a deletion that is done."""
    metadata = obj["metadata"]
    named = {"name": metadata["name"], "group": resource.group, "kind": resource.plural, "uid": metadata.get("uid", "")}
    details = {field: value for field, value in named.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
