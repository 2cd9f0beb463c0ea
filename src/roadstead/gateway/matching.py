"""Does a request match a line of the IR, and if not, why: the rules of Envoy, said over the IR instead of protobuf.

`explain` asks this; tests ask a real Envoy the same questions. Next: `explain`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from roadstead.gateway.ir import FilterChain, Match, PathMatch, ValueMatch, VirtualHost
from roadstead.lib.patterns import compile_pattern

_ANY = "*"
_GRPC_CONTENT = "application/grpc"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrives: `path` with its query, header names in lower case; `server_name` is the TLS SNI."""

    port: int
    host: str
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    server_name: str = ""

    @classmethod
    def grpc(
        cls, port: int, host: str, full_method: str, headers: Mapping[str, str] | None = None, server_name: str = ""
    ) -> "Request":
        """Return the request that a gRPC client makes for `package.Service/Method`."""
        sent = {"content-type": _GRPC_CONTENT} | {name.lower(): value for name, value in (headers or {}).items()}
        return cls(port, host, "/" + full_method.lstrip("/"), "POST", sent, server_name)

    @property
    def is_grpc(self) -> bool:
        """Say whether the content type is gRPC's (`application/grpc` or `application/grpc+proto`, not gRPC-Web)."""
        content = self.headers.get("content-type", "")
        return content == _GRPC_CONTENT or content.startswith((f"{_GRPC_CONTENT}+", f"{_GRPC_CONTENT};"))


def mismatch(match: Match, request: Request) -> str | None:
    """Return why a request does not match, or None if it does; chance (`parts_per_million`) is left aside."""
    path, _, query = request.path.partition("?")
    if match.grpc and not request.is_grpc:
        return "it is not a gRPC request"
    if match.method and request.method != match.method:
        return f"its method is {request.method}, not {match.method}"
    if not _path_matches(match.path, path):
        return f"its path {path} is not {_described(match.path)}"
    return _value_mismatch("header", match.headers, request.headers) or _value_mismatch(
        "query parameter", match.query, dict(reversed(parse_qsl(query, keep_blank_values=True)))
    )


def _path_matches(wanted: PathMatch, path: str) -> bool:
    if wanted.kind == "exact":
        return path == wanted.value
    if wanted.kind == "regex":
        return compile_pattern(wanted.value).covers(path)
    if wanted.value.endswith("/"):
        return path.startswith(wanted.value)
    return path == wanted.value or path.startswith(f"{wanted.value}/")


def _described(wanted: PathMatch) -> str:
    return {"exact": wanted.value, "prefix": f"{wanted.value}…", "regex": f"like {wanted.value}"}[wanted.kind]


def _value_mismatch(what: str, wanted: Iterable[ValueMatch], found: Mapping[str, str]) -> str | None:
    for one in wanted:
        value = found.get(one.name)
        if value is None:
            return f"it has no {what} {one.name}"
        matches = value == one.value if one.kind == "exact" else compile_pattern(one.value).covers(value)
        if not matches:
            return f"its {what} {one.name} is {value!r}, not {'' if one.kind == 'exact' else 'like '}{one.value!r}"
    return None


def chosen_chain(chains: Iterable[FilterChain], server_name: str) -> FilterChain | None:
    """Return the chain that Envoy takes for an SNI: exact, then the longest wildcard, then the one for any."""
    by_name = {name: chain for chain in chains for name in chain.server_names or (_ANY,)}
    return next((by_name[name] for name in _patterns(server_name) if name in by_name), None)


def chosen_host(hosts: Iterable[VirtualHost], host: str) -> VirtualHost | None:
    """Return the virtual host that Envoy takes for a Host header, with or without a port."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    by_domain = {domain: one for one in hosts for domain in one.domains}
    return next((by_domain[domain] for domain in _patterns(name) if domain in by_domain), None)


def _patterns(name: str) -> Iterable[str]:
    """Yield what could stand for a name, the most specific first."""
    rest = name.lower()
    yield rest
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    yield _ANY
