"""The namespace controller's eyes: every object that is in a namespace, asked of the server kind by kind."""

from collections.abc import Hashable, Iterable
from typing import Any

from roadstead.api.errors import MethodNotAllowed, NotFound
from roadstead.api.objects import Object, ObjectKey, is_deleting, key_of
from roadstead.api.resources import BUILT_IN, Resource
from roadstead.client.client import ApiClient
from roadstead.controllers import namespace
from roadstead.controllers.actions import Action
from roadstead.controllers.controller import Controller, Situation, View, itself
from roadstead.controllers.custom import custom_resources

# Objects under two names are listed under one; events go with a namespace without anybody deleting them one by one.
_SKIPPED = frozenset({("events.k8s.io", "events"), ("gateway.networking.k8s.io/v1beta1", "referencegrants")})


def namespace_controller() -> Controller:
    """Return the controller that empties namespaces."""
    return Controller(
        "namespace-controller",
        {"Namespace": itself, "Pod": _ending_namespace},
        _decide,
        reads=("CustomResourceDefinition",),
        look=_content,
    )


def namespaced_resources(view: View) -> list[Resource]:
    """Return the resources whose objects may be in a namespace, custom ones too."""
    listed = [*BUILT_IN, *custom_resources(view.all("CustomResourceDefinition"))]
    return [
        resource
        for resource in listed
        if resource.namespaced
        and {"list", "delete"} <= set(resource.verbs)
        and (resource.group, resource.plural) not in _SKIPPED
        and (resource.api_version, resource.plural) not in _SKIPPED
    ]


def _ending_namespace(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
    if new is not None or old is None:
        return []
    key = ObjectKey("", key_of(old).namespace)
    found = view.get("Namespace", key)
    ends = found is not None and is_deleting(found) and not view.in_namespace("Pod", key.name)
    return [key] if ends else []


async def _content(client: ApiClient, view: View, key: Any) -> list[Object]:
    found = view.get("Namespace", key)
    if found is None or not is_deleting(found):
        return []
    content: list[Object] = []
    for resource in namespaced_resources(view):
        try:
            content += await client.list(resource, key.name)
        except (NotFound, MethodNotAllowed):  # a server without this kind
            continue
    return content


def _decide(situation: Situation) -> list[Action]:
    found = situation.view.get("Namespace", situation.key)
    return [] if found is None else namespace.plan(namespace.Observed(found, situation.live))
