"""The garbage collector's eyes: who owns whom, over all kinds that are watched.

An owner that no cache knows is asked of the server before anything is deleted on its account.
"""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from roadstead.api.errors import NotFound
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, is_deleting, key_of, metadata_of
from roadstead.api.resources import BUILT_IN, Resource, Scheme
from roadstead.client.client import ApiClient
from roadstead.controllers import garbage
from roadstead.controllers.actions import Action
from roadstead.controllers.controller import Controller, Situation, View
from roadstead.controllers.custom import custom_resources
from roadstead.controllers.garbage import Owner

# Kinds whose objects neither own nor are owned in practice, or that appear a second time under another group.
_SKIPPED = frozenset({"Event", "Binding", "Endpoints", "LimitRange", "PodTemplate"})


class ItemKey(NamedTuple):
    """An object of any kind."""

    kind: str
    namespace: str
    name: str


def collected_kinds() -> tuple[str, ...]:
    """Return the kinds whose objects are watched for owner references."""
    kinds = {entry.kind: None for entry in BUILT_IN if "watch" in entry.verbs and entry.kind not in _SKIPPED}
    return tuple(kinds)


def garbage_controller() -> Controller:
    """Return the controller that deletes what lost its owners."""
    collector = _Collector(collected_kinds())
    triggers = dict.fromkeys(collector.kinds, collector.trigger)
    return Controller("garbage-collector", triggers, collector.decide, look=collector.look, unhurried=True)


class _Collector:
    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self._gone: set[str] = set()  # uids never come back
        self._scheme = Scheme()

    def trigger(self, view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
        obj = new or old or {}
        references = metadata_of(obj).get("ownerReferences") or ()
        if new is None:
            self._gone.add(metadata_of(obj).get("uid") or "")
            namespace = key_of(obj).namespace
            owners = [ItemKey(entry["kind"], namespace, entry["name"]) for entry in references]
            return [*owners, *self._dependent_keys(view, obj)]
        if is_deleting(new):
            started = old is None or not is_deleting(old)
            return [_item_key(new), *(self._dependent_keys(view, new) if started else ())]
        return [_item_key(new)] if references and _references(old) != references else []

    def _dependent_keys(self, view: View, owner: Object) -> list[ItemKey]:
        return [_item_key(entry) for entry in self._dependents(view, owner)]

    def _dependents(self, view: View, owner: ReadOnlyObject) -> list[Object]:
        uid = metadata_of(owner).get("uid") or ""
        return [entry for kind in self.kinds for entry in view.owned_by(kind, uid)]

    async def look(self, client: ApiClient, view: View, key: Any) -> dict[str, Owner]:
        """Return the state of each owner of an object by uid; owners that cannot be asked for count as present."""
        item = view.get(key.kind, ObjectKey(key.namespace, key.name))
        references = _references(item) if item is not None else ()
        return {entry["uid"]: await self._state(client, view, key.namespace, entry) for entry in references}

    async def _state(self, client: ApiClient, view: View, namespace: str, reference: Object) -> Owner:
        if reference["uid"] in self._gone:
            return Owner.ABSENT
        resource = self._resource(view, reference)
        if resource is None:
            return Owner.PRESENT
        place = ObjectKey(namespace if resource.namespaced else "", reference["name"])
        known = view.get(resource.kind, place) if resource.kind in self.kinds else None
        if known is None or metadata_of(known).get("uid") != reference["uid"]:
            known = await _ask(client, resource, place)
        if known is None or metadata_of(known).get("uid") != reference["uid"]:
            self._gone.add(reference["uid"])
            return Owner.ABSENT
        return garbage.state_of(known)

    def _resource(self, view: View, reference: Object) -> Resource | None:
        built_in = self._scheme.by_kind(reference["apiVersion"], reference["kind"])
        if built_in is not None:
            return built_in
        group = reference["apiVersion"].rpartition("/")[0]
        custom = custom_resources(view.all("CustomResourceDefinition"))
        return next((entry for entry in custom if (entry.group, entry.kind) == (group, reference["kind"])), None)

    def decide(self, situation: Situation) -> list[Action]:
        key = situation.key
        item = situation.view.get(key.kind, ObjectKey(key.namespace, key.name)) if key.kind in self.kinds else None
        if item is None:
            return []
        return garbage.plan(garbage.Observed(item, situation.live, self._dependents(situation.view, item)))


def _references(obj: ReadOnlyObject | None) -> list[Object]:
    return list(metadata_of(obj).get("ownerReferences") or ()) if obj is not None else []


def _item_key(obj: ReadOnlyObject) -> ItemKey:
    return ItemKey(obj["kind"], *key_of(obj))


async def _ask(client: ApiClient, resource: Resource, key: ObjectKey) -> Object | None:
    try:
        return await client.get(resource, key.name, key.namespace)
    except NotFound:
        return None
