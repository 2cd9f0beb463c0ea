"""What claims and volumes look at: each other, classes, and the pods that use them. Only wiring."""

from collections.abc import Hashable, Iterable
from typing import Any

from roadstead.api.errors import NotFound
from roadstead.api.objects import Object, ObjectKey, is_deleting, key_of
from roadstead.api.resources import resource
from roadstead.api.storage import claims_of, class_of, default_class, is_for
from roadstead.client.client import ApiClient
from roadstead.controllers import claims, volumes
from roadstead.controllers.actions import Action
from roadstead.controllers.controller import Controller, Situation, View, each, itself

_CLAIM, _VOLUME, _CLASS = "PersistentVolumeClaim", "PersistentVolume", "StorageClass"


def claim_controller() -> Controller:
    """Return the controller that gives claims their volumes."""
    triggers = {_CLAIM: itself, "Pod": each(_claims_of_pod), _VOLUME: each(_claims_of_volume), _CLASS: each(_waiting)}
    return Controller("persistentvolume-controller", triggers, _decide_claim, look=_pods_beside_claim)


def volume_controller() -> Controller:
    """Return the controller that says whose volumes are, and deletes those of claims that are gone."""
    triggers = {_VOLUME: itself, _CLAIM: each(_volume_of_claim), _CLASS: each(_volumes_of_class)}
    return Controller("persistentvolume-reclaimer", triggers, _decide_volume, look=_claim_of_volume)


def _decide_claim(situation: Situation) -> list[Action]:
    view, key = situation.view, situation.key
    claim = view.get(_CLAIM, key)
    if claim is None:
        return []
    storage_class = view.get(_CLASS, ObjectKey("", class_of(claim) or ""))
    pods = view.in_namespace("Pod", key.namespace) if situation.live is None else situation.live
    default = default_class(view.all(_CLASS))
    return claims.plan(claims.Observed(claim, view.all(_VOLUME), storage_class, pods, default))


def _decide_volume(situation: Situation) -> list[Action]:
    volume = situation.view.get(_VOLUME, situation.key)
    if volume is None:
        return []
    storage_class = situation.view.get(_CLASS, ObjectKey("", class_of(volume) or ""))
    return volumes.plan(volumes.Observed(volume, situation.live, storage_class), situation.now)


async def _pods_beside_claim(client: ApiClient, view: View, key: Any) -> list[Object] | None:
    """Return the pods that may use a claim that is to go; the server is asked before it is found unused."""
    claim = view.get(_CLAIM, key)
    return await client.list(resource("Pod"), key.namespace) if claim is not None and is_deleting(claim) else None


async def _claim_of_volume(client: ApiClient, view: View, key: Any) -> Object | None:
    """Return the claim that a volume is bound to; the server is asked before one counts as gone, and data with it."""
    volume = view.get(_VOLUME, key)
    named = _claim_named_by(volume) if volume is not None else []
    if volume is None or not named:
        return None
    known = view.get(_CLAIM, named[0])
    if known is not None and is_for(volume, known):
        return known
    try:
        return await client.get(resource(_CLAIM), named[0].name, named[0].namespace)
    except NotFound:
        return None


def _claims_of_pod(view: View, pod: Object) -> Iterable[Hashable]:
    return [ObjectKey(key_of(pod).namespace, name) for name in claims_of(pod)]


def _claims_of_volume(view: View, volume: Object) -> Iterable[Hashable]:
    """Return the claim that a volume names, and those that name it; one that is free concerns all that wait."""
    named = _claim_named_by(volume)
    naming = [key_of(claim) for claim in view.all(_CLAIM) if claim["spec"].get("volumeName") == key_of(volume).name]
    return [*named, *naming, *(() if named else _waiting(view, volume))]


def _waiting(view: View, _changed: Object) -> Iterable[Hashable]:
    return [key_of(claim) for claim in view.all(_CLAIM) if not claim["spec"].get("volumeName")]


def _volume_of_claim(view: View, claim: Object) -> Iterable[Hashable]:
    """Return the volume that a claim names, and those that name it: a claim may go before it has heard of its own."""
    name, key = claim["spec"].get("volumeName"), key_of(claim)
    naming = [key_of(volume) for volume in view.all(_VOLUME) if key in _claim_named_by(volume)]
    return [*naming, *([ObjectKey("", name)] if name else [])]


def _volumes_of_class(view: View, storage_class: Object) -> Iterable[Hashable]:
    name = key_of(storage_class).name
    return [key_of(volume) for volume in view.all(_VOLUME) if class_of(volume) == name]


def _claim_named_by(volume: Object) -> list[ObjectKey]:
    reference = volume["spec"].get("claimRef") or {}
    key = ObjectKey(reference.get("namespace") or "", reference.get("name") or "")
    return [key] if all(key) else []
