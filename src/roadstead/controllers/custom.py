"""Kinds that CustomResourceDefinitions add, as resources."""

from collections.abc import Iterable, Mapping
from typing import Any

from roadstead.api.conditions import is_true
from roadstead.api.objects import ReadOnlyObject
from roadstead.api.resources import Resource


def custom_resources(definitions: Iterable[ReadOnlyObject]) -> list[Resource]:
    """Return one resource for each established definition, in its storage version if that is served."""
    found = (_resource(definition) for definition in definitions)
    return [resource for resource in found if resource is not None]


def _resource(definition: ReadOnlyObject) -> Resource | None:
    spec: Mapping[str, Any] = definition.get("spec") or {}
    names = spec.get("names") or {}
    served = [version for version in spec.get("versions") or () if version.get("served")]
    served.sort(key=lambda version: not version.get("storage"))
    established = is_true((definition.get("status") or {}).get("conditions"), "Established")
    if not served or not established or not names.get("plural"):
        return None
    namespaced = spec.get("scope") == "Namespaced"
    return Resource(spec.get("group") or "", served[0]["name"], names["plural"], names.get("kind") or "", namespaced)
