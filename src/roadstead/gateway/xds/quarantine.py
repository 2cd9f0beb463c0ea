"""What Envoy refuses of a route table is not offered to it, and everything beside it is served.

Envoy takes a table as a whole, so that one rule which it refuses would keep back every later change of a port. Which
rule that is Envoy's own words mostly say (`rejections`). Where they do not, the rules that Envoy has not had before are
tried by halves:

    wanted ── without what is out or held ──▶ offered ──▶ Envoy ─┬─ takes it: those rules are good; what is held is next
                                                                 └─ refuses it: the rule that is named, or is the only
                                                                    one not known to be good, is out; or half is held

In the place of a rule that is out or held the version of it is offered that Envoy has taken last, as far as there is
one in the table's reserve: who makes the table knows where its lines belong, and whether it may still be served.

A rule is known by what Envoy sees of it. So one that is out stays out, without a word to Envoy, until somebody edits it
or no Envoy is left that has refused it. Every refusal puts a rule out or halves those in doubt: it comes to an end.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec

from roadstead.gateway import ir
from roadstead.gateway.xds.rejections import at_fault
from roadstead.gateway.xds.resources import Ref, ResourceType
from roadstead.gateway.xds.tables import table_of_piece

_RuleKey: TypeAlias = "tuple[str, str, str, int] | str"
"""The kind, namespace, name and number of a rule; the name of a route that no manifest has made."""
_Line: TypeAlias = "tuple[ir.Match, ir.Action, ir.Web | None]"


class _Rule(NamedTuple):
    """A rule of a table, as Envoy sees it."""

    key: _RuleKey
    lines: frozenset[_Line]


@dataclass(slots=True)
class _Table:
    """One route table: what is wanted, what of it is offered, and what Envoy has said of its rules.

    `stand_ins`: the version of each rule that is offered in its place. `unfit`: versions that Envoy refuses as well.
    """

    wanted: ir.RouteTable
    offered: ir.RouteTable
    good: ir.RouteTable | None = None
    out: dict[_Rule, tuple[ir.RouteSource | None, str]] = field(default_factory=dict)
    held: set[_Rule] = field(default_factory=set)
    stand_ins: dict[_RuleKey, int] = field(default_factory=dict)
    unfit: set[_Rule] = field(default_factory=set)
    hopeless: bool = False

    def want(self, table: ir.RouteTable) -> None:
        """Want this table from now on; rules that are not in it any more are forgotten."""
        self.wanted, self.hopeless = table, False
        if self.out or self.held:
            there, former = _rules(table).keys(), {rule for rule, _, _ in _versions(table)}
            self.out = {rule: why for rule, why in self.out.items() if rule in there}
            self.held = {rule for rule in self.held if rule in there or rule in former}
            self.unfit &= former
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
        good = self._good_lines()
        suspects = [rule for rule in rules if not rule.lines <= good] or list(rules)
        if not suspects:
            self.hopeless = True
            return False
        culprit = self._culprit(suspects, message)
        if culprit is None:
            self.held |= set(suspects[(len(suspects) + 1) // 2 :])
        elif culprit.key in self.stand_ins:
            self.unfit.add(culprit)
        else:
            self.out[culprit] = (rules[culprit], message)
        self._offer()
        return True

    def _culprit(self, suspects: list[_Rule], message: str) -> _Rule | None:
        """Return the rule that Envoy's words are about, or that must be meant; None: it may be several."""
        named = at_fault(self.offered, message)
        found = next((rule for rule in suspects if named is not None and rule.key == _key(named)), None)
        return found or (suspects[0] if len(suspects) == 1 else None)

    def _good_lines(self) -> frozenset[_Line]:
        """Return what cannot be at fault, whichever rule it is in: Envoy has it."""
        return frozenset(map(_line, _routes(self.good))) if self.good is not None else frozenset()

    def _offer(self) -> None:
        excluded = {rule.key for rule in (*self.out, *self.held)}
        self.stand_ins = self._chosen(excluded) if excluded else {}
        self.offered = _instead(self.wanted, excluded, self.stand_ins) if excluded else self.wanted

    def _chosen(self, excluded: set[_RuleKey]) -> dict[_RuleKey, int]:
        """Return the version that stands in for each of these rules: the last one that Envoy has taken."""
        versions = sorted(_versions(self.wanted), key=lambda found: found[1])
        good = self._good_lines() if versions else frozenset()
        return {
            rule.key: version
            for rule, version, taken in versions
            if rule.key in excluded and rule not in self.unfit | self.held and (taken or rule.lines <= good)
        }


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
        """Return what is left out, or served as it was before, and why."""
        return [
            ir.Rejection(_described(name, source), message, source, kept=table.stand_ins.get(rule.key))
            for name, table in self._tables.items()
            for rule, (source, message) in table.out.items()
        ]


def _described(table: str, source: ir.RouteSource | None) -> str:
    ref = str(Ref(ResourceType.ROUTES, table_of_piece(table)))
    return f"{ref} ({source})" if source is not None else ref


def _key(source: ir.RouteSource) -> _RuleKey:
    return source.kind, source.namespace, source.name, source.rule


def _route_key(route: ir.Route) -> _RuleKey:
    return _key(route.source) if route.source is not None else route.name


def _line(route: ir.Route) -> _Line:
    return route.match, route.action, route.web


def _rules(table: ir.RouteTable) -> Mapping[_Rule, ir.RouteSource | None]:
    """Return the rules of a table in its order, each with a source that describes it."""
    lines: dict[_RuleKey, set[_Line]] = defaultdict(set)
    sources: dict[_RuleKey, ir.RouteSource | None] = {}
    for route in _routes(table):
        key = _route_key(route)
        lines[key].add(_line(route))
        sources.setdefault(key, route.source)
    return {_Rule(key, frozenset(found)): sources[key] for key, found in lines.items()}


def _routes(table: ir.RouteTable) -> Iterable[ir.Route]:
    return (route for host in table.virtual_hosts for route in host.routes)


def _versions(table: ir.RouteTable) -> Iterator[tuple[_Rule, int, bool]]:
    """Yield the earlier versions of rules that a table has in reserve: what, which, whether Envoys have taken it."""
    lines: dict[tuple[_RuleKey, int, bool], set[_Line]] = defaultdict(set)
    for former in (former for host in table.virtual_hosts for former in host.reserve):
        lines[_route_key(former.route), former.version, former.taken].add(_line(former.route))
    for (key, version, taken), found in lines.items():
        yield _Rule(key, frozenset(found)), version, taken


def _instead(table: ir.RouteTable, excluded: set[_RuleKey], chosen: Mapping[_RuleKey, int]) -> ir.RouteTable:
    """Return the table with these versions of rules for those that are excluded; other hosts stay the same objects."""
    hosts = tuple(_host_instead(host, excluded, chosen) for host in table.virtual_hosts)
    return msgspec.structs.replace(table, virtual_hosts=hosts)


def _host_instead(host: ir.VirtualHost, excluded: set[_RuleKey], chosen: Mapping[_RuleKey, int]) -> ir.VirtualHost:
    if not any(_route_key(route) in excluded for route in host.routes):
        return host
    stand_ins = [each for each in host.reserve if chosen.get(_route_key(each.route)) == each.version]
    routes: list[ir.Route] = []
    for index, route in enumerate(host.routes):
        routes += [each.route for each in stand_ins if each.at == index]
        routes += [route] if _route_key(route) not in excluded else []
    routes += [each.route for each in stand_ins if each.at >= len(host.routes)]
    return msgspec.structs.replace(host, routes=tuple(routes), reserve=())
