"""Where a request to `pods/NAME/proxy` or `services/NAME/proxy` goes, and what of it is passed on. Pure.

After kubernetes' ResourceLocation of both kinds and apimachinery's pkg/util/proxy. Next: `proxy` carries it there.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from roadstead.api.errors import BadRequest, ServiceUnavailable
from roadstead.api.objects import ReadOnlyObject

Header = tuple[bytes, bytes]

_OF_THE_CONNECTION = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip
_OF_THE_SERVER = frozenset({b"authorization", b"content-length", b"expect"})
_SERVER_PREFIXES = (b"impersonate-", b"x-forwarded-")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Named(NamedTuple):
    """What the name in the path says: `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`."""

    scheme: str
    name: str
    port: str


class Target(NamedTuple):
    """A port of a pod."""

    pod: str
    port: int


def named(text: str, kind: str) -> Named:
    """Read the name in the path. Raises BadRequest."""
    parts = text.split(":")
    scheme, name, port = {1: ("", text, ""), 2: ("", *parts), 3: tuple(parts)}.get(len(parts), ("", "", ""))
    if not name or scheme not in ("", *_DEFAULT_PORTS):
        raise BadRequest(f'invalid {kind} request "{text}"')
    return Named(scheme or "http", name, port)


def pod_target(pod: ReadOnlyObject, asked: Named) -> Target:
    """Return the port of a pod that is asked for, else the first that it declares. Raises BadRequest."""
    ports = [port for each in (pod.get("spec") or {}).get("containers") or () for port in each.get("ports") or ()]
    if not asked.port:
        return Target(asked.name, int(ports[0]["containerPort"]) if ports else _DEFAULT_PORTS[asked.scheme])
    if not asked.port.isdecimal() or not 0 < int(asked.port) < 65536:
        raise BadRequest(f'invalid pod request "{asked.name}:{asked.port}": the port must be a number')
    return Target(asked.name, int(asked.port))


def service_targets(service: ReadOnlyObject | None, slices: Iterable[ReadOnlyObject], asked: Named) -> list[Target]:
    """Return the ports of the ready pods behind a Service's port. Raises ServiceUnavailable if there are none.

    The port is named by its number or its name; without one, it is the one that has no name.
    """
    port = asked.port
    if port.isdecimal():
        declared = ((service or {}).get("spec") or {}).get("ports") or ()
        names = [entry.get("name") or "" for entry in declared if entry.get("port") == int(port)]
        if not names:
            raise ServiceUnavailable(f'no service port {port} found for service "{asked.name}"')
        port = names[0]
    targets = [
        Target(reference["name"], int(entry["port"]))
        for each in slices
        for entry in each.get("ports") or ()
        if (entry.get("name") or "") == port and entry.get("port")
        for reference in _ready_pods(each)
    ]
    if not targets:
        raise ServiceUnavailable(f'no endpoints available for service "{asked.name}"')
    return targets


def _ready_pods(slice_: ReadOnlyObject) -> Iterable[ReadOnlyObject]:
    for endpoint in slice_.get("endpoints") or ():
        reference = endpoint.get("targetRef") or {}
        if reference.get("kind") == "Pod" and (endpoint.get("conditions") or {}).get("ready") is not False:
            yield reference


def _kept(headers: Iterable[Header], dropped: frozenset[bytes]) -> list[Header]:
    found = [(name.lower(), value) for name, value in headers]
    listed = {part.strip().lower() for name, value in found if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in found if name not in dropped and name not in listed]


def request_head(method: str, target: bytes, uri: bytes, headers: Sequence[Header], client: str, size: int) -> bytes:
    """Return the head of the request that the pod gets: what concerns the two connections and who calls is left out."""
    kept = _kept(headers, _OF_THE_CONNECTION | _OF_THE_SERVER)
    kept = [(name, value) for name, value in kept if not name.startswith(_SERVER_PREFIXES)]
    host = next((value for name, value in kept if name == b"host"), b"")
    kept += [
        (b"x-forwarded-for", client.encode()),
        (b"x-forwarded-host", host),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-uri", uri),
        (b"connection", b"close"),
    ]
    if size or method in ("POST", "PUT", "PATCH"):
        kept.append((b"content-length", str(size).encode()))
    lines = [method.encode() + b" " + target + b" HTTP/1.1", *(name + b": " + value for name, value in kept), b"", b""]
    return b"\r\n".join(lines)


def answer_headers(headers: Iterable[Header], prefix: bytes) -> list[Header]:
    """Return the headers of the answer that the client gets; a redirect within the pod leads through the proxy."""
    return [
        (name, _through_proxy(value, prefix) if name == b"location" else value)
        for name, value in _kept(headers, _OF_THE_CONNECTION)
    ]


def _through_proxy(location: bytes, prefix: bytes) -> bytes:
    url = urlsplit(location)
    return prefix + location if not url.scheme and not url.netloc and location.startswith(b"/") else location
