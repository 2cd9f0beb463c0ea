"""The part of the IR (`ir`) behind the proxy: how it speaks to a Service port, and who serves that now."""

from typing import Literal

from roadstead.gateway.part import Part as _Part


class UpstreamTls(_Part, frozen=True):
    """How a cluster begins TLS. Without `verify` any certificate is taken (nginx's GRPCS).

    `sni` is also what the certificate must be valid for unless `subject_names` says otherwise. `trust` names a
    TrustBundle, empty: the system's authorities. `client_certificate` names a Certificate.
    """

    sni: str = ""
    verify: bool = True
    trust: str = ""
    subject_names: tuple[str, ...] = ()
    client_certificate: str = ""


class Cluster(_Part, frozen=True):
    """A Service port and how to speak to it. Requests, not connections, are balanced over its endpoints.

    `name` is unique and stable, for instance `user-platform/foo-svc/50051/h2`; `endpoints` names an EndpointSet, which
    clusters of different protocols share. `max_requests`: circuit breaker, 0: none.
    """

    name: str
    endpoints: str
    protocol: Literal["h2", "http1", "tcp"]
    tls: UpstreamTls | None = None
    max_requests: int = 0


class Endpoint(_Part, frozen=True):
    """An address that serves a Service port, and the pod behind it if there is one."""

    address: str
    port: int
    pod: str = ""


class EndpointSet(_Part, frozen=True):
    """Who serves a Service port now (an EDS resource), for instance `user-platform/foo-svc/50051`; sorted."""

    name: str
    endpoints: tuple[Endpoint, ...]
