"""HTTPRoute: paths, methods, headers and query parameters become matches, ranked as the specification ranks them.

Source: gateway-api, apis/v1/httproute_types.go. Beside gRPC, teams serve health pages, REST and gRPC-Web.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from roadstead.api.objects import Object
from roadstead.gateway.ir import Match, PathMatch, Timeouts
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.annotations import read_annotations
from roadstead.gateway.translate.durations import seconds
from roadstead.gateway.translate.expressions import expression_problem
from roadstead.gateway.translate.fields import mapping, mappings, text
from roadstead.gateway.translate.headers import is_header_name, is_header_value, value_matches
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.retries import http_retry
from roadstead.gateway.translate.routes import RankedMatch, Readers, RoutePlan, plan_route

_PATH_RANKS = {"exact": 0, "regex": 1, "prefix": 2}
_AFTER_GRPC = 1


def plan_http_route(route: Object, resources: Resources) -> RoutePlan:
    """Return what an HTTPRoute adds to the listeners that it attaches to."""
    annotated = read_annotations(route)
    idle = annotated.values.get("idle-timeout", 0)
    plan = plan_route(route, "HTTPRoute", resources, Readers(_matches, partial(_timeouts, idle), http_retry))
    return replace(plan, unheeded=annotated.problem)


def _timeouts(idle: float, rule: Mapping[str, Any], path: str) -> Timeouts | Problem:
    stated = mapping(rule.get("timeouts"))
    read: dict[str, float] = {}
    for name in ("request", "backendRequest"):
        duration = seconds(text(stated.get(name), "0s"))
        if duration is None:
            return Problem("UnsupportedValue", f"{path}.timeouts.{name}: {stated.get(name)!r} is not a duration")
        read[name] = duration
    return Timeouts(request=read["request"], backend_request=read["backendRequest"], idle=idle)


def _matches(rule: Mapping[str, Any], path: str) -> list[RankedMatch] | Problem:
    found: list[RankedMatch] = []
    for index, entry in enumerate(mappings(rule.get("matches")) or [{}]):
        ranked = _match(entry, f"{path}.matches[{index}]")
        if isinstance(ranked, Problem):
            return ranked
        found.append(ranked)
    return found


def _match(entry: Mapping[str, Any], path: str) -> RankedMatch | Problem:
    place = _path(mapping(entry.get("path")), f"{path}.path")
    headers = value_matches(mappings(entry.get("headers")), f"{path}.headers", fold_case=True)
    query = value_matches(mappings(entry.get("queryParams")), f"{path}.queryParams", fold_case=False)
    method = text(entry.get("method"))
    if isinstance(place, Problem):
        return place
    if isinstance(headers, Problem):
        return headers
    if isinstance(query, Problem):
        return query
    if method and not is_header_name(method):
        return Problem("UnsupportedValue", f"{path}.method: {method!r} is not an HTTP method")
    rank = (_AFTER_GRPC, _PATH_RANKS[place.kind], -len(place.value), -bool(method), -len(headers), -len(query))
    return RankedMatch(Match(place, method, headers, query), rank)


def _path(entry: Mapping[str, Any], path: str) -> PathMatch | Problem:
    kind, value = text(entry.get("type"), "PathPrefix"), text(entry.get("value"), "/")
    if kind == "RegularExpression":
        wrong = expression_problem(value)
        return Problem("UnsupportedValue", f"{path}: {value!r} {wrong}") if wrong else PathMatch("regex", value)
    if not value.startswith("/") or any(mark in value for mark in "?#") or not is_header_value(value):
        return Problem("UnsupportedValue", f"{path}.value: {value!r} is not a path that starts with /")
    if kind == "Exact":
        return PathMatch("exact", value)
    if kind == "PathPrefix":
        return PathMatch("prefix", value.rstrip("/") or "/")
    return Problem("UnsupportedValue", f"{path}.type: {kind} is not one of Exact, PathPrefix, RegularExpression")
