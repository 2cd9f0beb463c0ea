"""Objects for tests of the gateway, as an API server would have them, and how to translate a handful of them."""

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from roadstead.api.conditions import find_condition
from roadstead.api.objects import Object, ObjectKey, key_of, labels_of
from roadstead.gateway import ir
from roadstead.gateway.gather import READ_KINDS, SERVICE_LABEL
from roadstead.gateway.resources import CONTROLLER_NAME, Resources
from roadstead.gateway.translate import Translation, translate
from roadstead.lib.pki import CertificateAuthority, KeyPair

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMESPACE = "user-platform"
GATEWAY = ObjectKey(NAMESPACE, "example-gateway")
PROXY = ir.gateway_proxy_key(*GATEWAY)
_FIELDS = {kind.kind: name for name, kind in READ_KINDS.items()}


def objects(text: str) -> list[Object]:
    """Return the objects of a manifest, each with what an API server adds."""
    return [stored(obj) for obj in yaml.load_all(text, yaml.CSafeLoader) if obj]


def stored(obj: Object, *, generation: int = 1) -> Object:
    metadata = {"uid": f"uid-{obj['kind']}-{obj['metadata']['name']}", "generation": generation, "resourceVersion": "7"}
    return {**obj, "metadata": metadata | {"creationTimestamp": "2026-11-22T11:00:00Z"} | obj["metadata"]}


def field_of(obj: Object) -> str:
    """Return the field of `Resources` in which objects of this kind are."""
    return _FIELDS[obj["kind"]]


def resources(found: Iterable[Object], **more: Any) -> Resources:
    """Return what the gateway would gather of these objects."""
    fields: dict[str, dict[ObjectKey, Any]] = {name: {} for name in READ_KINDS}
    for obj in found:
        name = _FIELDS[obj["kind"]]
        if name == "endpoint_slices":
            key = ObjectKey(key_of(obj).namespace, labels_of(obj)[SERVICE_LABEL])
            fields[name][key] = (*fields[name].get(key, ()), obj)
        else:
            fields[name][key_of(obj)] = obj
    return Resources(**{"now": NOW, **fields, **more})


def translated(*found: Object, **more: Any) -> Translation:
    return translate(resources(found, **more))


def served_here(port: int, backends: Mapping[str, int], *found: Object) -> ir.Proxy:
    """Return the Gateway's proxy as translated, but on one port of this machine.

    `backends`: Services that lead to ports of this machine; port 0: it has no endpoint.
    """
    services = [service(name) for name in backends]
    slices = [endpoint_slice(name, "127.0.0.1", port=number) for name, number in backends.items() if number]
    proxy = translated(gateway_class(), *services, *slices, *found).proxies[PROXY]
    listeners = tuple(msgspec.structs.replace(one, port=port, bind_port=port) for one in proxy.listeners)
    return msgspec.structs.replace(proxy, listeners=listeners)


def gateway_class() -> Object:
    spec = {"controllerName": CONTROLLER_NAME}
    return stored({"apiVersion": _GATEWAY, "kind": "GatewayClass", "metadata": {"name": "roadstead"}, "spec": spec})


_GATEWAY = "gateway.networking.k8s.io/v1"


def namespaced(
    api_version: str, kind: str, name: str, spec: Any, *, namespace: str = NAMESPACE, **metadata: Any
) -> Object:
    about = {"name": name, "namespace": namespace, **metadata}
    return stored({"apiVersion": api_version, "kind": kind, "metadata": about, "spec": spec})


def http_listener(name: str = "http", hostname: str = "", port: int = 80, **more: Any) -> Object:
    return {"name": name, "port": port, "protocol": "HTTP"} | ({"hostname": hostname} if hostname else {}) | more


def https_listener(name: str = "https", hostname: str = "", secret: str = "example-gateway", **more: Any) -> Object:
    listener = {"name": name, "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": secret}]}}
    return listener | ({"hostname": hostname} if hostname else {}) | more


def tls_listener(name: str = "tls", hostname: str = "", *, secret: str = "", **more: Any) -> Object:
    """Return a listener for TLS on port 443: passed through, or ended here with this Secret."""
    tls = {"mode": "Terminate", "certificateRefs": [{"name": secret}]} if secret else {"mode": "Passthrough"}
    listener = {"name": name, "port": 443, "protocol": "TLS", "tls": tls}
    return listener | ({"hostname": hostname} if hostname else {}) | more


def gateway(*listeners: Object, **more: Any) -> Object:
    spec = {"gatewayClassName": "roadstead", "listeners": list(listeners) or [http_listener()]}
    return namespaced(_GATEWAY, "Gateway", GATEWAY.name, spec | more)


def parent(**more: Any) -> Object:
    return {"name": GATEWAY.name, **more}


def grpc_route(name: str, *rules: Object, hostnames: Iterable[str] = (), **more: Any) -> Object:
    return _route("GRPCRoute", name, rules, hostnames, **more)


def http_route(name: str, *rules: Object, hostnames: Iterable[str] = (), **more: Any) -> Object:
    return _route("HTTPRoute", name, rules, hostnames, **more)


def tls_route(
    name: str,
    *backends: Object,
    hostnames: Iterable[str] = ("foo.example.com",),
    rule: Mapping[str, Any] | None = None,
    **more: Any,
) -> Object:
    """Return a TLSRoute with one rule; `rule`: what that says beside its backends."""
    return _route("TLSRoute", name, [{"backendRefs": list(backends), **(rule or {})}], hostnames, **more)


