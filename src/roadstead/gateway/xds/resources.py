"""What travels over xDS: named resources of six types, each with a version made from its content.

A version that depends on nothing but the content makes a restarted control plane offer the same versions again, so
that an Envoy which reconnects has nothing to fetch. Next: `session`, who is sent which resource when.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple


class ResourceType(Enum):
    """The types of the xDS protocol that Envoy is programmed with; the value is the type URL."""

    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    SCOPE = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
    SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type URL

    __hash__ = object.__hash__  # Enum's own hashes the name each time; this is in every key of what is sent.

    def __repr__(self) -> str:
        return self.name


class Ref(NamedTuple):
    """The name of a resource within its type."""

    type: ResourceType
    name: str

    def __str__(self) -> str:
        return f"{self.type.name.lower()} {self.name}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One encoded resource; `needs` are the resources that Envoy must have before this one takes effect.

    `body` may hold private keys, so it is never printed.
    """

    name: str
    version: str
    body: bytes = field(repr=False)
    needs: frozenset[Ref] = frozenset()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one Envoy shall have; equal content gives an equal `version`.

    `changed`: the names under which it differs from the snapshot whose version is `since`, by type.
    """

    version: str
    resources: Mapping[ResourceType, Mapping[str, Resource]] = field(repr=False)
    since: str = field(default="", compare=False)
    changed: Mapping[ResourceType, Collection[str]] = field(default_factory=dict, compare=False, repr=False)

    def get(self, ref: Ref) -> Resource | None:
        """Return the resource of this name, or None."""
        return self.resources[ref.type].get(ref.name)

    def with_changes(self, changes: Mapping[Ref, Resource | None]) -> "Snapshot":
        """Return the snapshot that differs by these resources; None: it is gone."""
        resources, total = dict(self.resources), int(self.version or "0", 16)
        changed: dict[ResourceType, set[str]] = {}
        for ref, new in changes.items():
            old = self.get(ref)
            if ref.type not in changed:
                resources[ref.type], changed[ref.type] = dict(resources[ref.type]), set()
            of_type: dict[str, Resource] = resources[ref.type]  # type: ignore[assignment]  # copied above
            total += (_weight(ref, new) if new else 0) - (_weight(ref, old) if old else 0)
            if new is None:
                of_type.pop(ref.name, None)
            else:
                of_type[ref.name] = new
            changed[ref.type].add(ref.name)
        return Snapshot(f"{total:x}", resources, self.version, changed)


NOTHING = Snapshot("0", {type_: {} for type_ in ResourceType})


def _weight(ref: Ref, each: Resource) -> int:
    """Return a number for this resource: a snapshot's version is their sum, so that it changes with one of them."""
    return int(digest(f"{ref.type.name} {ref.name} {each.version}".encode(errors="replace")), 16)


def resource(message: Any, name: str, needs: frozenset[Ref] = frozenset()) -> Resource:
    """Return a protobuf message as a resource; map fields are ordered, so equal messages give equal versions."""
    body: bytes = message.SerializeToString(deterministic=True)
    return Resource(name, digest(body), body, needs)


def snapshot(resources: Mapping[ResourceType, Mapping[str, Resource]]) -> Snapshot:
    """Return the snapshot of these resources; types that are left out are empty."""
    found = {Ref(type_, name): each for type_, of_type in resources.items() for name, each in of_type.items()}
    return NOTHING.with_changes(found)


def digest(content: bytes) -> str:
    """Return a short name for this content, the same in every process."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
