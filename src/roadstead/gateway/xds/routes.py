"""RDS: tables of virtual hosts and routes, in exactly the order of the IR: Envoy takes the first that matches.

What the gateway answers by itself becomes a direct response: to a gRPC client Envoy sends it as trailers only, with
the body as `grpc-message`. Next: `clusters`, where a route leads.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import percent_pb2

from roadstead.gateway import ir
from roadstead.gateway.reflection.wiring import HOST_HEADER, REFLECTION_CLUSTER
from roadstead.gateway.xds.cors import CORS_FILTER, cors_policy
from roadstead.gateway.xds.messages import PARTS, flag, header_option, packed, seconds, uint32
from roadstead.gateway.xds.persistence import SESSION_FILTER, persistent
from roadstead.gateway.xds.scopes import fit_scopes
from roadstead.gateway.xds.tables import is_of_many
from roadstead.gateway.xds.transcoding import TRANSCODING_FILTER, transcoder
from roadstead.gateway.xds.web import WEB_FILTER, switched_on

_VIRTUAL_HOSTS = route_pb2.RouteConfiguration.DESCRIPTOR.fields_by_name["virtual_hosts"].number
_LENGTH_DELIMITED = 2
_LARGEST_BODY = 4096
REFLECTION_IDLE = 300.0
_BACKOFF_GROWTH = 10
_PREVIOUS_HOSTS = packed(previous_hosts_pb2.PreviousHostsPredicate())
_REDIRECTS = {
    status: getattr(route_components_pb2.RedirectAction, name)
    for status, name in (
        (301, "MOVED_PERMANENTLY"),
        (302, "FOUND"),
        (303, "SEE_OTHER"),
        (307, "TEMPORARY_REDIRECT"),
        (308, "PERMANENT_REDIRECT"),
    )
}


def route_configuration(table: ir.RouteTable) -> bytes:
    """Return the encoded RouteConfiguration of a table, or of a piece of it.

    It is put together from virtual hosts that are encoded once each: a field of a repeated message is its tag, its
    length and its bytes, so a change to one host leaves the work for the others undone.
    """
    head = route_pb2.RouteConfiguration(name=table.name, ignore_port_in_host_matching=True)
    if is_of_many(table.name):
        fit_scopes(head)
    parts = [head.SerializeToString(deterministic=True)]
    tag = _varint(_VIRTUAL_HOSTS << 3 | _LENGTH_DELIMITED)
    for host in table.virtual_hosts:
        body = _encoded_host(host)
        parts += [tag, _varint(len(body)), body]
    return b"".join(parts)


@lru_cache(maxsize=1_024)
def _encoded_host(host: ir.VirtualHost) -> bytes:
    encoded: bytes = virtual_host(host).SerializeToString(deterministic=True)
    return encoded


def virtual_host(host: ir.VirtualHost) -> Any:
    """Return the VirtualHost message with all its routes."""
    return route_components_pb2.VirtualHost(
        name=host.name, domains=host.domains, routes=[_route(each) for each in host.routes]
    )


def _varint(number: int) -> bytes:
    """Return a number in protobuf's variable-length encoding."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _route(source: ir.Route) -> Any:
    made = route_components_pb2.Route(name=source.name, match=_match(source.match))
    match source.action:
        case ir.Forward() as forward:
            _forward(made, forward)
        case ir.Redirect() as redirect:
            _redirect(made, redirect)
        case ir.DirectResponse() as answer:
            _direct(made, answer)
        case ir.Reflect() as reflect:
            made.route.cluster = REFLECTION_CLUSTER
            made.route.timeout.CopyFrom(seconds(0))
            made.route.idle_timeout.CopyFrom(seconds(REFLECTION_IDLE))
            made.request_headers_to_add.append(header_option(HOST_HEADER, reflect.host, append=False))
    if source.web is not None:
        _web(made, source.web)
    return made


def _web(made: Any, web: ir.Web) -> None:
    if web.translated:
        made.typed_per_filter_config[WEB_FILTER].CopyFrom(packed(switched_on()))
    if web.transcoding is not None:
        made.typed_per_filter_config[TRANSCODING_FILTER].CopyFrom(packed(transcoder(web.transcoding)))
    if web.cors is not None:
        made.typed_per_filter_config[CORS_FILTER].CopyFrom(packed(cors_policy(web.cors)))


# Matching


