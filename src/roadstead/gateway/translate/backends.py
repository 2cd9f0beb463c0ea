"""Backend references: from a route's `backendRef` to a Service port, how to speak to it, and who serves it.

A Service port may be spoken to in several ways (h2 for a GRPCRoute, HTTP/1.1 for an HTTPRoute): each is a cluster of
its own, and all share one set of endpoints.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Literal

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.gateway.ir import Cluster, Endpoint, EndpointSet
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backendtls import policy_for
from roadstead.gateway.translate.fields import integer, mapping, mappings, spec_of, text, texts
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.references import Referrer, Target, is_permitted, not_permitted_message

POLICY_NOT_KEPT = "PolicyNotKept"
"""Reason of a backend that cannot be spoken to because of its policy: told by the policy, not by the route."""

Protocol = Literal["h2", "http1", "tcp"]
_H2 = ("kubernetes.io/h2c", "h2c", "grpc")
_LARGEST_PORT = 65535
_LARGEST_WEIGHT = 1_000_000
_CACHED = 16384
_HTTP1 = ("http", "kubernetes.io/ws", "ws")
_EXTERNAL_NAME = (
    "{field}: {target} is of type ExternalName, which is not forwarded to: it could lead anywhere, past every "
    "ReferenceGrant (CVE-2021-25740). Use a Service without a selector, and an EndpointSlice with the addresses"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A `backendRef` as read from a route; `field` is its path in the manifest, `referrer` who carries it."""

    field: str
    referrer: Referrer
    target: Target
    port: int

    def __str__(self) -> str:
        return f"{self.target}:{self.port}"


def read_reference(entry: Mapping[str, Any], field: str, referrer: Referrer) -> Reference:
    """Read a backend reference."""
    target = Target(
        text(entry.get("group")),
        text(entry.get("kind"), "Service"),
        text(entry.get("namespace")) or referrer.namespace,
        text(entry.get("name")),
    )
    return Reference(field, referrer, target, integer(entry.get("port")))


def weight_of(entry: Mapping[str, Any]) -> int:
    """Return the weight of a backend reference: 1 unless it says otherwise, within the bounds of the API."""
    return min(max(integer(entry.get("weight"), 1), 0), _LARGEST_WEIGHT)


def referenced_services(route: Object) -> set[ObjectKey]:
    """Return the Services that the rules of a route name as backends."""
    return {
        ObjectKey(text(entry.get("namespace")) or key_of(route).namespace, text(entry.get("name")))
        for rule in mappings(spec_of(route).get("rules"))
        for entry in mappings(rule.get("backendRefs"))
    }


def resolve(reference: Reference, resources: Resources) -> Cluster | Problem:
    """Return the cluster that a reference means, or why it means none."""
    target = reference.target
    if (target.group, target.kind) != ("", "Service"):
        kind = f"{target.kind}.{target.group}" if target.group else target.kind
        return Problem("InvalidKind", f"{reference.field}: {kind} is not a kind of backend; use Service")
    if not is_permitted(resources, reference.referrer, target):
        return Problem("RefNotPermitted", not_permitted_message(reference.field, reference.referrer, target))
    service = resources.services.get(ObjectKey(target.namespace, target.name))
    if service is None:
        return Problem("BackendNotFound", f"{reference.field}: {target} does not exist")
    if spec_of(service).get("type") == "ExternalName":
        return Problem("InvalidKind", _EXTERNAL_NAME.format(field=reference.field, target=target))
    return _port_cluster(reference, service, resources)


def _port_cluster(reference: Reference, service: Object, resources: Resources) -> Cluster | Problem:
    ports = _tcp_ports(service)
    port = next((entry for entry in ports if entry.get("port") == reference.port), None)
    if port is None:
        offered = ", ".join(str(entry.get("port")) for entry in ports) or "no ports for TCP"
        asked = f"no port {reference.port}" if reference.port else "to be named with a port"
        return Problem("BackendNotFound", f"{reference.field}: {reference.target} has {asked}; it has {offered}")
    policy = policy_for(key_of(service), text(port.get("name")), resources.backend_tls)
    protocol = _protocol(reference, text(port.get("appProtocol")), encrypted=policy is not None)
    if isinstance(protocol, Problem):
        return protocol
    name = endpoints_name(reference.target.namespace, reference.target.name, reference.port)
    if policy is None:
        return Cluster(f"{name}/{protocol}", name, protocol)
    if policy.unaccepted:
        message = f"{reference.field}: BackendTLSPolicy {key_of(policy.obj)}: {policy.unaccepted.message}"
        return Problem(POLICY_NOT_KEPT, message)
    return Cluster(f"{name}/{protocol}-tls", name, protocol, policy.tls)


