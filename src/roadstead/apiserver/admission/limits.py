"""The limits of a namespace, as `writer` meets them: LimitRanges and ResourceQuotas. Next: what fits is stored.

What no LimitRange and no quota of the object's namespace is about passes at the price of two look-ups.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting
from roadstead.api.resources import Resource
from roadstead.apiserver.admission.limit_ranges import LIMITED, fill_in_resources, problems
from roadstead.apiserver.admission.quota_usage import PODS
from roadstead.apiserver.admission.quotas import Quotas, refusal
from roadstead.apiserver.store import Location, Store

_LIMIT_RANGES = "limitranges"
_ROOM: AbstractContextManager[None] = nullcontext()


class Limits:
    """Holds objects to the limits of their namespaces."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.quotas = Quotas(store)

    def fill_in(self, collection: str, namespace: str, obj: Object) -> None:
        """Give a new pod the resources that its namespace's LimitRanges give to those that ask for none."""
        if collection == PODS:
            fill_in_resources(obj, self._limit_ranges(namespace))

    def room_for(
        self, resource: Resource, location: Location, new: ReadOnlyObject, old: ReadOnlyObject | None = None
    ) -> AbstractContextManager[None]:
        """Return a context within which an object is stored, or not: entering it raises Forbidden if it may not be."""
        limited = location.collection in LIMITED and bool(self._store.records(_LIMIT_RANGES, location.namespace))
        if not limited and not self.quotas.count(location.namespace):
            return _ROOM
        return self._room_for(resource, location, new, old)

    @contextmanager
    def _room_for(
        self, resource: Resource, location: Location, new: ReadOnlyObject, old: ReadOnlyObject | None
    ) -> Iterator[None]:
        problem = self._problem(location, new, old)
        if problem:
            raise refusal(resource, location, problem)
        with self.quotas.reserved(resource, location, new, old):
            yield

    def _problem(self, location: Location, new: ReadOnlyObject, old: ReadOnlyObject | None) -> str:
        """Say what a LimitRange has against an object: a new pod, or a claim that is not on its way out."""
        collection = location.collection
        if collection not in LIMITED or (old is not None and (collection == PODS or is_deleting(old))):
            return ""
        found = problems(collection, new, self._limit_ranges(location.namespace))
        return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else ""

    def _limit_ranges(self, namespace: str) -> list[Object]:
        return [record.decode() for record in self._store.records(_LIMIT_RANGES, namespace)]