def _match(source: ir.Match) -> Any:
    made = route_components_pb2.RouteMatch(
        headers=[_header(each) for each in source.headers],
        query_parameters=[_query(each) for each in source.query],
    )
    _path(made, source.path)
    if source.method:
        made.headers.append(_header(ir.ValueMatch(":method", "exact", source.method)))
    if source.grpc:
        made.grpc.SetInParent()
    if source.parts_per_million is not None:
        made.runtime_fraction.CopyFrom(_share(source.parts_per_million))
    return made


def _path(made: Any, path: ir.PathMatch) -> None:
    """Set the path condition; a prefix without a closing slash means whole path elements."""
    if path.kind == "exact":
        made.path = path.value
    elif path.kind == "regex":
        made.safe_regex.CopyFrom(_regex(path.value))
    elif path.value.endswith("/") or not path.value:
        made.prefix = path.value or "/"
    else:
        made.path_separated_prefix = path.value


def _regex(pattern: str) -> Any:
    return regex_pb2.RegexMatcher(regex=pattern)


def _text(condition: ir.ValueMatch) -> Any:
    if condition.kind == "regex":
        return string_pb2.StringMatcher(safe_regex=_regex(condition.value))
    return string_pb2.StringMatcher(exact=condition.value)


def _header(condition: ir.ValueMatch) -> Any:
    return route_components_pb2.HeaderMatcher(name=condition.name, string_match=_text(condition))


def _query(condition: ir.ValueMatch) -> Any:
    return route_components_pb2.QueryParameterMatcher(name=condition.name, string_match=_text(condition))


def _share(parts_per_million: int) -> Any:
    share = percent_pb2.FractionalPercent(
        numerator=min(max(parts_per_million, 0), PARTS), denominator=percent_pb2.FractionalPercent.MILLION
    )
    return base_pb2.RuntimeFractionalPercent(default_value=share)


# Actions


def _forward(made: Any, forward: ir.Forward) -> None:
    action = made.route
    _destinations(action, forward.destinations)
    _host(action, forward)
    _timeouts(action, forward)
    if forward.retry is not None:
        action.retry_policy.CopyFrom(_retry(forward.retry, forward.timeouts.backend_request))
    if forward.path_rewrite is not None:
        _rewrite(action, forward.path_rewrite, made.match)
    action.request_mirror_policies.extend(_mirror(each) for each in forward.mirrors)
    if forward.session is not None:
        made.typed_per_filter_config[SESSION_FILTER].CopyFrom(packed(persistent(forward.session)))
    if forward.cors is not None:
        made.typed_per_filter_config[CORS_FILTER].CopyFrom(packed(cors_policy(forward.cors)))
    _edit_headers(made, forward.request_headers, forward.response_headers)


def _destinations(action: Any, destinations: tuple[ir.Destination, ...]) -> None:
    """Name the cluster, or several with their weights; header edits of a destination need the longer form."""
    only = destinations[0] if len(destinations) == 1 else None
    if only is not None and only.request_headers is None and only.response_headers is None:
        action.cluster = only.cluster
        return
    for each in destinations:
        weighted = action.weighted_clusters.clusters.add(name=each.cluster, weight=uint32(each.weight))
        _edit_headers(weighted, each.request_headers, each.response_headers)


def _host(action: Any, forward: ir.Forward) -> None:
    """Rewrite the host if a filter says so; setting the header `host` is the same wish in other words."""
    edits = forward.request_headers.set if forward.request_headers is not None else ()
    wishes = [forward.host_rewrite, *(value for name, value in edits if name.lower() == "host")]
    host = next((wish for wish in wishes if wish), "")
    if host:
        action.host_rewrite_literal = host


def _timeouts(action: Any, forward: ir.Forward) -> None:
    """Set no time limit but the stated ones and the client's own `grpc-timeout`, which ends in DEADLINE_EXCEEDED.

    Where a `max_stream_duration` is stated, Envoy looks at that instead of `timeout`.
    """
    timeouts = forward.timeouts
    # With retries `backend_request` limits each try, not all of them together.
    limit = timeouts.request or (timeouts.backend_request if forward.retry is None else 0)
    action.timeout.CopyFrom(seconds(limit))
    if timeouts.idle > 0:  # The listener sets none, so only a limit needs to be said.
        action.idle_timeout.CopyFrom(seconds(timeouts.idle))
    action.max_stream_duration.max_stream_duration.CopyFrom(seconds(limit))
    action.max_stream_duration.grpc_timeout_header_max.CopyFrom(seconds(timeouts.maximum_grpc))


