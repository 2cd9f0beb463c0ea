"""Parts of the IR (`ir`) that most proxies do without: what is done for browsers, and what is told beside the log."""

from roadstead.gateway.part import Part as _Part


class Cors(_Part, frozen=True):
    """Which scripts of other origins browsers let ask. `origins`: RE2 expressions of whole origins.

    `*` stands for every method or header. `max_age`: for how many seconds browsers may remember the answer.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed_headers: tuple[str, ...] = ()
    max_age: int = 5
    credentials: bool = False


class Transcoding(_Part, frozen=True):
    """A JSON request becomes a call of a method of these services, and is then routed again as that call.

    `descriptors`: an encoded FileDescriptorSet that has the services and everything that their files import.
    """

    descriptors: bytes
    services: tuple[str, ...]


class Web(_Part, frozen=True):
    """What a line does for browsers: who may ask; with `translated` gRPC-Web becomes gRPC and back, or JSON does."""

    cors: Cors | None = None
    translated: bool = True
    transcoding: Transcoding | None = None


class Tracing(_Part, frozen=True):
    """Make spans under the name of this service, and send them by OTLP over gRPC to a cluster.

    `parts_per_million`: of the requests that come without a decision of the client.
    """

    cluster: str
    service: str
    parts_per_million: int = 1_000_000


class Telemetry(_Part, frozen=True):
    """What a proxy tells of requests beside its access log.

    `route_metrics`: numbers by route, and Envoy's own by cluster and outcome. `request_ids`: every request gets one;
    with `tracing` it does in any case.
    """

    route_metrics: bool = False
    tracing: Tracing | None = None
    request_ids: bool = True