def _tcp_ports(service: Object) -> list[Mapping[str, Any]]:
    """Return the ports that connections can be made to; a number may be there a second time, for UDP."""
    ports = mappings(spec_of(service).get("ports"))
    return [entry for entry in ports if text(entry.get("protocol"), "TCP") == "TCP"]


def _protocol(reference: Reference, app_protocol: str, *, encrypted: bool) -> Protocol | Problem:
    """Return what is spoken to a Service port; `encrypted`: a BackendTLSPolicy says how TLS begins there."""
    if reference.referrer.kind in ("TLSRoute", "TCPRoute"):
        return "tcp"
    is_grpc = reference.referrer.kind in ("GRPCRoute", "Gateway")  # A Gateway names a collector of traces (OTLP).
    if app_protocol.lower() == "https" and encrypted:
        return "h2" if is_grpc else "http1"
    if app_protocol in _H2 or (is_grpc and not app_protocol):
        return "h2"
    if not is_grpc and app_protocol in ("", *_HTTP1):
        return "http1"
    usable = "kubernetes.io/h2c" if is_grpc else "kubernetes.io/h2c, kubernetes.io/ws or http"
    return Problem(
        "UnsupportedProtocol",
        f"{reference.field}: appProtocol {app_protocol} of {reference} cannot be used by a {reference.referrer.kind}; "
        f"use {usable}, or none",
    )


def endpoints_name(namespace: str, service: str, port: int) -> str:
    """Return the name of the endpoint set of a Service port."""
    return f"{namespace}/{service}/{port}"


def endpoints_service(name: str) -> ObjectKey:
    """Return the Service that an endpoint set is of."""
    namespace, service, _ = name.split("/")
    return ObjectKey(namespace, service)


def endpoint_set(name: str, resources: Resources) -> EndpointSet:
    """Return who serves a Service port now: the ready ones; failing these, those that end but still serve."""
    key = endpoints_service(name)
    port_name = _port_name(resources.services.get(key), int(name.rpartition("/")[2]))
    slices = resources.endpoint_slices.get(key, ())
    ready = set(_endpoints(slices, port_name, ("ready",)))
    chosen = ready or set(_endpoints(slices, port_name, ("serving", "terminating")))
    return EndpointSet(name, tuple(sorted(chosen, key=lambda one: (one.address, one.port))))


def _port_name(service: Object | None, number: int) -> str:
    ports = _tcp_ports(service or {})
    return next((text(entry.get("name")) for entry in ports if entry.get("port") == number), "")


def _endpoints(slices: Iterable[Object], port_name: str, wanted: tuple[str, ...]) -> Iterable[Endpoint]:
    for found in slices:
        ports = mappings(found.get("ports"))
        number = next((integer(one.get("port")) for one in ports if text(one.get("name")) == port_name), 0)
        if not 0 < number <= _LARGEST_PORT or found.get("addressType") not in ("IPv4", "IPv6"):
            continue
        for entry in mappings(found.get("endpoints")):
            if _is(entry, wanted):
                pod = text(mapping(entry.get("targetRef")).get("name"))
                addresses = texts(entry.get("addresses"))[:1]
                yield from (Endpoint(address, number, pod) for address in addresses if _is_address(address))


@lru_cache(maxsize=_CACHED)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # an IPv6 zone means something on one machine only


def _is(endpoint: Mapping[str, Any], wanted: tuple[str, ...]) -> bool:
    """Say whether all these conditions hold; an unstated one means ready (discovery/v1, EndpointConditions)."""
    conditions = mapping(endpoint.get("conditions"))
    stated = {"ready": True, "serving": conditions.get("ready", True), "terminating": False}
    return all({**stated, **{k: v for k, v in conditions.items() if v is not None}}[name] is True for name in wanted)
