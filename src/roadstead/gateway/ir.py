"""What a proxy shall do, said without protobuf: the one result of `translate` and the one input of `xds` and `infra`.

    Proxy ─┬─ Listener (one port) ── FilterChain (one set of SNI names) ──▶ RouteTable by name
           ├─ RouteTable ── VirtualHost (domains) ── Route: Match ▶ Forward | Redirect | DirectResponse
           ├─ Cluster (how to speak to a Service port) ──▶ EndpointSet by name
           ├─ EndpointSet (who serves it now; alone changes when pods come and go)
           └─ Certificate, TrustBundle (by name)

Everything is frozen, hashable and compared by value, so an unchanged part is `==` to what was sent before. All
collections are tuples in a settled order: equal input gives equal output. Names are stable across translations.
Next: `xds` (IR to Envoy's resources), `infra` (Proxy to the Deployment and Service that run it).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from roadstead.gateway.options import Cors as Cors
from roadstead.gateway.options import Telemetry as Telemetry
from roadstead.gateway.options import Tracing as Tracing
from roadstead.gateway.options import Transcoding as Transcoding
from roadstead.gateway.options import Web as Web
from roadstead.gateway.part import Part as _Part
from roadstead.gateway.upstreams import Cluster as Cluster
from roadstead.gateway.upstreams import Endpoint as Endpoint
from roadstead.gateway.upstreams import EndpointSet as EndpointSet
from roadstead.gateway.upstreams import UpstreamTls as UpstreamTls

INGRESS_PROXY_KEY = "ingress/nginx"
PRIVILEGED_PORTS = 1024
PRIVILEGED_PORT_OFFSET = 10000


def container_port(port: int) -> int:
    """Return the port that Envoy binds inside its pod for a listener's port: ordinary users cannot bind below 1024."""
    return port + PRIVILEGED_PORT_OFFSET if port < PRIVILEGED_PORTS else port


def gateway_proxy_key(namespace: str, name: str) -> str:
    """Return the key of a Gateway's proxy; Envoy sends it as `node.cluster`."""
    return f"gateway/{namespace}/{name}"


class PrivateKey:
    """A private key in PEM that shows itself neither in a repr nor in an encoded IR."""

    __slots__ = ("pem",)

    def __init__(self, pem: bytes) -> None:
        self.pem = pem

    def __repr__(self) -> str:
        return "PrivateKey(redacted)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and other.pem == self.pem

    def __hash__(self) -> int:
        return hash(self.pem)


# --- matching -----------------------------------------------------------------------------------------------------


class PathMatch(_Part, frozen=True):
    """`prefix` respects path elements (`/a` matches `/a` and `/a/b`, not `/ab`); `/` matches every path.

    `regex` (RE2) matches the whole path without the query. A gRPC service alone is the prefix `/pkg.Service/`, which
    ends in a slash and then matches literally.
    """

    kind: Literal["exact", "prefix", "regex"]
    value: str


class ValueMatch(_Part, frozen=True):
    """A condition on a header (name in lower case) or a query parameter; `regex` (RE2) matches the whole value."""

    name: str
    kind: Literal["exact", "regex"]
    value: str


class Match(_Part, frozen=True):
    """All that is set must hold.

    `grpc`: only requests whose content type is gRPC. `parts_per_million`: only this share of the requests, by chance;
    the others go on to the next route (None: all).
    """

    path: PathMatch
    method: str = ""
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    grpc: bool = False
    parts_per_million: int | None = None


# --- filters ------------------------------------------------------------------------------------------------------


class HeaderEdits(_Part, frozen=True):
    """`set` overwrites, `add` appends a value (`old,new`), `remove` takes names in lower case."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class PathRewrite(_Part, frozen=True):
    """Replace the `full` path, or the `prefix` that the route's prefix match has matched."""

    kind: Literal["full", "prefix"]
    value: str


class Mirror(_Part, frozen=True):
    """Copy this share of the requests to a cluster and ignore what it answers."""

    cluster: str
    parts_per_million: int = 1_000_000


# --- actions ------------------------------------------------------------------------------------------------------


class Destination(_Part, frozen=True):
    """One weighted choice of a Forward; its header edits apply only if it is chosen. Weights are positive."""

    cluster: str
    weight: int = 1
    request_headers: HeaderEdits | None = None
    response_headers: HeaderEdits | None = None


class Retry(_Part, frozen=True):
    """When a request may be sent again (Envoy's `retry_on` words), and how often beside the first time.

    `codes`: also after these HTTP statuses. `backoff`: seconds between two tries, 0: Envoy's default.
    """

    conditions: tuple[str, ...]
    attempts: int = 2
    grpc_conditions: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    backoff: float = 0


SAFE_RETRY = Retry(("connect-failure", "refused-stream", "reset-before-request"))
"""Only what cannot have been processed: for every method, idempotent or not."""


