"""What becomes of a request, as plain data: for programs as it is, for people after the command line has laid it out.

Every sentence about a route names the manifest's object and rule, never the names of Envoy's resources.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from roadstead.cluster.routing import Way
from roadstead.gateway.explain import Outcome
from roadstead.gateway.ir import (
    INGRESS_PROXY_KEY,
    SAFE_RETRY,
    Destination,
    DirectResponse,
    EndpointSet,
    Forward,
    HeaderEdits,
    Match,
    PathRewrite,
    Proxy,
    Redirect,
    Reflect,
    Retry,
    Route,
    Stream,
    ValueMatch,
)

_MILLION = 1_000_000
_REFLECTION = "the gateway itself answers, for all backends that calls to this host can reach"
# Envoy, source/common/grpc/status.cc: what a gRPC client sees of an HTTP status.
_GRPC_CODES = {
    400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED",
    429: "UNAVAILABLE", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "UNAVAILABLE",
}  # fmt: skip


def decision(way: Way) -> dict[str, Any]:
    """Return where the request comes in, what decides about it, what happens, and which candidates lost and why."""
    told, request = way.explanation, way.request
    made: dict[str, Any] = {
        "gateway": gateway_title(way.proxy),
        "request": {
            "method": request.method,
            "host": request.host,
            "port": request.port,
            "path": request.path,
            "tls": bool(request.server_name),
            "headers": dict(request.headers),
        },
    }
    if told.listener is not None:
        made["listener"] = _listener(way)
    if told.host is not None:
        made["domains"] = list(told.host.domains)
    if told.refusal:
        made["refusal"] = told.refusal
    if told.stream is not None and told.stream.destinations:
        made["stream"] = _stream(way.proxy, told.stream, ends_here=bool(told.chain and told.chain.tls))
    made["outcomes"] = [_outcome(way, outcome) for outcome in told.outcomes]
    made["lost"] = [{**_line(lost.route), "reason": lost.reason} for lost in told.lost if lost.route.source]
    return made


def gateway_title(proxy: Proxy) -> str:
    """Return what people call a proxy: `Gateway shop/public`, or all Ingresses."""
    if proxy.key == INGRESS_PROXY_KEY:
        return "Ingress (class nginx)"
    owner = proxy.workload.owner
    return f"Gateway {owner.namespace}/{owner.name}" if owner else f"Gateway {proxy.key.removeprefix('gateway/')}"


def _listener(way: Way) -> dict[str, Any]:
    listener, chain, host = way.explanation.listener, way.explanation.chain, way.explanation.host
    if listener is None:
        return {}
    streamed = chain is not None and chain.stream is not None  # which a port may do beside HTTPS
    made: dict[str, Any] = {"port": listener.port, "protocol": "TLS" if streamed else listener.protocol}
    names = [host.listener] if host is not None and host.listener else list(chain.listeners) if chain else []
    if names:
        made["names"] = names
    if chain is not None and (chain.tls is not None or streamed):
        made["server_names"] = list(chain.server_names) or ["*"]
    if chain is not None and chain.tls is not None:
        made["certificates"] = list(chain.tls.certificates)
    return made


def _stream(proxy: Proxy, stream: Stream, *, ends_here: bool) -> dict[str, Any]:
    """Return where a connection goes as a whole."""
    total = stream.refused + sum(one.weight for one in stream.destinations)
    made: dict[str, Any] = {
        "rule": str(stream.source or ""),
        "tls": "ends here" if ends_here else "is passed through",
        "backends": _backends(proxy, stream.destinations, total),
    }
    if stream.refused:
        made["refused"] = {"share": stream.refused / total, "why": stream.why}
    return made


def _line(route: Route) -> dict[str, Any]:
    return {"rule": str(route.source) if route.source else "", "match": matched(route.match)}


def matched(match: Match) -> str:
    """Return what a line asks of a request, in words."""
    kinds = {"exact": "path is {}", "prefix": "path begins with {}", "regex": "path is like {}"}
    anything = match.path.kind == "prefix" and match.path.value == "/"
    words = [] if anything else [kinds[match.path.kind].format(match.path.value)]
    if match.method:
        words.append(f"method is {match.method}")
    words += [_value("header", one) for one in match.headers]
    words += [_value("query parameter", one) for one in match.query]
    if match.grpc:
        words.append("is gRPC")
    if match.parts_per_million is not None:
        words.append(f"{_percent(match.parts_per_million / _MILLION)} of such requests")
    return ", ".join(words) or "every request"


def _value(what: str, one: ValueMatch) -> str:
    return f"{what} {one.name} is {'' if one.kind == 'exact' else 'like '}{one.value}"


def _outcome(way: Way, outcome: Outcome) -> dict[str, Any]:
    made = {**_line(outcome.route), "share": outcome.share}
    match outcome.action:
        case Forward() as forward:
            return made | {"filters": list(_filters(forward)), "backends": _forwarded(way.proxy, forward)}
        case Redirect() as redirect:
            return made | {"redirect": _redirect(redirect)}
        case DirectResponse() as answer:
            return made | {"answer": _answer(answer.status, answer.message, is_grpc=way.request.is_grpc)}
        case Reflect():
            return made | {"answer": {"status": 200, "grpc": "OK", "message": _REFLECTION}}


def _answer(status: int, message: str, *, is_grpc: bool) -> dict[str, Any]:
    code = {"grpc": _GRPC_CODES.get(status, "UNKNOWN")} if is_grpc else {}
    return {"status": status, **code, "message": message}


def _redirect(redirect: Redirect) -> dict[str, Any]:
    parts = {"scheme": redirect.scheme, "host": redirect.host, "port": redirect.port}
    changed = {**parts, "path": _rewritten(redirect.path)}
    return {"status": redirect.status, **{name: value for name, value in changed.items() if value}}


def _forwarded(proxy: Proxy, forward: Forward) -> list[dict[str, Any]]:
    return _backends(proxy, forward.destinations, sum(one.weight for one in forward.destinations))


def _backends(proxy: Proxy, destinations: Iterable[Destination], total: int) -> list[dict[str, Any]]:
    sets = {one.name: one for one in proxy.endpoints}
    return [_backend(proxy, sets, one, one.weight / total) for one in destinations]


def _backend(proxy: Proxy, sets: Mapping[str, EndpointSet], one: Destination, share: float) -> dict[str, Any]:
    cluster = next(each for each in proxy.clusters if each.name == one.cluster)
    made: dict[str, Any] = {
        "service": service_title(cluster.endpoints),
        "weight": one.weight,
        "share": share,
        "protocol": cluster.protocol + (" over TLS" if cluster.tls else ""),
    }
    filters = [*_edits("request", one.request_headers), *_edits("response", one.response_headers)]
    if filters:
        made["filters"] = filters
    endpoints = sets[cluster.endpoints].endpoints if cluster.endpoints in sets else ()
    made["endpoints"] = [{"address": f"{each.address}:{each.port}", "pod": each.pod} for each in endpoints]
    return made


def service_title(endpoints: str) -> str:
    """Return `namespace/service:port` for an endpoint set's name `namespace/service/port`."""
    name, _, port = endpoints.rpartition("/")
    return f"{name}:{port}"


