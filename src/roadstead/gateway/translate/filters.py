"""Filters of a rule or a backend, the same for GRPCRoute and HTTPRoute: header edits, mirrors, redirects, rewrites.

A filter that cannot be resolved is never skipped: its requests get an error (grpcroute_types.go, GRPCRouteFilter).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from roadstead.gateway.ir import Cluster, Cors, HeaderEdits, Mirror, PathRewrite, Redirect
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backends import read_reference, resolve
from roadstead.gateway.translate.cors import read_cors
from roadstead.gateway.translate.fields import integer, mapping, mappings, text, texts
from roadstead.gateway.translate.headers import is_header_name, is_header_value
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.references import Referrer

_MILLION = 1_000_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HTTP_ONLY = ("RequestRedirect", "URLRewrite", "CORS")
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one rule or backend, read.

    `unsupported`: a value that we do not know; the rule cannot be served. `unresolved`: references in them that lead
    nowhere; `broken`: one of these is a filter that must not be skipped, requests get an error.
    """

    request_headers: HeaderEdits | None = None
    response_headers: HeaderEdits | None = None
    redirect: Redirect | None = None
    host_rewrite: str = ""
    path_rewrite: PathRewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    clusters: tuple[Cluster, ...] = ()
    unsupported: Problem | None = None
    unresolved: tuple[Problem, ...] = ()
    broken: Problem | None = None


@dataclass(frozen=True, slots=True)
class _Context:
    """What reading a filter needs beside the filter."""

    field: str
    referrer: Referrer
    resources: Resources


def read_filters(entries: Sequence[Mapping[str, Any]], path: str, referrer: Referrer, resources: Resources) -> Filters:
    """Read the `filters` of a rule or backend found at `path` in the manifest."""
    filters = Filters()
    for index, entry in enumerate(entries):
        filters = _with(filters, entry, _Context(f"{path}[{index}]", referrer, resources))
    return filters


