"""ResourceQuotas: what is used in each namespace that has one, and whether one object more still fits.

Kubernetes keeps the sums in the quotas' status, which a controller corrects now and then (apiserver's
pkg/admission/plugin/resourcequota). Here they are kept from the store's events, so they are never late; what is about
to be stored is reserved from the check until its event has come. Nothing here waits, so no two writers see the same
room. Where a namespace has no quota, nothing is counted. Next: `quota_status` writes the sums into the statuses.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from roadstead.api.errors import Forbidden
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import Quantity
from roadstead.api.resources import Resource
from roadstead.apiserver.admission import quota_usage
from roadstead.apiserver.admission.quota_usage import CLAIMS, PODS, SERVICES, Scope
from roadstead.apiserver.admission.resource_lists import ResourceList, minus, plus, printed, resource_list
from roadstead.apiserver.store import Event, Location, Store

QUOTAS = "resourcequotas"
_COUNTED_ON_UPDATE = frozenset({SERVICES, CLAIMS})


@dataclass(slots=True)
class Account:
    """One quota: its limits, what is used of them, and what is reserved, by whom."""

    name: str
    hard: ResourceList
    scopes: tuple[Scope, ...]
    collections: frozenset[str]
    used: ResourceList = field(default_factory=dict)
    reserved: dict[Location, ResourceList] = field(default_factory=dict)

    @classmethod
    def of(cls, quota: ReadOnlyObject) -> "Account":
        """Open the account of a quota; nothing is used of it yet."""
        hard = resource_list((quota.get("spec") or {}).get("hard"))
        collections = frozenset(filter(None, map(quota_usage.collection_counted, hard)))
        return cls(str(quota["metadata"]["name"]), hard, quota_usage.scopes_of(quota), collections)

    def charge(self, collection: str, obj: ReadOnlyObject | None) -> ResourceList:
        """Return what an object counts for in this quota."""
        if obj is None or not self.concerns(collection, obj):
            return {}
        counted = quota_usage.usage(collection, obj)
        return {name: quantity for name, quantity in counted.items() if name in self.hard}

    def concerns(self, collection: str, obj: ReadOnlyObject) -> bool:
        """Say whether an object is one of those that this quota is about."""
        return collection in self.collections and quota_usage.in_scope(collection, obj, self.scopes)

    def limited(self, collection: str) -> list[str]:
        """Return the resources of this quota that objects of a collection count for."""
        return sorted(name for name in self.hard if quota_usage.collection_counted(name) == collection)

    def taken(self) -> ResourceList:
        """Return what is used or about to be."""
        total = self.used
        for reservation in self.reserved.values():
            total = plus(total, reservation)
        return total

    def problem(self, collection: str, new: ReadOnlyObject, more: Mapping[str, Quantity]) -> str:
        """Say why an object must not be stored that needs so much more than now, empty if it may."""
        unstated = quota_usage.unstated(new, self.limited(PODS)) if collection == PODS else ""
        if unstated:
            return f"failed quota: {self.name}: {unstated}"
        taken = self.taken()
        after = plus(taken, more)
        exceeded = [name for name in more if after[name].number > self.hard[name].number]
        if not exceeded:
            return ""
        requested, limited = printed(more, exceeded), printed(self.hard, exceeded)
        used = printed(taken, exceeded)
        return f"exceeded quota: {self.name}, requested: {requested}, used: {used}, limited: {limited}"


class Quotas:
    """The accounts of all quotas of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts: dict[str, dict[str, Account]] = {}
        self.on_change: Callable[[str, str], None] = lambda namespace, name: None
        """Called with namespace and name of a quota of which more or less is used than before."""
        for record in store.records(QUOTAS):
            self._open(record.location, record.decode())
        store.subscribe(self._observe)

    def count(self, namespace: str) -> int:
        """Return how many quotas a namespace has."""
        return len(self._accounts.get(namespace, ()))

    def names(self) -> list[tuple[str, str]]:
        """Return namespace and name of every quota."""
        return [(namespace, name) for namespace, accounts in self._accounts.items() for name in accounts]

    def account(self, namespace: str, name: str) -> Account | None:
        """Return the account of a quota."""
        return self._accounts.get(namespace, {}).get(name)

    @contextmanager
    def reserved(
        self, resource: Resource, location: Location, new: ReadOnlyObject, old: ReadOnlyObject | None = None
    ) -> Iterator[None]:
        """Have room for an object while the context lasts, within which it is stored or not.

        Raises Forbidden, in the words of Kubernetes, if it would not fit into every quota of its namespace.
        """
        accounts = self._accounts.get(location.namespace)
        if not accounts or not _counts(location.collection, new, old):
            yield
            return
        concerned = [account for account in accounts.values() if account.concerns(location.collection, new)]
        try:
            for account in concerned:
                more = _growth(account, location.collection, new, old)
                if problem := account.problem(location.collection, new, more):
                    raise refusal(resource, location, problem)
                account.reserved[location] = more
            yield
        finally:
            for account in concerned:
                account.reserved.pop(location, None)

    def _observe(self, event: Event) -> None:
        location = event.record.location
        accounts = self._accounts.get(location.namespace)
        if accounts:
            self._count(accounts, event)
        if location.collection == QUOTAS:
            self._observe_quota(event)

    def _count(self, accounts: Mapping[str, Account], event: Event) -> None:
        location = event.record.location
        concerned = [account for account in accounts.values() if location.collection in account.collections]
        if not concerned:
            return
        before = event.previous.decode() if event.previous is not None else None
        after = event.record.decode() if event.type != "DELETED" else None
        for account in concerned:
            account.reserved.pop(location, None)
            was, now = account.charge(location.collection, before), account.charge(location.collection, after)
            if was != now:
                account.used = plus(minus(account.used, was), now)
                self.on_change(location.namespace, account.name)

    def _observe_quota(self, event: Event) -> None:
        location = event.record.location
        if event.type == "DELETED":
            accounts = self._accounts.get(location.namespace, {})
            accounts.pop(location.name, None)
            if not accounts:
                self._accounts.pop(location.namespace, None)
            return
        quota = event.record.decode()
        if event.previous is None or event.previous.decode().get("spec") != quota.get("spec"):
            self._open(location, quota)
            self.on_change(location.namespace, location.name)

    def _open(self, location: Location, quota: Object) -> None:
        """Open an account and count what is there."""
        account = Account.of(quota)
        account.used = {name: Quantity.of("0") for name in account.hard if quota_usage.collection_counted(name)}
        for collection in account.collections:
            for record in self._store.records(collection, location.namespace):
                account.used = plus(account.used, account.charge(collection, record.decode()))
        self._accounts.setdefault(location.namespace, {})[location.name] = account


def _counts(collection: str, new: ReadOnlyObject, old: ReadOnlyObject | None) -> bool:
    """Say whether a write of this kind is held to quotas: every creation, and changes that may need more."""
    if old is None or collection in _COUNTED_ON_UPDATE:
        return True
    return collection == PODS and quota_usage.is_terminating(new) != quota_usage.is_terminating(old)


def _growth(account: Account, collection: str, new: ReadOnlyObject, old: ReadOnlyObject | None) -> ResourceList:
    more = minus(account.charge(collection, new), account.charge(collection, old))
    return {name: quantity for name, quantity in more.items() if quantity.number > 0}


def refusal(resource: Resource, location: Location, problem: str) -> Forbidden:
    """Return the answer for an object that its namespace's limits leave no room for."""
    qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    details = {"name": location.name, "group": resource.group, "kind": resource.plural}
    return Forbidden(f'{qualified} "{location.name}" is forbidden: {problem}', details)