class Timeouts(_Part, frozen=True):
    """Seconds; 0 means none, the default, because a stream may live for days. The client's `grpc-timeout` is honoured.

    `maximum_grpc`: a cap on the client's `grpc-timeout` (0: no cap). `idle`: without a byte in either direction.
    """

    request: float = 0
    backend_request: float = 0
    idle: float = 0
    maximum_grpc: float = 0


class SessionPersistence(_Part, frozen=True):
    """Keep a client on one endpoint, by a cookie or a header of this name; `lifetime` in seconds, 0: the session's."""

    kind: Literal["cookie", "header"]
    name: str
    lifetime: float = 0
    path: str = "/"


class Forward(_Part, frozen=True, tag="forward"):
    """Send the request to one of the destinations, chosen by weight. There is at least one."""

    destinations: tuple[Destination, ...]
    request_headers: HeaderEdits | None = None
    response_headers: HeaderEdits | None = None
    host_rewrite: str = ""
    path_rewrite: PathRewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    timeouts: Timeouts = Timeouts()
    retry: Retry | None = SAFE_RETRY
    session: SessionPersistence | None = None
    cors: Cors | None = None


class Redirect(_Part, frozen=True, tag="redirect"):
    """Answer with a redirect; what is empty or None stays as in the request."""

    status: int = 302
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: PathRewrite | None = None
    response_headers: HeaderEdits | None = None


class DirectResponse(_Part, frozen=True, tag="direct"):
    """Answer without a backend. To a gRPC client Envoy turns `status` into a gRPC code and `message` into its message:

    404 is UNIMPLEMENTED, 503 UNAVAILABLE, 500 and 421 UNKNOWN (Envoy, source/common/grpc/status.cc).
    """

    status: int
    message: str = ""


class Reflect(_Part, frozen=True, tag="reflect"):
    """Let the control plane answer a tool's reflection for all backends of a virtual host (`reflection`)."""

    host: str


Action: TypeAlias = Forward | Redirect | DirectResponse | Reflect


class RouteSource(_Part, frozen=True):
    """Which line of which manifest made a route: for names, logs, NACKs and `explain`. `rule`, `match`: indices."""

    kind: str
    namespace: str
    name: str
    rule: int = 0
    match: int = 0
    rule_name: str = ""

    def __str__(self) -> str:
        named = f" ({self.rule_name})" if self.rule_name else ""
        return f"{self.kind} {self.namespace}/{self.name} rule {self.rule}{named}"


class Route(_Part, frozen=True):
    """One line of a virtual host's table. `name` is unique in its virtual host and stable.

    `source` is None for the answers that the gateway itself gives when nothing matches. `web`: it is for browsers.
    """

    name: str
    match: Match
    action: Action
    source: RouteSource | None = None
    web: Web | None = None


class Former(_Part, frozen=True):
    """A line of an earlier version of a rule, which stands in for the rule if Envoy refuses it.

    `at`: before which of the host's routes, by index, it would be tried. Its `source` is the rule as it is now. Of
    several versions the higher is the later one. `taken`: Envoys are known to have taken it.
    """

    at: int
    version: int
    taken: bool
    route: Route


class VirtualHost(_Part, frozen=True):
    """The routes for requests whose host matches one of `domains` (`foo.com`, `*.foo.com`, `*`), first match first.

    Domains carry no port; the proxy matches them with and without one. An exact domain beats the longest wildcard,
    which beats `*`. A wildcard stands for one or more labels. `listener`: the Gateway listener's name. `reserve`: what
    stands in for rules that Envoy refuses, in the order of `at`.
    """

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    listener: str = ""
    reserve: tuple[Former, ...] = ()


