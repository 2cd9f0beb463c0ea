"""References across namespaces: allowed only where a ReferenceGrant in the target's namespace says so."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from roadstead.api.objects import key_of
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.translate.fields import mappings, spec_of, text


class Referrer(NamedTuple):
    """Who refers: the kind and namespace of the object that carries the reference."""

    kind: str
    namespace: str
    group: str = GATEWAY_GROUP


class Target(NamedTuple):
    """What is referred to; `group` is empty for core kinds."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def is_permitted(resources: Resources, referrer: Referrer, target: Target) -> bool:
    """Say whether the reference stays in its namespace or some ReferenceGrant allows it."""
    if referrer.namespace == target.namespace:
        return True
    return any(
        key_of(grant).namespace == target.namespace and _grants(spec_of(grant), referrer, target)
        for grant in resources.reference_grants.values()
    )


def _grants(spec: Mapping[str, Any], referrer: Referrer, target: Target) -> bool:
    source = any(
        (text(entry.get("group")), text(entry.get("kind")), text(entry.get("namespace")))
        == (referrer.group, referrer.kind, referrer.namespace)
        for entry in mappings(spec.get("from"))
    )
    return source and any(
        (text(entry.get("group")), text(entry.get("kind"))) == (target.group, target.kind)
        and text(entry.get("name")) in ("", target.name)
        for entry in mappings(spec.get("to"))
    )


def not_permitted_message(field: str, referrer: Referrer, target: Target) -> str:
    """Return the sentence that says which grant is missing where."""
    return (
        f"{field}: {target} is in another namespace and no ReferenceGrant in {target.namespace} allows "
        f"{referrer.kind}s of namespace {referrer.namespace} to refer to {target.kind} {target.name}"
    )
