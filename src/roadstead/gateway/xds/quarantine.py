"""What Envoy refuses of a route table is left out, and everything beside it is served.

Envoy takes a table as a whole, so that one rule which it refuses would keep back every later change of a port. Which
rule that is Envoy's own words mostly say (`rejections`). Where they do not, the rules that Envoy has not had before are
tried by halves:

    wanted ── without what is out or held ──▶ offered ──▶ Envoy ─┬─ takes it: those rules are good; what is held is next
                                                                 └─ refuses it: the rule that is named, or is the only
                                                                    one not known to be good, is out; or half is held

A rule is known by what Envoy sees of it. So one that is out stays out, without a word to Envoy, until somebody edits it
or no Envoy is left that has refused it. Every refusal puts a rule out or halves those in doubt: it comes to an end.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec

from roadstead.gateway import ir
from roadstead.gateway.xds.rejections import at_fault
from roadstead.gateway.xds.resources import Ref, ResourceType
from roadstead.gateway.xds.tables import table_of_piece

_RuleKey: TypeAlias = "tuple[str, str, str, int] | str"
"""The kind, namespace, name and number of a rule; the name of a route that no manifest has made."""


class _Rule(NamedTuple):
    """A rule of a table, as Envoy sees it."""

    key: _RuleKey
    routes: frozenset[tuple[ir.Match, ir.Action]]


@dataclass(slots=True)
class _Table:
    """One route table: what is wanted, what of it is offered, and what Envoy has said of its rules."""

    wanted: ir.RouteTable
    offered: ir.RouteTable
    good: ir.RouteTable | None = None
    out: dict[_Rule, tuple[ir.RouteSource | None, str]] = field(default_factory=dict)
    held: set[_Rule] = field(default_factory=set)
    hopeless: bool = False

    def want(self, table: ir.RouteTable) -> None:
        """Want this table from now on; rules that are not in it any more are forgotten."""
        self.wanted, self.hopeless = table, False
        if self.out or self.held:
            there = _rules(table).keys()
            self.out = {rule: why for rule, why in self.out.items() if rule in there}
            self.held &= there
        self._offer()

    def taken(self) -> bool:
        """Note that Envoy has taken what was offered; return whether there is something else to offer."""
        self.good = self.offered
        if not self.held:
            return False
        self.held.clear()
        self._offer()
        return True

    def refused(self, message: str) -> bool:
        """Note that Envoy has refused what was offered; return whether there is something else to offer."""
        rules = _rules(self.offered)
        known = _rules(self.good).keys() if self.good is not None else frozenset()
        suspects = [rule for rule in rules if rule not in known] or list(rules)
        if not suspects:
            self.hopeless = True
            return False
        named = at_fault(self.offered, message)
        culprit = next((rule for rule in suspects if named is not None and rule.key == _key(named)), None)
        if culprit is None and len(suspects) == 1:
            culprit = suspects[0]
        if culprit is not None:
            self.out[culprit] = (rules[culprit], message)
        else:
            self.held |= set(suspects[(len(suspects) + 1) // 2 :])
        self._offer()
        return True

    def _offer(self) -> None:
        excluded = {rule.key for rule in (*self.out, *self.held)}
        self.offered = _without(self.wanted, excluded) if excluded else self.wanted


class Quarantine:
    """The route tables of one proxy, or pieces of them: what is offered of each, and what is left out and why."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._unanswered: set[str] = set()

    def want(self, wanted: ir.RouteTable) -> ir.RouteTable:
        """Want this table from now on; return what is offered of it, the very same if there is nothing to leave out."""
        table = self._tables.get(wanted.name)
        if table is None:
            table = self._tables[wanted.name] = _Table(wanted, wanted)
        else:
            table.want(wanted)
        self._unanswered.add(wanted.name)
        return table.offered

    def forget(self, name: str) -> None:
        """Want a table no longer."""
        self._tables.pop(name, None)
        self._unanswered.discard(name)

    def offered(self, name: str) -> ir.RouteTable:
        """Return what is offered of a table."""
        return self._tables[name].offered

    @property
    def unanswered(self) -> frozenset[str]:
        """The tables of which it is not known yet whether Envoy takes what is offered."""
        return frozenset(self._unanswered)

    def taken(self, name: str) -> bool:
        """Note that an Envoy has taken what is offered of a table; return whether to offer something else."""
        return self._answered(name, again=self._tables[name].taken())

    def refused(self, name: str, message: str) -> bool:
        """Note that an Envoy has refused what is offered of a table; return whether to offer something else."""
        return self._answered(name, again=self._tables[name].refused(message))

    def _answered(self, name: str, *, again: bool) -> bool:
        if again:
            self._unanswered.add(name)
        else:
            self._unanswered.discard(name)
        return again

    def handles(self, ref: Ref) -> bool:
        """Say whether a refusal of this resource is, or will soon be, one of a rule."""
        table = self._tables.get(ref.name) if ref.type is ResourceType.ROUTES else None
        return table is not None and not table.hopeless

    @property
    def on_trial(self) -> bool:
        """Say whether rules are held back until it is known whether Envoy takes them."""
        return any(self._tables[name].held for name in self._unanswered)

    def rejections(self) -> list[ir.Rejection]:
        """Return what is left out and why."""
        return [
            ir.Rejection(_described(name, source), message, source)
            for name, table in self._tables.items()
            for source, message in table.out.values()
        ]


def _described(table: str, source: ir.RouteSource | None) -> str:
    ref = str(Ref(ResourceType.ROUTES, table_of_piece(table)))
    return f"{ref} ({source})" if source is not None else ref


def _key(source: ir.RouteSource) -> _RuleKey:
    return source.kind, source.namespace, source.name, source.rule


def _route_key(route: ir.Route) -> _RuleKey:
    return _key(route.source) if route.source is not None else route.name


def _rules(table: ir.RouteTable) -> Mapping[_Rule, ir.RouteSource | None]:
    """Return the rules of a table in its order, each with a source that describes it."""
    routes: dict[_RuleKey, set[tuple[ir.Match, ir.Action]]] = defaultdict(set)
    sources: dict[_RuleKey, ir.RouteSource | None] = {}
    for route in _routes(table):
        key = _route_key(route)
        routes[key].add((route.match, route.action))
        sources.setdefault(key, route.source)
    return {_Rule(key, frozenset(found)): sources[key] for key, found in routes.items()}


def _routes(table: ir.RouteTable) -> Iterable[ir.Route]:
    return (route for host in table.virtual_hosts for route in host.routes)


def _without(table: ir.RouteTable, excluded: set[_RuleKey]) -> ir.RouteTable:
    """Return the table without the routes of these rules; hosts that lose nothing stay the same objects."""
    hosts = tuple(_host_without(host, excluded) for host in table.virtual_hosts)
    return msgspec.structs.replace(table, virtual_hosts=hosts)


def _host_without(host: ir.VirtualHost, excluded: set[_RuleKey]) -> ir.VirtualHost:
    kept = tuple(route for route in host.routes if _route_key(route) not in excluded)
    return host if len(kept) == len(host.routes) else msgspec.structs.replace(host, routes=kept)