class RouteTable(_Part, frozen=True):
    """The virtual hosts behind one or more filter chains (an RDS resource). Domains are unique within it."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]


# --- listening ----------------------------------------------------------------------------------------------------


class ClientValidation(_Part, frozen=True):
    """Ask clients for a certificate signed by the TrustBundle; with `optional` a wrong or missing one is let in too."""

    trust: str
    optional: bool = False


HTTP_ALPN = ("h2", "http/1.1")


class ServerTls(_Part, frozen=True):
    """How a chain ends TLS. `certificates` are names of Certificates, `alpn` the protocols offered, the best first.

    `cipher_suites`: the only ones for TLS 1.2, in OpenSSL's names (empty: Envoy's defaults). Those of 1.3 are fixed.
    """

    certificates: tuple[str, ...]
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    client_validation: ClientValidation | None = None
    alpn: tuple[str, ...] = HTTP_ALPN
    cipher_suites: tuple[str, ...] = ()


class Stream(_Part, frozen=True):
    """What happens to a connection as a whole: its bytes go to one destination, chosen by weight.

    `refused`: the weight of connections that are closed at once, and `why` they are; without destinations all are.
    `source`: the TLSRoute or TCPRoute that says so, None if no route does.
    """

    destinations: tuple[Destination, ...] = ()
    refused: int = 0
    why: str = ""
    source: RouteSource | None = None


class FilterChain(_Part, frozen=True):
    """What happens to connections whose SNI is one of `server_names` (`foo.com`, `*.foo.com`; empty: any other).

    Either `route_table` names the table that serves its HTTP requests, or `stream` says where its bytes go. `tls` is
    None for plaintext and where TLS is passed through. `listeners`: names of the Gateway listeners.
    """

    name: str
    server_names: tuple[str, ...] = ()
    tls: ServerTls | None = None
    route_table: str = ""
    stream: Stream | None = None
    listeners: tuple[str, ...] = ()


class Listener(_Part, frozen=True):
    """One port of the proxy. `port` is what clients dial, `bind_port` what Envoy binds in its pod.

    For `HTTP` there is exactly one chain (HTTP/1.1 and h2c with prior knowledge); for `HTTPS` and `TLS` one or more,
    told apart by SNI. `TLS`: no chain serves HTTP, all are streams; of an `HTTPS` port some may be. `TCP` has one
    chain, a stream.
    """

    name: str
    port: int
    bind_port: int
    protocol: Literal["HTTP", "HTTPS", "TLS", "TCP"]
    chains: tuple[FilterChain, ...]


# --- certificates -------------------------------------------------------------------------------------------------


class Certificate(_Part, frozen=True):
    """A chain and its key (an SDS resource); `name` is `namespace/secret`, so that a renewed one keeps its name."""

    name: str
    chain: bytes
    key: PrivateKey


class TrustBundle(_Part, frozen=True):
    """Authorities (an SDS validation context), PEM."""

    name: str
    authorities: bytes


# --- the whole ----------------------------------------------------------------------------------------------------


class Owner(_Part, frozen=True):
    """The object for which a proxy runs and which owns its Deployment and Service."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


class Parameters(_Part, frozen=True):
    """How a proxy's Envoys are run, as far as that is stated; what is None or empty is as for every proxy.

    `drain_seconds`: how long calls may go on when an Envoy's pod ends. `resources`: those of its container, in JSON.
    `scheduling`: fields of the pod, each in JSON or a plain word.
    """

    replicas: int | None = None
    concurrency: int | None = None
    drain_seconds: int | None = None
    access_log: bool | None = None
    log_level: str = ""
    image: str = ""
    resources: str = ""
    scheduling: tuple[tuple[str, str], ...] = ()


class Workload(_Part, frozen=True):
    """The Deployment, Service and ServiceAccount that run a proxy: one name in one namespace, and what they carry.

    `parameters` is None where they cannot be understood: then the Deployment stays as it is.
    """

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    addresses: tuple[str, ...] = ()
    owner: Owner | None = None
    parameters: Parameters | None = Parameters()


class Proxy(_Part, frozen=True):
    """Everything that one group of Envoys serves: of one Gateway, or of all Ingresses (key `INGRESS_PROXY_KEY`).

    Without listeners there is nothing to run: it has no workload objects.
    """

    key: str
    workload: Workload
    listeners: tuple[Listener, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    endpoints: tuple[EndpointSet, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    trust_bundles: tuple[TrustBundle, ...] = ()
    telemetry: Telemetry = Telemetry()


Proxies: TypeAlias = Mapping[str, Proxy]
"""By key. A proxy that is not in it any more shall stop serving."""


# --- what comes back ----------------------------------------------------------------------------------------------


class Rejection(_Part, frozen=True):
    """A resource that Envoy refused (NACK), and its words; `source`: the one rule that is not served because of it.

    `kept`: the earlier version of the rule (see `Former`) that is served instead, if one is.
    """

    resource: str
    message: str
    source: RouteSource | None = None
    kept: int | None = None


class ProxyState(_Part, frozen=True):
    """What the xDS server knows of a proxy's Envoys; statuses depend on it.

    `connected`: open ADS streams. `settled`: all of them have acknowledged or refused everything of the newest IR
    (True when none is connected). `rejections`: what is refused at the moment.
    """

    connected: int = 0
    settled: bool = True
    rejections: tuple[Rejection, ...] = ()


class ProxyServer(Protocol):
    """What the controller asks of the xDS server."""

    def update(self, proxies: Proxies) -> None:
        """Serve these proxies from now on; what did not change is not sent again. Called in the event loop."""

    def state(self, key: str) -> ProxyState:
        """Return what is known of this proxy's Envoys; the default state for a key it has not heard of."""

    def reflection_sockets(self, key: str) -> Sequence[str]:
        """Return the sockets through which this proxy's Envoys let the reflection of backends be asked."""

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call back with a proxy's key, in the event loop, whenever its state may have changed."""
