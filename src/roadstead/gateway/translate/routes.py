"""What GRPCRoute and HTTPRoute have in common: rules whose matches lead to actions, and what is wrong with them.

The kinds differ in how a match is read and ranked (`grpcroute`, `httproute`); from there on a rule is a rule. Which
listeners a route attaches to is no matter of its rules: see `parents`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from roadstead.api.objects import Object, ObjectKey, key_of, metadata_of
from roadstead.gateway.ir import (
    Action,
    Cluster,
    Destination,
    DirectResponse,
    Forward,
    Match,
    Retry,
    Route,
    RouteSource,
    SessionPersistence,
    Timeouts,
)
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backends import POLICY_NOT_KEPT, read_reference, resolve, weight_of
from roadstead.gateway.translate.fields import mappings, spec_of, text, texts
from roadstead.gateway.translate.filters import Filters, read_filters
from roadstead.gateway.translate.hostnames import is_hostname, normal
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.references import Referrer
from roadstead.gateway.translate.sessions import read_session

_MILLION = 1_000_000
_NO_BACKEND = {"GRPCRoute": 503, "HTTPRoute": 500}
"""What requests without a valid backend get: UNAVAILABLE (grpcroute_types.go), 500 (httproute_types.go)."""

Rank = tuple[int, ...]


class RankedMatch(NamedTuple):
    """A match and its precedence within a host name: the smaller rank is tried first."""

    match: Match
    rank: Rank


MatchReader = Callable[[Mapping[str, Any], str], Sequence[RankedMatch] | Problem]
"""From a rule and its path in the manifest to its matches, or why they cannot be served."""


class Behaviour(NamedTuple):
    """What a rule says beside matches, filters and backends."""

    timeouts: Timeouts
    session: SessionPersistence | None
    retry: Retry


TimeoutReader = Callable[[Mapping[str, Any], str], Timeouts | Problem]
RetryReader = Callable[[Mapping[str, Any], str], Retry | Problem]


class Readers(NamedTuple):
    """How the kinds differ: what a rule of a kind says, read from the rule and its path in the manifest."""

    matches: MatchReader
    timeouts: TimeoutReader
    retry: RetryReader


@dataclass(frozen=True, slots=True)
class Entry:
    """One match of one rule: the lines that it adds to a virtual host (two if some of its backends are invalid)."""

    rank: Rank
    routes: tuple[Route, ...]
    clusters: tuple[Cluster, ...]


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """A route, decided: what it adds wherever it attaches, and what is wrong with it.

    `age` orders routes: the older wins, then the name. `unaccepted`: nothing of it can be served. `dropped`: some
    rules cannot. `unresolved`: references that lead nowhere. `unheeded`: annotations of ours that cannot be heeded.
    `reflects`: its hosts answer reflection for all their backends.
    """

    obj: Object
    kind: str
    key: ObjectKey
    age: tuple[str, str]
    hostnames: tuple[str, ...]
    entries: tuple[Entry, ...] = ()
    unaccepted: Problem | None = None
    dropped: Problem | None = None
    unresolved: Problem | None = None
    unheeded: Problem | None = None
    reflects: bool = False

    def has_made(self, source: RouteSource) -> bool:
        """Say whether a line comes from this route."""
        return (source.kind, source.namespace, source.name) == (self.kind, *self.key)


class _Actions(NamedTuple):
    """What a rule does: alternatives with their share (None: all the rest), the clusters they need, what is missing."""

    alternatives: tuple[tuple[int | None, Action], ...]
    clusters: tuple[Cluster, ...] = ()
    unresolved: tuple[Problem, ...] = ()


class _Chosen(NamedTuple):
    weight: int
    destination: Destination
    clusters: tuple[Cluster, ...]


class _Missing(NamedTuple):
    weight: int
    problem: Problem


class _Rule(NamedTuple):
    entries: tuple[Entry, ...] = ()
    dropped: Problem | None = None
    unresolved: tuple[Problem, ...] = ()


def plan_route(route: Object, kind: str, resources: Resources, readers: Readers) -> RoutePlan:
    """Return the plan of a route whose rules these `readers` understand."""
    spec, key = spec_of(route), key_of(route)
    hostnames = tuple(normal(name) for name in texts(spec.get("hostnames")))
    age = (text(metadata_of(route).get("creationTimestamp")), str(key))
    plan = RoutePlan(route, kind, key, age, tuple(dict.fromkeys(hostnames)))
    wrong = [name for name in hostnames if not is_hostname(name)]
    if wrong:
        message = f"spec.hostnames: {', '.join(map(repr, wrong))} is not a host name"
        return replace(plan, unaccepted=Problem("UnsupportedValue", message))
    rules = [
        _plan_rule(plan, index, rule, resources, readers) for index, rule in enumerate(mappings(spec.get("rules")))
    ]
    return _summed(plan, rules)


def _summed(plan: RoutePlan, rules: list[_Rule]) -> RoutePlan:
    dropped = joined([rule.dropped for rule in rules if rule.dropped])
    nothing_left = dropped is not None and all(rule.dropped for rule in rules)
    return replace(
        plan,
        entries=tuple(entry for rule in rules for entry in rule.entries),
        unaccepted=dropped if nothing_left else None,
        dropped=None if nothing_left else dropped,
        unresolved=joined([problem for rule in rules for problem in rule.unresolved]),
    )


def _plan_rule(
    plan: RoutePlan,
    index: int,
    rule: Mapping[str, Any],
    resources: Resources,
    readers: Readers,
) -> _Rule:
    path = f"spec.rules[{index}]"
    matches = readers.matches(rule, path)
    behaviour = _behaviour(rule, path, readers)
    referrer = Referrer(plan.kind, plan.key.namespace)
    filters = read_filters(mappings(rule.get("filters")), f"{path}.filters", referrer, resources)
    if isinstance(matches, Problem):
        return _Rule(dropped=matches)
    if isinstance(behaviour, Problem):
        return _Rule(dropped=behaviour)
    if filters.unsupported:
        return _Rule(dropped=filters.unsupported)
    if _replaces_prefix(filters) and any(ranked.match.path.kind != "prefix" for ranked in matches):
        message = f"{path}.filters: ReplacePrefixMatch needs matches of type PathPrefix in its rule"
        return _Rule(dropped=Problem("IncompatibleFilters", message))
    source = RouteSource(plan.kind, plan.key.namespace, plan.key.name, index, rule_name=text(rule.get("name")))
    actions = _actions(rule, filters, source, referrer, resources, behaviour)
    if isinstance(actions, Problem):
        return _Rule(dropped=actions)
    entries = tuple(_entry(ranked, number, source, actions) for number, ranked in enumerate(matches))
    return _Rule(entries, unresolved=actions.unresolved)


def _behaviour(rule: Mapping[str, Any], path: str, readers: Readers) -> Behaviour | Problem:
    timeouts, session, retry = readers.timeouts(rule, path), read_session(rule, path), readers.retry(rule, path)
    if isinstance(timeouts, Problem):
        return timeouts
    if isinstance(session, Problem):
        return session
    return retry if isinstance(retry, Problem) else Behaviour(timeouts, session, retry)


def _replaces_prefix(filters: Filters) -> bool:
    paths = (filters.path_rewrite, filters.redirect.path if filters.redirect else None)
    return any(path is not None and path.kind == "prefix" for path in paths)


def _entry(ranked: RankedMatch, number: int, source: RouteSource, actions: _Actions) -> Entry:
    source = msgspec.structs.replace(source, match=number)
    name = f"{source.kind.lower()}/{source.namespace}/{source.name}/rule/{source.rule}/match/{number}"
    routes = tuple(
        Route(
            name if share is None else f"{name}/invalid",
            ranked.match if share is None else msgspec.structs.replace(ranked.match, parts_per_million=share),
            action,
            source,
        )
        for share, action in actions.alternatives
    )
    return Entry(ranked.rank, routes, actions.clusters)


def _actions(
    rule: Mapping[str, Any],
    filters: Filters,
    source: RouteSource,
    referrer: Referrer,
    resources: Resources,
    behaviour: Behaviour,
) -> _Actions | Problem:
    if filters.broken:
        return _Actions(((None, DirectResponse(500, f"{source}: {filters.broken.message}")),), (), filters.unresolved)
    if filters.redirect:
        redirect = msgspec.structs.replace(filters.redirect, response_headers=filters.response_headers)
        return _Actions(((None, redirect),), (), filters.unresolved)
    chosen: list[_Chosen] = []
    missing: list[_Missing] = []
    for number, entry in enumerate(mappings(rule.get("backendRefs"))):
        backend = _backend(entry, f"spec.rules[{source.rule}].backendRefs[{number}]", referrer, resources)
        if isinstance(backend, Problem):
            return backend
        if isinstance(backend, _Chosen):
            chosen.append(backend)
        else:
            missing.append(backend)
    clusters = tuple(cluster for one in chosen for cluster in one.clusters)
    unresolved = (*filters.unresolved, *(one.problem for one in missing if one.problem.reason != POLICY_NOT_KEPT))
    alternatives = _alternatives(chosen, missing, filters, source, behaviour)
    return _Actions(alternatives, (*clusters, *filters.clusters), unresolved)


def _backend(
    entry: Mapping[str, Any], path: str, referrer: Referrer, resources: Resources
) -> _Chosen | _Missing | Problem:
    weight = weight_of(entry)
    filters = read_filters(mappings(entry.get("filters")), f"{path}.filters", referrer, resources)
    if filters.unsupported:
        return filters.unsupported
    if filters.redirect or filters.host_rewrite or filters.path_rewrite or filters.mirrors or filters.cors:
        return Problem("UnsupportedValue", f"{path}.filters: only header modifiers can stand at a backend")
    cluster = resolve(read_reference(entry, path, referrer), resources)
    if isinstance(cluster, Problem):
        return _Missing(weight, cluster)
    if filters.broken:
        return _Missing(weight, filters.broken)
    destination = Destination(cluster.name, weight, filters.request_headers, filters.response_headers)
    return _Chosen(weight, destination, (cluster,))


def _alternatives(
    chosen: list[_Chosen], missing: list[_Missing], filters: Filters, source: RouteSource, behaviour: Behaviour
) -> tuple[tuple[int | None, Action], ...]:
    lost = sum(one.weight for one in missing)
    total = lost + sum(one.weight for one in chosen)
    status = _NO_BACKEND[source.kind]
    if total == 0:
        why = "every backendRef has weight 0" if chosen or missing else "it has no backendRefs"
        return ((None, DirectResponse(status, f"{source}: {why}")),)
    forward = Forward(
        destinations=tuple(one.destination for one in chosen if one.weight),
        request_headers=filters.request_headers,
        response_headers=filters.response_headers,
        host_rewrite=filters.host_rewrite,
        path_rewrite=filters.path_rewrite,
        mirrors=filters.mirrors,
        timeouts=behaviour.timeouts,
        retry=behaviour.retry,
        session=behaviour.session,
        cors=filters.cors,
    )
    if not lost:
        return ((None, forward),)
    message = f"{source}: {'; '.join(one.problem.message for one in missing if one.weight)}"
    refusal = DirectResponse(status, message)
    if lost == total:
        return ((None, refusal),)
    return ((max(1, _MILLION * lost // total), refusal), (None, forward))
