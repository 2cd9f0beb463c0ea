"""Annotations of our own (`roadstead.dev/NAME`): what Gateway API has no field for. This table is all there are.

An annotation is read or it is named in a condition with the remedy; none is ignored in silence, because a mistyped time
limit is a missing one. What is wrong with one annotation leaves the others, and the route, in effect. docs/gateway.md
describes each; a test compares the two.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from roadstead.api.objects import Object, annotations_of
from roadstead.gateway.translate.cors import origin_expression
from roadstead.gateway.translate.descriptors import DescriptorSource
from roadstead.gateway.translate.durations import seconds
from roadstead.gateway.translate.fields import text_map
from roadstead.gateway.translate.headers import is_header_name
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.retries import GRPC_CODES, MOST_ATTEMPTS, read_attempts, read_codes

PREFIX = "roadstead.dev/"
ENVIRONMENT = f"{PREFIX}environment"
"""Read by `roadstead check`: `production` marks what faces customers."""

_MILLION = 1_000_000
_SERVICE_PORT = re.compile(r"(?:([a-z0-9-]+)/)?([a-z0-9-]+):(\d{1,5})")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)%")
_WORDS = {"true": True, "false": False}


def _duration(value: str) -> float | None:
    return seconds(value.strip())


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool | None:
    return _WORDS.get(value.strip().lower())


def _word_of(*words: str) -> Callable[[str], str | None]:
    return lambda value: value.strip() if value.strip() in words else None


def _service_port(value: str) -> tuple[str, str, int] | None:
    found = _SERVICE_PORT.fullmatch(value.strip())
    return (found[1] or "", found[2], int(found[3])) if found else None


def _parts_per_million(value: str) -> int | None:
    found = _SHARE.fullmatch(value.strip())
    parts = round(float(found[1]) * 10_000) if found else -1
    return parts if 0 <= parts <= _MILLION else None


def _origins(value: str) -> tuple[str, ...] | None:
    expressions = [origin_expression(one) for one in _listed(value)]
    found = tuple(one for one in expressions if one is not None)
    return found if found and len(found) == len(expressions) else None


def _header_names(value: str) -> tuple[str, ...] | None:
    names = tuple(name.lower() for name in _listed(value))
    return names if names and all(map(is_header_name, names)) else None


def _listed(value: str) -> list[str]:
    return [one.strip() for one in value.split(",")]


class Annotation(NamedTuple):
    """One of our annotations: `read` returns its value, None if that is not what is `expected`."""

    name: str
    kinds: tuple[str, ...]
    read: Callable[[str], Any]
    expected: str


_GRPC = ("GRPCRoute",)
_ROUTES = ("GRPCRoute", "HTTPRoute")
_WITHOUT = ("TLSRoute", "TCPRoute")

ANNOTATIONS = (
    Annotation("environment", ("Gateway", *_ROUTES), _text, "the name of an environment, for instance production"),
    Annotation("route-overlap", ("Gateway",), _word_of("allow", "strict"), "allow or strict"),
    Annotation("route-metrics", ("Gateway",), _flag, "true or false"),
    Annotation("request-ids", ("Gateway",), _flag, "true or false"),
    Annotation("tracing", ("Gateway",), _service_port, "a Service and its port: NAME:PORT or NAMESPACE/NAME:PORT"),
    Annotation("tracing-sampling", ("Gateway",), _parts_per_million, "a share like 100%, 5% or 0.1%"),
    Annotation("reflection", ("Gateway", *_GRPC), _word_of("merged"), "merged"),
    Annotation("timeout", _GRPC, _duration, "a duration like 30s or 1h30m; 0s means no limit"),
    Annotation("maximum-timeout", _GRPC, _duration, "a duration like 30s or 1h30m; 0s means no limit"),
    Annotation("idle-timeout", _ROUTES, _duration, "a duration like 30s or 1h30m; 0s means no limit"),
    Annotation("retry-on", _GRPC, read_codes, f"a list of {', '.join(GRPC_CODES)}"),
    Annotation("retry-attempts", _GRPC, read_attempts, f"a number from 1 to {MOST_ATTEMPTS}"),
    Annotation("retry-backoff", _GRPC, _duration, "a duration like 100ms or 1s"),
    Annotation("grpc-web", _GRPC, _flag, "true or false"),
    Annotation(
        "json-transcoding",
        _GRPC,
        DescriptorSource.of,
        "reflection, ConfigMap/NAME, Secret/NAME or one of these with /KEY behind it",
    ),
    Annotation(
        "cors-allow-origins", _GRPC, _origins, "a list of origins like https://app.example.com, https://*.a.com"
    ),
    Annotation("cors-allow-headers", _GRPC, _header_names, "a list of names of headers"),
    Annotation("cors-expose-headers", _GRPC, _header_names, "a list of names of headers"),
    Annotation("cors-allow-credentials", _GRPC, _flag, "true or false"),
    Annotation("cors-max-age", _GRPC, _duration, "a duration like 30s or 1h30m"),
)
"""Every annotation, in the order of docs/gateway.md."""

_BY_KIND: Mapping[str, Mapping[str, Annotation]] = {
    kind: {one.name: one for one in ANNOTATIONS if kind in one.kinds} for kind in ("Gateway", *_ROUTES, *_WITHOUT)
}


class Annotated(NamedTuple):
    """What the annotations of an object say: values by name without the prefix, and what is wrong with others."""

    values: Mapping[str, Any] = {}
    problem: Problem | None = None


_NOTHING = Annotated()


def read_annotations(obj: Object) -> Annotated:
    """Return what our annotations of a Gateway or route say."""
    ours = {name: value for name, value in text_map(annotations_of(obj)).items() if name.startswith(PREFIX)}
    if not ours:
        return _NOTHING
    known = _BY_KIND[str(obj["kind"])]
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for full_name, value in sorted(ours.items()):
        name = full_name.removeprefix(PREFIX)
        found = known[name].read(value) if name in known else None
        if found is None:
            problems.append(Problem("InvalidAnnotation", _message(obj, name, value, known)))
        else:
            values[name] = found
    return Annotated(values, joined(problems))


def _message(obj: Object, name: str, value: str, known: Mapping[str, Annotation]) -> str:
    field = f"metadata.annotations[{PREFIX}{name}]"
    if name in known:
        return f"{field}: {value!r} is not {known[name].expected}"
    close = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(PREFIX + one for one in known) or "none"
    remedy = f"did you mean {PREFIX}{close[0]}?" if close else f"there are {listed}"
    return f"{field}: {obj['kind']}s have no such annotation of Roadstead; {remedy}"