def tcp_listener(name: str = "tcp", port: int = 5432, **more: Any) -> Object:
    return {"name": name, "port": port, "protocol": "TCP"} | more


def tcp_route(name: str, *backends: Object, **more: Any) -> Object:
    made = _route("TCPRoute", name, [{"backendRefs": list(backends)}], (), **more)
    del made["spec"]["hostnames"]
    return made


def _route(
    kind: str,
    name: str,
    rules: Iterable[Object],
    hostnames: Iterable[str],
    parents: Iterable[Object] = (),
    namespace: str = NAMESPACE,
    **metadata: Any,
) -> Object:
    spec = {"parentRefs": list(parents) or [parent()], "hostnames": list(hostnames), "rules": list(rules)}
    return namespaced(_GATEWAY, kind, name, spec, namespace=namespace, **metadata)


def rule(*backends: Object, matches: Iterable[Object] = (), filters: Iterable[Object] = (), **more: Any) -> Object:
    made: Object = {"backendRefs": list(backends), **more}
    return made | ({"matches": list(matches)} if matches else {}) | ({"filters": list(filters)} if filters else {})


def method(service: str = "", name: str = "", **more: Any) -> Object:
    return {"method": {key: value for key, value in (("service", service), ("method", name)) if value} | more}


def backend(name: str, port: int = 50051, **more: Any) -> Object:
    return {"name": name, "port": port, **more}


def service(name: str, port: int = 50051, *, namespace: str = NAMESPACE, **more: Any) -> Object:
    spec = {"type": "ClusterIP", "ports": [{"name": "grpc", "port": port, "protocol": "TCP", **more}]}
    return namespaced("v1", "Service", name, spec, namespace=namespace)


def endpoint_slice(
    name: str, *addresses: str, port: int = 50051, namespace: str = NAMESPACE, **conditions: Any
) -> Object:
    """Return the EndpointSlice of a Service whose pods have these addresses."""
    ready = {"ready": True, "serving": True, "terminating": False} | conditions
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-abcde", "namespace": namespace, "labels": {SERVICE_LABEL: name}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "conditions": ready, "targetRef": {"kind": "Pod", "name": f"{name}-{number}"}}
            for number, address in enumerate(addresses)
        ],
    }


def grant(namespace: str, sources: Iterable[tuple[str, str, str]], targets: Iterable[tuple[str, ...]]) -> Object:
    """Return a ReferenceGrant from `(group, kind, namespace)` to `(group, kind)` or `(group, kind, name)`."""
    spec = {
        "from": [dict(zip(("group", "kind", "namespace"), entry, strict=True)) for entry in sources],
        "to": [dict(zip(("group", "kind", "name"), entry, strict=False)) for entry in targets],
    }
    return namespaced(_GATEWAY, "ReferenceGrant", "grant", spec, namespace=namespace)


@lru_cache
def key_pair(*hosts: str, age_days: int = 0, authority: str = "tests") -> KeyPair:
    """Return a certificate that was issued `age_days` ago, by an authority of this name."""
    made = NOW - timedelta(days=age_days)
    return CertificateAuthority.create(authority, made).issue(hosts[0], made, hosts=hosts)


def secret(name: str, pair: KeyPair, *, namespace: str = NAMESPACE, type_: str = "kubernetes.io/tls") -> Object:
    content = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return stored(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": type_,
            "data": {field: base64.b64encode(value).decode() for field, value in content.items()},
        }
    )


def status_of(translation: Translation, kind: str, name: str) -> Mapping[str, Any]:
    """Return the status that a translation wants for an object."""
    return next(update.status for update in translation.statuses if (update.kind, update.key.name) == (kind, name))


def verdict(conditions: Iterable[Object], type_: str) -> tuple[str, str]:
    """Return a condition's status and reason."""
    found = find_condition(list(conditions), type_)
    assert found is not None, f"no condition {type_}"
    return found["status"], found["reason"]


def message(conditions: Iterable[Object], type_: str) -> str:
    """Return a condition's message."""
    found = find_condition(list(conditions), type_)
    assert found is not None, f"no condition {type_}"
    text: str = found["message"]
    return text


def virtual_host(translation: Translation, domain: str, table: str = f"{PROXY}/80") -> ir.VirtualHost:
    """Return a virtual host of the Gateway's proxy."""
    found = next(one for one in translation.proxies[PROXY].route_tables if one.name == table)
    return next(host for host in found.virtual_hosts if domain in host.domains)


def order(host: ir.VirtualHost) -> list[str]:
    """Return what the lines of a virtual host are tried for: `route/rule/match`, first to last, our own left out."""
    return [
        f"{route.source.name}/{route.source.rule}/{route.source.match}"
        for route in host.routes
        if route.source is not None
    ]


# --- streams ------------------------------------------------------------------------------------------------------


def stream_translation(*found: Object) -> Translation:
    """Translate these objects beside a GatewayClass and the Services foo and bar."""
    return translated(gateway_class(), service("foo"), service("bar"), *found)


def stream_chains(*found: Object) -> dict[tuple[str, ...], ir.FilterChain]:
    """Return the chains of the only port by their server names."""
    (listener,) = stream_translation(*found).proxies[PROXY].listeners
    return {chain.server_names: chain for chain in listener.chains}


def stream_for(*found: Object, name: str = "foo.example.com") -> ir.Stream:
    """Return where the connections go that ask for a name."""
    made = stream_chains(*found)[(name,)].stream
    assert made is not None
    return made


def stream_weights(made: ir.Stream) -> dict[str, int]:
    """Return how the connections are divided over Services."""
    return {one.cluster.split("/")[1]: one.weight for one in made.destinations}
