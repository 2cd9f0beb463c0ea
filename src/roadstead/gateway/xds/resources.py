"""What travels over xDS: named resources of five types, each with a version made from its content.

A version that depends on nothing but the content makes a restarted control plane offer the same versions again, so
that an Envoy which reconnects has nothing to fetch. Next: `session`, who is sent which resource when.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple


class ResourceType(Enum):
    """The types of the xDS protocol that Envoy is programmed with; the value is the type URL."""

    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type URL

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
    """Everything that one Envoy shall have; equal content gives an equal `version`."""

    version: str
    resources: Mapping[ResourceType, Mapping[str, Resource]] = field(repr=False)

    def get(self, ref: Ref) -> Resource | None:
        """Return the resource of this name, or None."""
        return self.resources[ref.type].get(ref.name)


def resource(message: Any, name: str, needs: frozenset[Ref] = frozenset()) -> Resource:
    """Return a protobuf message as a resource; map fields are ordered, so equal messages give equal versions."""
    body: bytes = message.SerializeToString(deterministic=True)
    return Resource(name, digest(body), body, needs)


def snapshot(resources: Mapping[ResourceType, Mapping[str, Resource]]) -> Snapshot:
    """Return the snapshot of these resources; types that are left out are empty."""
    complete = {type_: resources.get(type_, {}) for type_ in ResourceType}
    lines = [f"{type_.name} {name} {each.version}" for type_ in complete for name, each in complete[type_].items()]
    return Snapshot(digest("\n".join(sorted(lines)).encode()), complete)


def digest(content: bytes) -> str:
    """Return a short name for this content, the same in every process."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