def _with(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    kind = text(entry.get("type"))
    reader = _READERS.get(kind)
    if reader is None or (context.referrer.kind == "GRPCRoute" and kind in _HTTP_ONLY):
        message = (
            f"{context.field}.type: {kind or 'nothing'} is not a filter that Roadstead has for {context.referrer.kind}"
        )
        return replace(filters, unsupported=filters.unsupported or Problem("UnsupportedValue", message))
    return reader(filters, entry, context)


def _request_headers(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    edits = _header_edits(entry, "requestHeaderModifier", filters.request_headers, context)
    return _unsupported(filters, edits) if isinstance(edits, Problem) else replace(filters, request_headers=edits)


def _response_headers(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    edits = _header_edits(entry, "responseHeaderModifier", filters.response_headers, context)
    return _unsupported(filters, edits) if isinstance(edits, Problem) else replace(filters, response_headers=edits)


def _unsupported(filters: Filters, problem: Problem) -> Filters:
    return replace(filters, unsupported=filters.unsupported or problem)


def _header_edits(
    entry: Mapping[str, Any], name: str, before: HeaderEdits | None, context: _Context
) -> HeaderEdits | Problem:
    """Read a header modifier; of names that are equal but for their case the first one counts."""
    path = f"{context.field}.{name}"
    if before is not None:
        return Problem("IncompatibleFilters", f"{path}: may stand only once in a rule")
    modifier = mapping(entry.get(name))
    edits = HeaderEdits(
        set=_headers(modifier.get("set")),
        add=_headers(modifier.get("add")),
        remove=tuple(dict.fromkeys(header.lower() for header in texts(modifier.get("remove")))),
    )
    for header, value in (*edits.set, *edits.add, *((removed, "") for removed in edits.remove)):
        if not is_header_name(header) or header == "host":
            return Problem("UnsupportedValue", f"{path}: {header!r} is not a header that a filter can edit")
        if not is_header_value(value):
            return Problem("UnsupportedValue", f"{path}: the value of {header} holds control characters")
    return edits


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    first: dict[str, str] = {}
    for entry in mappings(value):
        first.setdefault(text(entry.get("name")).lower(), text(entry.get("value")))
    return tuple(first.items())


def _mirror(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    mirror = mapping(entry.get("requestMirror"))
    path = f"{context.field}.requestMirror.backendRef"
    found = resolve(read_reference(mapping(mirror.get("backendRef")), path, context.referrer), context.resources)
    if isinstance(found, Problem):
        return replace(filters, unresolved=(*filters.unresolved, found))
    mirrors = (*filters.mirrors, Mirror(found.name, _share(mirror)))
    return replace(filters, mirrors=mirrors, clusters=(*filters.clusters, found))


def _share(mirror: Mapping[str, Any]) -> int:
    """Return the share of requests to mirror, per million; neither percent nor fraction means all."""
    fraction = mapping(mirror.get("fraction"))
    if fraction:
        parts = _MILLION * integer(fraction.get("numerator")) // (integer(fraction.get("denominator")) or 100)
    else:
        parts = _MILLION * integer(mirror.get("percent"), 100) // 100
    return min(max(parts, 0), _MILLION)


def _redirect(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    wanted = mapping(entry.get("requestRedirect"))
    status = integer(wanted.get("statusCode"), 302)
    if status not in _REDIRECTS:
        problem = Problem("UnsupportedValue", f"{context.field}.requestRedirect.statusCode: {status} is no redirect")
        return _unsupported(filters, problem)
    scheme, host, path = text(wanted.get("scheme")), text(wanted.get("hostname")), _path(mapping(wanted.get("path")))
    if scheme not in ("", "http", "https") or not _is_plain(host, path):
        return _unsupported(filters, Problem("UnsupportedValue", f"{context.field}.requestRedirect cannot be served"))
    redirect = Redirect(
        status=status,
        scheme=scheme,
        host=host,
        port=integer(wanted.get("port")) or _DEFAULT_PORTS.get(scheme),
        path=path,
    )
    return replace(filters, redirect=redirect)


def _rewrite(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    wanted = mapping(entry.get("urlRewrite"))
    host, path = text(wanted.get("hostname")), _path(mapping(wanted.get("path")))
    if not _is_plain(host, path):
        return _unsupported(filters, Problem("UnsupportedValue", f"{context.field}.urlRewrite cannot be served"))
    return replace(filters, host_rewrite=host, path_rewrite=path)


def _cors(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    cors = read_cors(mapping(entry.get("cors")), f"{context.field}.cors")
    return _unsupported(filters, cors) if isinstance(cors, Problem) else replace(filters, cors=cors)


def _is_plain(host: str, path: PathRewrite | None) -> bool:
    """Say whether a host and a path can stand in a request: no control characters, no query, no fragment."""
    value = path.value if path else ""
    return is_header_value(host) and is_header_value(value) and not any(mark in value for mark in "?#")


def _path(modifier: Mapping[str, Any]) -> PathRewrite | None:
    kind = modifier.get("type")
    if kind == "ReplaceFullPath":
        return PathRewrite("full", text(modifier.get("replaceFullPath"), "/"))
    if kind == "ReplacePrefixMatch":
        return PathRewrite("prefix", text(modifier.get("replacePrefixMatch"), "/"))
    return None


def _extension(filters: Filters, entry: Mapping[str, Any], context: _Context) -> Filters:
    reference = mapping(entry.get("extensionRef"))
    named = f"{text(reference.get('kind'))}.{text(reference.get('group'))} {text(reference.get('name'))}"
    problem = Problem("InvalidKind", f"{context.field}.extensionRef: {named} is not a filter that Roadstead has")
    return replace(filters, broken=filters.broken or problem, unresolved=(*filters.unresolved, problem))


_READERS: dict[str, Callable[[Filters, Mapping[str, Any], _Context], Filters]] = {
    "RequestHeaderModifier": _request_headers,
    "ResponseHeaderModifier": _response_headers,
    "RequestMirror": _mirror,
    "RequestRedirect": _redirect,
    "URLRewrite": _rewrite,
    "CORS": _cors,
    "ExtensionRef": _extension,
}
