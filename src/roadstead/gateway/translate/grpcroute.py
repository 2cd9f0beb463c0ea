"""GRPCRoute: methods and headers become matches on path and headers, ranked as the specification ranks them.

Source: gateway-api, apis/v1/grpcroute_types.go. gRPC's path is `/package.Service/Method`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from roadstead.api.objects import Object
from roadstead.gateway.ir import Match, PathMatch, Timeouts
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.annotations import read_annotations
from roadstead.gateway.translate.expressions import expression_problem
from roadstead.gateway.translate.fields import mapping, mappings, text
from roadstead.gateway.translate.headers import value_matches
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.retries import grpc_retry
from roadstead.gateway.translate.routes import RankedMatch, Readers, RoutePlan, plan_route
from roadstead.gateway.translate.transcoding import json_entries
from roadstead.gateway.translate.web import contradictions, cross_origin, web_entries

_SERVICE = re.compile(r"\.?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_METHOD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ANY_PART = "[^/]+"
_EVERYTHING = PathMatch("prefix", "/")
_GRPC_FIRST = 0
"""GRPCRoutes come before HTTPRoutes of the same host: they match nothing but gRPC, so they take nothing else away."""


def plan_grpc_route(route: Object, resources: Resources) -> RoutePlan:
    """Return what a GRPCRoute adds to the listeners that it attaches to."""
    annotated = read_annotations(route)
    timeouts, retry = _timeouts(annotated.values), grpc_retry(annotated.values)
    readers = Readers(_matches, lambda _rule, _path: timeouts, lambda _rule, _path: retry)
    plan = plan_route(route, "GRPCRoute", resources, readers)
    if not annotated.values and not annotated.problem:
        return plan
    problems = [*([annotated.problem] if annotated.problem else []), *contradictions(annotated.values)]
    return _extended(plan, annotated.values, resources, problems)


def _extended(
    plan: RoutePlan, stated: Mapping[str, Any], resources: Resources, problems: Sequence[Problem]
) -> RoutePlan:
    """Return the plan with the lines that annotations add, and all that is wrong with annotations."""
    cors = cross_origin(stated)
    entries, unheeded = plan.entries, list(problems)
    if stated.get("grpc-web"):
        entries = web_entries(entries, cors)
    source = stated.get("json-transcoding")
    if source:
        json, missing = json_entries(plan, source, cors, resources)
        entries, unheeded = (*json, *entries), [*unheeded, *missing]
    return replace(plan, entries=entries, unheeded=joined(unheeded), reflects="reflection" in stated)


def _timeouts(stated: Mapping[str, Any]) -> Timeouts:
    """Return the time limits: a maximum without a default also limits calls whose client states no limit."""
    maximum = stated.get("maximum-timeout", 0)
    default = stated.get("timeout", maximum)
    return Timeouts(request=default, idle=stated.get("idle-timeout", 0), maximum_grpc=maximum)


def _matches(rule: Mapping[str, Any], path: str) -> list[RankedMatch] | Problem:
    found: list[RankedMatch] = []
    for index, entry in enumerate(mappings(rule.get("matches")) or [{}]):
        ranked = _match(entry, f"{path}.matches[{index}]")
        if isinstance(ranked, Problem):
            return ranked
        found.append(ranked)
    return found


def _match(entry: Mapping[str, Any], path: str) -> RankedMatch | Problem:
    headers = value_matches(mappings(entry.get("headers")), f"{path}.headers", fold_case=True)
    method = mapping(entry.get("method"))
    service, name = text(method.get("service")), text(method.get("method"))
    place = _path(text(method.get("type"), "Exact"), service, name, f"{path}.method")
    if isinstance(headers, Problem):
        return headers
    if isinstance(place, Problem):
        return place
    by_expression = int(text(method.get("type"), "Exact") != "Exact")
    rank = (_GRPC_FIRST, by_expression, -len(service), -len(name), -len(headers))
    return RankedMatch(Match(place, headers=headers, grpc=True), rank)


def _path(kind: str, service: str, method: str, path: str) -> PathMatch | Problem:
    if not service and not method:
        return _EVERYTHING
    if kind == "Exact":
        return _exact(service, method, path)
    if kind != "RegularExpression":
        return Problem("UnsupportedValue", f"{path}.type: {kind} is not one of Exact, RegularExpression")
    for expression in filter(None, (service, method)):
        wrong = expression_problem(expression)
        if wrong:
            return Problem("UnsupportedValue", f"{path}: {expression!r} {wrong}")
    parts = (f"(?:{part})" if part else _ANY_PART for part in (service, method))
    return PathMatch("regex", "/" + "/".join(parts))


def _exact(service: str, method: str, path: str) -> PathMatch | Problem:
    if service and not _SERVICE.fullmatch(service):
        return Problem("UnsupportedValue", f"{path}.service: {service!r} is not the name of a gRPC service")
    if method and not _METHOD.fullmatch(method):
        return Problem("UnsupportedValue", f"{path}.method: {method!r} is not the name of a gRPC method")
    if service and method:
        return PathMatch("exact", f"/{service}/{method}")
    if service:
        return PathMatch("prefix", f"/{service}/")
    return PathMatch("regex", f"/{_ANY_PART}/{method}")