def _retry(retry: ir.Retry, per_try: float) -> Any:
    """Retry on another endpoint than the one that failed, as far as there is one."""
    by_code = ("retriable-status-codes",) if retry.codes else ()
    made = route_components_pb2.RetryPolicy(
        retry_on=",".join((*retry.conditions, *retry.grpc_conditions, *by_code)),
        retriable_status_codes=retry.codes,
        num_retries=uint32(retry.attempts),
        host_selection_retry_max_attempts=3,
    )
    made.retry_host_predicate.add(name="envoy.retry_host_predicates.previous_hosts").typed_config.CopyFrom(
        _PREVIOUS_HOSTS
    )
    if per_try > 0:
        made.per_try_timeout.CopyFrom(seconds(per_try))
    if retry.backoff > 0:
        made.retry_back_off.base_interval.CopyFrom(seconds(retry.backoff))
        made.retry_back_off.max_interval.CopyFrom(seconds(retry.backoff * _BACKOFF_GROWTH))
    return made


def _rewrite(action: Any, rewrite: ir.PathRewrite, match: Any) -> None:
    """Replace the whole path or the matched prefix of it; the query stays."""
    if rewrite.kind == "full":
        action.regex_rewrite.CopyFrom(_substitution(r"^/.*$", rewrite.value))
    else:
        _replace_prefix(action, rewrite.value, match)


def _replace_prefix(action: Any, value: str, match: Any) -> None:
    """Fit a new prefix to the old one: `/old/x` with the prefix `/` becomes `/x`, never `//x` or `x`."""
    kind = match.WhichOneof("path_specifier")
    new = value.rstrip("/")
    if kind == "path_separated_prefix" and not new:
        action.regex_rewrite.CopyFrom(_substitution("^" + re.escape(match.path_separated_prefix) + "/*", "/"))
    elif kind == "path_separated_prefix":
        action.prefix_rewrite = new
    elif kind in {"prefix", "path"}:
        action.prefix_rewrite = f"{new}/" if match.prefix else new or "/"


def _substitution(pattern: str, replacement: str) -> Any:
    return regex_pb2.RegexMatchAndSubstitute(pattern=_regex(pattern), substitution=replacement.replace("\\", "\\\\"))


def _mirror(mirror: ir.Mirror) -> Any:
    """Copy a share of the requests, with the host name as it is (Envoy would add `-shadow`)."""
    return route_components_pb2.RouteAction.RequestMirrorPolicy(
        cluster=mirror.cluster,
        runtime_fraction=_share(mirror.parts_per_million),
        disable_shadow_host_suffix_append=True,
        trace_sampled=flag(False),
    )


def _redirect(made: Any, redirect: ir.Redirect) -> None:
    action = made.redirect
    action.response_code = _REDIRECTS.get(redirect.status, route_components_pb2.RedirectAction.FOUND)
    action.host_redirect = redirect.host
    if redirect.scheme:
        action.scheme_redirect = redirect.scheme
    if redirect.port is not None:
        action.port_redirect = min(max(redirect.port, 0), 65535)
    if redirect.path is not None and redirect.path.kind == "full":
        action.path_redirect = redirect.path.value
    elif redirect.path is not None:
        _replace_prefix(action, redirect.path.value, made.match)
    _edit_headers(made, None, redirect.response_headers)


def _direct(made: Any, answer: ir.DirectResponse) -> None:
    """Answer by the proxy itself; Envoy refuses bodies above 4 KiB."""
    made.direct_response.status = min(max(answer.status, 200), 599)
    if answer.message:
        body = answer.message.encode()[:_LARGEST_BODY].decode(errors="ignore")
        made.direct_response.body.inline_string = body


# Headers


def _edit_headers(made: Any, request: ir.HeaderEdits | None, response: ir.HeaderEdits | None) -> None:
    """Put header edits on a route or a weighted cluster; both have the same four fields."""
    if request is not None:
        made.request_headers_to_add.extend(_additions(request))
        made.request_headers_to_remove.extend(_unlocked(request.remove, str))
    if response is not None:
        made.response_headers_to_add.extend(_additions(response))
        made.response_headers_to_remove.extend(_unlocked(response.remove, str))


def _additions(edits: ir.HeaderEdits) -> list[Any]:
    made = [header_option(name, value, append=False) for name, value in _unlocked(edits.set, _first)]
    return made + [header_option(name, value, append=True) for name, value in _unlocked(edits.add, _first)]


def _first(edit: tuple[str, str]) -> str:
    return edit[0]


def _unlocked(edits: Iterable[Any], name_of: Callable[[Any], str]) -> list[Any]:
    """Leave out headers that Envoy lets nobody edit: pseudo-headers and the host (see `_host`)."""
    return [each for each in edits if not name_of(each).startswith(":") and name_of(each).lower() != "host"]
