"""gRPC-Web of a GRPCRoute, by annotation: each of its lines is there a second time, for what browsers send.

A browser asks first (CORS preflight), without the headers of the call, so that line matches on the path alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from roadstead.gateway.ir import Cors, Forward, Match, Route, ValueMatch, Web
from roadstead.gateway.translate.annotations import PREFIX
from roadstead.gateway.translate.cors import ANY_ORIGIN
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.routes import Entry

_SENT_BY_CLIENTS = ("content-type", "x-grpc-web", "x-user-agent", "grpc-timeout", "authorization")
_READ_BY_CLIENTS = ("grpc-status", "grpc-message", "grpc-status-details-bin")
_WEB_CONTENT = ValueMatch("content-type", "regex", r"application/grpc-web(?:-text)?(?:[+;].*)?")
_ASKS_FIRST = ValueMatch("access-control-request-method", "regex", r"[A-Z]+")
_DEFAULT_MAX_AGE = 3600


def cross_origin(stated: Mapping[str, Any]) -> Cors | None:
    """Return which scripts may call, by the annotations of a route; None if they do not say."""
    origins = stated.get("cors-allow-origins")
    if not origins:
        return None
    return Cors(
        origins=origins,
        methods=("POST", "GET", "PUT", "PATCH", "DELETE"),
        headers=(*_SENT_BY_CLIENTS, *stated.get("cors-allow-headers", ())),
        exposed_headers=(*_READ_BY_CLIENTS, *stated.get("cors-expose-headers", ())),
        max_age=int(stated.get("cors-max-age", _DEFAULT_MAX_AGE)),
        credentials=stated.get("cors-allow-credentials", False) and ANY_ORIGIN not in origins,
    )


def contradictions(stated: Mapping[str, Any]) -> list[Problem]:
    """Return what these annotations of a route say that makes no sense together."""
    cors = [name for name in stated if name.startswith("cors-")]
    found = []
    if cors and not stated.get("grpc-web") and "json-transcoding" not in stated:
        found.append(f"{PREFIX}{cors[0]}]: has no effect without {PREFIX}grpc-web: true or {PREFIX}json-transcoding")
    elif cors and "cors-allow-origins" not in stated:
        found.append(f"{PREFIX}{cors[0]}]: has no effect without {PREFIX}cors-allow-origins")
    if stated.get("cors-allow-credentials") and ANY_ORIGIN in stated.get("cors-allow-origins", ()):
        found.append(f"{PREFIX}cors-allow-credentials]: not with every origin (*): name those that are trusted")
    return [Problem("InvalidAnnotation", f"metadata.annotations[{message}") for message in found]


def web_entries(entries: Iterable[Entry], cors: Cors | None) -> tuple[Entry, ...]:
    """Return the entries of a GRPCRoute that also serves gRPC-Web."""
    return tuple(replace(one, routes=tuple(_lines(one, cors))) for one in entries)


def preflight(match: Match, cors: Cors, like: Route) -> Route:
    """Return the line that answers a browser's question whether it may call what `match` is about.

    Envoy answers, and never forwards such a question; but on a line that forwards nothing it looks for no permission.
    """
    asked = Match(match.path, "OPTIONS", (_ASKS_FIRST,))
    return Route(f"{like.name}/preflight", asked, like.action, like.source, Web(cors, translated=False))


def _lines(entry: Entry, cors: Cors | None) -> Iterator[Route]:
    for route in entry.routes:
        yield route
        headers = (*route.match.headers, _WEB_CONTENT)
        match = msgspec.structs.replace(route.match, headers=headers, grpc=False)
        yield Route(f"{route.name}/web", match, route.action, route.source, Web(cors))
    last = entry.routes[-1]
    if cors is not None and isinstance(last.action, Forward):
        yield preflight(last.match, cors, last)
