"""What stands in for a rule that Envoy refuses: the version of it that Envoys have taken last.

Nobody knows beforehand whether Envoy will take an edited rule. So its earlier versions go along in reserve, ranked as
any rule, with clusters that live, until all Envoys have answered:

    edit ──▶ reserve: the version taken last, and later ones ──▶ all Envoys have answered ─┬─ taken: forgotten
                                                                                           └─ refused: stays

A rule is the one of the same name. Rules without a name are the same if they say the same; those that do not are taken
for each other in their order, if there are as many as before, or by their numbers, where rules were only added. So a
rule that was removed never comes back. What it leads to must still be there and be permitted, or nothing stands in for
it. Next: `xds.quarantine`, which chooses.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from roadstead.gateway.ir import Cluster, Route
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backends import Reference, resolve
from roadstead.gateway.translate.references import Referrer, Target
from roadstead.gateway.translate.routes import Entry, RoutePlan

_MOST = 4
"""Versions of a rule that Envoys have not answered to yet; with more edits at once the oldest is forgotten."""


class FormerEntry(NamedTuple):
    """An entry of an earlier version of the rule that now has this number. The higher version is the later one."""

    rule: int
    version: int
    taken: bool
    entry: Entry


@dataclass(frozen=True, slots=True)
class Reserve:
    """What is in reserve for a route as it is now. `taken`: the rules that all its Envoys have taken as they are."""

    taken: frozenset[int] = frozenset()
    former: tuple[FormerEntry, ...] = ()

    def of(self, rule: int) -> Iterator[FormerEntry]:
        """Yield what stands in for a rule."""
        return (one for one in self.former if one.rule == rule)


_Rules = Mapping[int, tuple[Entry, ...]]


def succeeded(reserve: Reserve, before: RoutePlan, now: RoutePlan, *, answering: bool) -> Reserve:
    """Return what is in reserve once a plan has succeeded another one.

    `answering`: some Envoy is there that may have taken what nobody has heard of yet.
    """
    old, new = _rules(before), _rules(now)
    taken: set[int] = set()
    former: list[FormerEntry] = []
    for rule, was in _same(old, new):
        earlier = [_renumbered(one, rule) for one in reserve.of(was)]
        if _says(old[was]) == _says(new[rule]):
            taken |= {rule} if was in reserve.taken else set()
            former += earlier
        elif was in reserve.taken:
            former += [_renumbered(FormerEntry(was, 0, taken=True, entry=entry), rule) for entry in old[was]]
        else:
            version = max((one.version for one in earlier), default=0) + 1
            later = [_renumbered(FormerEntry(was, version, taken=False, entry=entry), rule) for entry in old[was]]
            former += [one for one in earlier if one.taken or one.version > version - _MOST]
            former += later if answering else []
    return Reserve(frozenset(taken), tuple(former))


def answered(reserve: Reserve, now: RoutePlan, refused: Iterable[tuple[int, int | None]]) -> Reserve:
    """Return what stays in reserve once all Envoys have answered.

    `refused`: the rules that some of them refuse, each with the version that they serve instead, if they do.
    """
    kept = set(refused)
    former = (one._replace(taken=True) for one in reserve.former if (one.rule, one.version) in kept)
    return Reserve(frozenset(_rules(now)) - {rule for rule, _ in kept}, tuple(former))


def usable(reserve: Reserve, plan: RoutePlan, resources: Resources) -> Reserve:
    """Return the reserve without versions that lead to what is gone, has changed, or is not permitted any more."""
    lost = {
        (one.rule, one.version)
        for one in reserve.former
        if not all(_is_there(cluster, plan, resources) for cluster in one.entry.clusters)
    }
    if not lost:
        return reserve
    return replace(reserve, former=tuple(one for one in reserve.former if (one.rule, one.version) not in lost))


def _is_there(cluster: Cluster, plan: RoutePlan, resources: Resources) -> bool:
    namespace, name, port = cluster.endpoints.split("/")
    referrer = Referrer(plan.kind, plan.key.namespace)
    return resolve(Reference("", referrer, Target("", "Service", namespace, name), int(port)), resources) == cluster


def _rules(plan: RoutePlan) -> _Rules:
    """Return the entries of each rule; only those of lines that Envoy is asked about."""
    found: dict[int, tuple[Entry, ...]] = defaultdict(tuple)
    for entry in plan.entries:
        source = entry.routes[0].source if entry.routes else None
        if source is not None:
            found[source.rule] += (entry,)
    return found


def _same(old: _Rules, new: _Rules) -> Iterator[tuple[int, int]]:
    """Yield each rule that was there before, with the number that it had."""
    left = dict(old)
    unknown = list(new)
    moved = False
    for is_same in (_are_namesakes, _say_the_same):
        for rule in list(unknown):
            was = next((one for one in left if is_same(left[one], new[rule])), None)
            if was is not None:
                unknown.remove(rule)
                del left[was]
                moved |= rule != was
                yield rule, was
    nameless = [rule for rule in unknown if not _name(new[rule])]
    edited = [was for was in left if not _name(left[was])]
    if len(nameless) == len(edited):
        yield from zip(nameless, edited, strict=True)
    elif len(nameless) > len(edited) and not moved:
        yield from ((rule, rule) for rule in nameless if rule in edited)


def _are_namesakes(one: tuple[Entry, ...], other: tuple[Entry, ...]) -> bool:
    return bool(_name(one)) and _name(one) == _name(other)


def _say_the_same(one: tuple[Entry, ...], other: tuple[Entry, ...]) -> bool:
    return not (_name(one) and _name(other)) and _says(one) == _says(other)


def _name(entries: tuple[Entry, ...]) -> str:
    source = entries[0].routes[0].source
    return source.rule_name if source is not None else ""


def _says(entries: tuple[Entry, ...]) -> object:
    """Return what a rule says, whatever its number is."""
    return [(one.rank, [(each.match, each.action, each.web) for each in one.routes], one.clusters) for one in entries]


def _renumbered(former: FormerEntry, rule: int) -> FormerEntry:
    """Return an entry as one of the rule of this number: Envoy's words and the log are about the rule as it is now."""
    if all(route.source is not None and route.source.rule == rule for route in former.entry.routes):
        return former._replace(rule=rule)
    routes = tuple(_as_of(route, rule) for route in former.entry.routes)
    return former._replace(rule=rule, entry=replace(former.entry, routes=routes))


def _as_of(route: Route, rule: int) -> Route:
    if route.source is None:
        return route
    name = route.name.replace(f"/rule/{route.source.rule}/", f"/rule/{rule}/", 1)
    source = msgspec.structs.replace(route.source, rule=rule)
    return msgspec.structs.replace(route, name=name, source=source)