def _filters(forward: Forward) -> Iterator[str]:
    yield from _edits("request", forward.request_headers)
    yield from _edits("response", forward.response_headers)
    if forward.host_rewrite:
        yield f"rewrites the host to {forward.host_rewrite}"
    if forward.path_rewrite:
        yield f"rewrites the path: {_rewritten(forward.path_rewrite)}"
    for mirror in forward.mirrors:
        backend = service_title(mirror.cluster.rpartition("/")[0])
        yield f"mirrors {_percent(mirror.parts_per_million / _MILLION)} to {backend}"
    for what, seconds in (("request", forward.timeouts.request), ("backend", forward.timeouts.backend_request)):
        if seconds:
            yield f"ends the {what} after {seconds:g} s"
    if forward.retry not in (None, SAFE_RETRY):
        yield _retried(forward.retry)
    if forward.session:
        yield f"keeps a session to one endpoint by the {forward.session.kind} {forward.session.name}"


def _retried(retry: Retry) -> str:
    causes = [*(word.replace("-", "_").upper() for word in retry.grpc_conditions), *map(str, retry.codes)]
    return f"tries again, at most {retry.attempts} times, after {', '.join(('a lost connection', *causes))}"


def _edits(what: str, edits: HeaderEdits | None) -> Iterator[str]:
    if edits is None:
        return
    for name, value in edits.set:
        yield f"sets {what} header {name}: {value}"
    for name, value in edits.add:
        yield f"adds {what} header {name}: {value}"
    for name in edits.remove:
        yield f"removes {what} header {name}"


def _rewritten(path: PathRewrite | None) -> str:
    if path is None:
        return ""
    return path.value if path.kind == "full" else f"the matched prefix becomes {path.value}"


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"
