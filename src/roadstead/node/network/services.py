"""Services become a `ServiceTable`: which virtual address and port leads to which endpoints. Pure; next: `service_rules`."""

from collections.abc import Iterable

import msgspec

from roadstead.api.objects import ReadOnlyObject


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """One place that answers for a Service."""

    address: str
    port: int


class ServicePort(msgspec.Struct, frozen=True, order=True):
    """One port of a Service's virtual address; without endpoints, connections are refused.

    `name` is for people: `default/web:http`.
    """

    address: str
    protocol: str
    port: int
    name: str
    endpoints: tuple[Endpoint, ...] = ()


class ServiceTable(msgspec.Struct, frozen=True):
    """All ports of all virtual addresses, sorted."""

    ports: tuple[ServicePort, ...] = ()


def services_from(services: Iterable[ReadOnlyObject], endpoint_slices: Iterable[ReadOnlyObject]) -> ServiceTable:
    """Return the table of all Services with a ClusterIP.

    Ready endpoints serve; if none is ready, those that still serve while they terminate do (KEP-1669).
    """
    raise NotImplementedError
