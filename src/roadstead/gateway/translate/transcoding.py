"""JSON for a GRPCRoute, by annotation: lines that take the HTTP paths of its methods and let Envoy make gRPC of them.

Envoy then looks for a line again, so that what decides over a JSON request are the rules for the gRPC method that it
calls: headers, weights, filters. Only methods that some match of the route could let through are offered.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway.ir import Cors, Forward, Match, PathMatch, Route, Transcoding, ValueMatch, Web
from roadstead.gateway.matching import Request, mismatch
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.annotations import PREFIX
from roadstead.gateway.translate.descriptors import REFLECTION, Binding, Descriptors, DescriptorSource, read_descriptors
from roadstead.gateway.translate.fields import mapping, text
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.routes import Entry, RoutePlan
from roadstead.gateway.translate.web import preflight

ANNOTATION = "json-transcoding"
PENDING = "Pending"
_JSON = ValueMatch("content-type", "regex", r"application/json(?:;.*)?")
_RANK = (0,)
"""Before every rank of a GRPCRoute's matches; what they take is no gRPC."""
_FIELD = f"metadata.annotations[{PREFIX}{ANNOTATION}]"


def json_entries(
    plan: RoutePlan, source: DescriptorSource, cors: Cors | None, resources: Resources
) -> tuple[tuple[Entry, ...], list[Problem]]:
    """Return what a GRPCRoute that takes JSON adds to its entries, and why that is not all."""
    if source.kind == REFLECTION:
        return _by_reflection(plan, cors, resources)
    found = _descriptors(source, plan.key.namespace, resources)
    if isinstance(found, Problem):
        return (), [found]
    return _offered(plan.entries, found, cors)


def _offered(
    entries: Iterable[Entry], found: Descriptors, cors: Cors | None
) -> tuple[tuple[Entry, ...], list[Problem]]:
    made = tuple(_entries(entries, found, cors))
    if made:
        return made, []
    names = ", ".join(service.name for service in found.services)
    return (), [Problem("InvalidDescriptor", f"{_FIELD}: no match of the route is for a method of {names}")]


def _by_reflection(plan: RoutePlan, cors: Cors | None, resources: Resources) -> tuple[tuple[Entry, ...], list[Problem]]:
    """Take the descriptors of each backend from its own reflection, as far as that is known by now."""
    by_backend: dict[str, list[Entry]] = defaultdict(list)
    for entry in plan.entries:
        action = entry.routes[-1].action
        if isinstance(action, Forward):
            by_backend[max(action.destinations, key=lambda one: one.weight).cluster].append(entry)
    made: list[Entry] = []
    problems: list[Problem] = []
    for backend, entries in by_backend.items():
        told = resources.reflected.get(backend)
        found = read_descriptors(told) if isinstance(told, bytes) else told or "has not been asked yet"
        if isinstance(found, str):
            reason = PENDING if told is None else "ReflectionFailed"
            problems.append(Problem(reason, f"{_FIELD}: backend {backend.rpartition('/')[0]}: {found}"))
        else:
            more, missing = _offered(entries, found, cors)
            made += more
            problems += missing
    problems.sort(key=lambda one: one.reason == PENDING)  # The first one's reason is that of all.
    return tuple(made), problems


def _holder(source: DescriptorSource, namespace: str, resources: Resources) -> Object | None:
    objects = resources.config_maps if source.kind == "ConfigMap" else resources.secrets
    return objects.get(ObjectKey(namespace, source.name))


def _descriptors(source: DescriptorSource, namespace: str, resources: Resources) -> Descriptors | Problem:
    named = f"{source.kind} {namespace}/{source.name}"
    holder = _holder(source, namespace, resources)
    if holder is None:
        return Problem("DescriptorNotFound", f"{_FIELD}: there is no {named}")
    content = mapping(holder.get("binaryData" if source.kind == "ConfigMap" else "data"))
    key = source.key or (next(iter(content)) if len(content) == 1 else "")
    if key not in content:
        where = "binaryData" if source.kind == "ConfigMap" else "data"
        keys = ", ".join(sorted(content)) or "none"
        message = f"{_FIELD}: {named} has no {where}[{key}]" if key else f"{_FIELD}: name a key of {named}"
        return Problem("DescriptorNotFound", f"{message}; there are: {keys}")
    try:
        found = read_descriptors(base64.b64decode(text(content[key]), validate=True))
    except binascii.Error:
        found = "is not base64"
    if isinstance(found, str):
        return Problem("InvalidDescriptor", f"{_FIELD}: {named}: {key} {found}")
    return found


class _Offer(NamedTuple):
    """A method that an entry lets through, and its service."""

    service: str
    method: str
    bindings: tuple[Binding, ...]


def _entries(entries: Iterable[Entry], found: Descriptors, cors: Cors | None) -> Iterator[Entry]:
    """Yield an entry for each one that lets methods of the descriptors through; a method belongs to the first."""
    left = [
        _Offer(service.name, method.name, method.bindings) for service in found.services for method in service.methods
    ]
    for entry in sorted(entries, key=lambda one: one.rank):
        offered = [one for one in left if _lets_through(entry, one)]
        left = [one for one in left if one not in offered]
        if offered:
            yield Entry(_RANK, tuple(_lines(entry, offered, found, cors)), entry.clusters)


def _lets_through(entry: Entry, offer: _Offer) -> bool:
    path = entry.routes[-1].match.path
    return mismatch(Match(path), Request.grpc(0, "", f"{offer.service}/{offer.method}")) is None


def _lines(entry: Entry, offered: list[_Offer], found: Descriptors, cors: Cors | None) -> Iterator[Route]:
    """Yield one line for each HTTP method, and for gRPC's own paths with JSON; a browser's questions come first."""
    like = entry.routes[-1]
    services = tuple(dict.fromkeys(one.service for one in offered))
    web = Web(cors, translated=False, transcoding=Transcoding(found.encoded, services))
    paths: dict[str, list[str]] = defaultdict(list)
    for offer in offered:
        for binding in offer.bindings:
            paths[binding.verb].append(binding.path)
    own = PathMatch("regex", _any_of(f"/{one.service}/{one.method}".replace(".", r"\.") for one in offered))
    matches = {"rpc": Match(own, "POST", (_JSON,))}
    matches |= {verb.lower(): Match(PathMatch("regex", _any_of(some)), verb) for verb, some in paths.items()}
    for name, match in matches.items():
        made = Route(f"{like.name}/json/{name}", match, like.action, like.source, web)
        if cors is not None and isinstance(like.action, Forward):
            yield preflight(match, cors, made)
        yield made


def _any_of(expressions: Iterable[str]) -> str:
    return "|".join(f"(?:{one})" for one in dict.fromkeys(expressions))
