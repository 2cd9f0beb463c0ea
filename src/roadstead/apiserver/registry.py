"""What the server serves at this moment: the built-in resources, and those of every stored CustomResourceDefinition.

A definition counts from the instant it is stored as established, because the registry listens to the store. Lookups go
by path; `generation` moves with every change, so that discovery and OpenAPI documents know when they are old.
"""

from collections.abc import Iterator, Mapping

import structlog

from roadstead.api.objects import Object
from roadstead.api.resources import Resource, Scheme
from roadstead.apiserver import crd
from roadstead.apiserver.lifecycle import collection_of
from roadstead.apiserver.schemas import CustomResource
from roadstead.apiserver.store import Event, Store

_log = structlog.get_logger(__name__)
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Registry:
    """The resources that are served, and in which version the store keeps each."""

    def __init__(self, store: Store, built_in: Scheme | None = None) -> None:
        self._built_in = built_in or Scheme()
        self._definitions: dict[str, Object] = {}
        self.scheme = self._built_in
        self.generation = 0
        self._storage: dict[str, str] = {}
        for record in store.records(DEFINITIONS):
            self._definitions[record.location.name] = record.decode()
        self._rebuild()
        store.subscribe(self._observe)

    @property
    def definitions(self) -> Mapping[str, Object]:
        """The stored CustomResourceDefinitions by name."""
        return self._definitions

    def custom_resources(self) -> Iterator[CustomResource]:
        """Yield every served version of every custom resource."""
        for resource in self.scheme.resources:
            if isinstance(resource, CustomResource):
                yield resource

    def lookup(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource served at this place, or None."""
        return self.scheme.by_plural(group, version, plural)

    def storage_version(self, resource: Resource) -> str:
        """Return the `apiVersion` that the store keeps this kind's objects in."""
        return self._storage.get(collection_of(resource), resource.api_version)

    def storage_resource(self, resource: Resource) -> Resource:
        """Return the resource of the version that is stored."""
        version = self.storage_version(resource)
        if version == resource.api_version:
            return resource
        return self.scheme.by_kind(version, resource.kind) or resource

    def is_built_in(self, resource: Resource) -> bool:
        """Say whether the server has this kind without a definition: it outlives one."""
        built_in = self._built_in.resources
        return any((known.group, known.plural) == (resource.group, resource.plural) for known in built_in)

    def names_in_use(self, definition: Object) -> crd.Names:
        """Return the names of a definition's group that it cannot have, because others do."""
        name, spec = definition["metadata"].get("name"), definition.get("spec") or {}
        group = str(spec.get("group", ""))
        plural = (spec.get("names") or {}).get("plural")
        # A definition over a built-in kind takes its place.
        built_in = [known for known in self._built_in.resources if known.plural != plural]
        others = [other for known, other in self._definitions.items() if known != name]
        return crd.Names.of(group, built_in, others)

    def collections(self) -> dict[str, Resource]:
        """Return every collection that holds objects, with its resource in the stored version."""
        found: dict[str, Resource] = {}
        for resource in self.scheme.resources:
            if "list" in resource.verbs:
                found.setdefault(collection_of(resource), self.storage_resource(resource))
        return found

    def _observe(self, event: Event) -> None:
        location = event.record.location
        if location.collection != DEFINITIONS:
            return
        if event.type == "DELETED":
            self._definitions.pop(location.name, None)
        else:
            self._definitions[location.name] = event.record.decode()
        self._rebuild()

    def _rebuild(self) -> None:
        scheme = self._built_in
        storage = _built_in_storage(scheme)
        for name, definition in sorted(self._definitions.items()):
            if not crd.is_established(definition):
                continue
            try:
                resources = crd.resources(definition)
                stored = crd.storage_version(definition)
            except Exception as error:  # noqa: BLE001 - a stored definition that we cannot read must not stop the others
                _log.error("a CustomResourceDefinition cannot be served", name=name, error=str(error))
                continue
            scheme = _replaced(scheme, resources)
            for resource in resources:
                storage[collection_of(resource)] = f"{resource.group}/{stored}"
        self.scheme, self._storage = scheme, storage
        self.generation += 1


def _replaced(scheme: Scheme, resources: list[CustomResource]) -> Scheme:
    for group, kind in {(resource.group, resource.kind) for resource in resources}:
        scheme = scheme.without_group_kind(group, kind)
    return scheme.with_resources(resources)


def _built_in_storage(scheme: Scheme) -> dict[str, str]:
    storage: dict[str, str] = {}
    for resource in scheme.resources:
        collection = collection_of(resource)
        if collection not in storage or ("beta" in storage[collection] and "beta" not in resource.version):
            storage[collection] = resource.api_version
    return storage
