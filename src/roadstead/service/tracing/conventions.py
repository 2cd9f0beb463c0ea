"""What a span says of an RPC: OpenTelemetry's semantic conventions for gRPC, as of version 1.44. Pure.

The names are written out here, since the package that has them marks those for RPCs as not stable. The schema's address
goes with every span, so that a collector can translate what later versions rename.
"""

from functools import lru_cache
from urllib.parse import unquote

import grpc

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
STATUS_CODE = "rpc.response.status_code"
ERROR_TYPE = "error.type"
Attributes = dict[str, str | int]
_Code = grpc.StatusCode
# Statuses that are the server's failure; the others are its answer to a caller's.
_SERVER_FAILURES = frozenset(
    (_Code.UNKNOWN, _Code.DEADLINE_EXCEEDED, _Code.UNIMPLEMENTED, _Code.INTERNAL, _Code.UNAVAILABLE, _Code.DATA_LOSS)
)
_LONGEST_NAME = 200
_IP = ("ipv4", "ipv6")


@lru_cache(maxsize=4096)
def method_attributes(method: str) -> Attributes:
    """Return what is known of a call before it starts; `method` is `package.Service/Method`."""
    return {"rpc.system.name": "grpc", "rpc.method": method}


def unknown_method_attributes(method: str) -> Attributes:
    """Return the same for a method that a server does not have: anybody may think of any number of names."""
    return {**method_attributes("_OTHER"), "rpc.method_original": method[:_LONGEST_NAME]}


def is_server_failure(code: grpc.StatusCode) -> bool:
    """Tell whether a server's span with this status has failed."""
    return code in _SERVER_FAILURES


def peer_attributes(peer: str) -> Attributes:
    """Return who is at the other end of a connection, from grpc's name of it: `ipv4:127.0.0.1:5000`."""
    kind, _, rest = unquote(peer.partition(",")[0]).partition(":")
    if kind in _IP:
        host, _, port = rest.rpartition(":")
        return {"network.peer.address": host.strip("[]"), **_port("network.peer.port", port)} if host else {}
    return {"network.peer.address": rest} if kind == "unix" and rest else {}


def target_attributes(target: str) -> Attributes:
    """Return which server a channel was opened to, as its target says it; not which of its addresses was taken."""
    kind, rest = _target_kind(target)
    if kind == "unix":
        return {"server.address": rest}
    host, colon, port = rest.rpartition(":")
    if kind == "other" or "," in rest:
        return {"server.address": target}
    if not colon or not port.isdecimal():
        return {"server.address": rest.strip("[]")}
    return {"server.address": host.strip("[]"), **_port("server.port", port)}


def _target_kind(target: str) -> tuple[str, str]:
    scheme, colon, rest = target.partition(":")
    if scheme == "unix" and colon:
        return "unix", rest.removeprefix("//")
    if scheme == "dns" and colon:
        # dns:///name:port, dns://resolver/name:port, dns:name:port
        return "name", rest[2:].partition("/")[2] if rest.startswith("//") else rest
    if scheme in _IP and colon:
        return "name", rest.removeprefix("///")
    return ("other", target) if "://" in target else ("name", target)


def _port(name: str, text: str) -> Attributes:
    return {name: int(text)} if text.isdecimal() else {}
