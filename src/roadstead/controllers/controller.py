"""What a controller is: which changes concern it, and what it decides. `catalog` lists them, `runner` runs them.

A controller sees the cluster through a `View`: informer caches when it runs, a dictionary in a test.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.client.client import ApiClient
from roadstead.controllers.actions import Action


class View(Protocol):
    """The objects of a cluster as last heard of, by kind. They are shared: nobody changes them."""

    def get(self, kind: str, key: ObjectKey) -> Object | None:
        """Return one object, or None."""

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""

    def in_namespace(self, kind: str, namespace: str) -> list[Object]:
        """Return the objects of one namespace."""

    def owned_by(self, kind: str, uid: str) -> list[Object]:
        """Return the objects with an owner reference to this uid."""

    def orphans(self, kind: str, namespace: str) -> list[Object]:
        """Return the objects of one namespace that no controller controls."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision may rest on.

    `failure` says why the last attempt to create or delete for this key failed, and `live` is what `look` found.
    """

    view: View
    key: Any
    now: datetime
    failure: str = ""
    live: Any = None


Trigger: TypeAlias = Callable[[View, Object | None, Object | None], Iterable[Hashable]]
"""Return the keys to plan again after an object went from `old` to `new`; None stands for absence."""

KeysOf: TypeAlias = Callable[[View, Object], Iterable[Hashable]]
"""Return the keys that one state of an object concerns."""

Look: TypeAlias = Callable[[ApiClient, View, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Controller:
    """A name for logs and events, what triggers it by kind, its decision, and kinds that it only reads.

    `look` asks the server for what no informer knows, before the decision. `unhurried` controllers get to know their
    kinds one after another, so that they do not delay those that a starting system waits for.
    """

    name: str
    triggers: Mapping[str, Trigger]
    decide: Callable[[Situation], list[Action]]
    reads: tuple[str, ...] = field(default=())
    look: Look | None = None
    unhurried: bool = False


def itself(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
    """Trigger the object's own key."""
    return [key_of(new or old or {})]


def each(keys: KeysOf) -> Trigger:
    """Return a trigger of what `keys` gives for the state before and for the state after."""

    def trigger(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
        return {key for obj in (old, new) if obj is not None for key in keys(view, obj)}

    return trigger
