"""Ingress: hosts, paths and certificates of all Ingresses of our classes, served by one proxy as ingress-nginx would.

Semantics: ingress-nginx 1.15, internal/ingress/controller (controller.go, createServers; template.go, buildLocation).
Plain HTTP and HTTPS serve the same hosts; a host with a certificate redirects HTTP to HTTPS unless told otherwise.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from roadstead.api.objects import Object, ObjectKey, annotations_of, is_deleting, metadata_of
from roadstead.gateway.ir import INGRESS_PROXY_KEY, Certificate, Cluster, Match, PathMatch, Proxy, UpstreamTls, Workload
from roadstead.gateway.resources import INGRESS_CLASS_NAME, INGRESS_CONTROLLER_NAME, Resources
from roadstead.gateway.statuses import StatusUpdate, update_for
from roadstead.gateway.translate.backends import endpoints_name
from roadstead.gateway.translate.certificates import UnusableSecret, server_certificate
from roadstead.gateway.translate.fields import integer, mapping, mappings, spec_of, text, text_map, texts
from roadstead.gateway.translate.headers import is_header_value
from roadstead.gateway.translate.hostnames import certificate_covers, is_hostname, normal
from roadstead.gateway.translate.ingressproxy import IngressHost, Location, ingress_proxy
from roadstead.gateway.translate.nginx import Annotations, read_annotations
from roadstead.gateway.translate.notices import Notice
from roadstead.gateway.translate.workloads import workload_state

WORKLOAD = Workload("roadstead-system", "roadstead-ingress", (("app.kubernetes.io/name", "roadstead-ingress"),))
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
_CONTROLLERS = (INGRESS_CONTROLLER_NAME, "roadstead.dev/ingress-controller")


class IngressTranslation(NamedTuple):
    """What comes of all Ingresses: their proxy (None without any), what their statuses say, and what to tell people."""

    proxy: Proxy | None
    statuses: tuple[StatusUpdate, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """One Ingress, its annotations read."""

    obj: Object
    key: ObjectKey
    annotations: Annotations


def translate_ingresses(resources: Resources) -> IngressTranslation:
    """Translate every Ingress whose class is ours."""
    sources = _sources(resources)
    if not sources:
        return IngressTranslation(None, (), ())
    notices: list[Notice] = [Notice(one.obj, "Ignored", note) for one in sources for note in one.annotations.notes]
    hosts = _hosts(sources, resources, notices)
    running = workload_state(WORKLOAD, resources)
    addresses = [{"ip" if kind == "IPAddress" else "hostname": value} for kind, value in running.addresses]
    status = {"loadBalancer": {"ingress": addresses} if addresses else {}}
    proxy = ingress_proxy(INGRESS_PROXY_KEY, WORKLOAD, hosts, resources, https_port=running.host_ports.get(443))
    return IngressTranslation(proxy, tuple(update_for(one.obj, status) for one in sources), tuple(notices))


def _sources(resources: Resources) -> list[_Source]:
    """Return our Ingresses, the oldest first: of two claims on one path the older wins."""
    ours = {
        key.name
        for key, found in resources.ingress_classes.items()
        if text(spec_of(found).get("controller")) in _CONTROLLERS
    }
    default = any(
        text_map(annotations_of(found)).get(_DEFAULT_CLASS_ANNOTATION) == "true" and key.name in ours
        for key, found in resources.ingress_classes.items()
    )
    found = [
        _Source(obj, key, read_annotations(text_map(annotations_of(obj))))
        for key, obj in resources.ingresses.items()
        if not is_deleting(obj) and _is_ours(obj, ours | {INGRESS_CLASS_NAME}, default=default)
    ]
    return sorted(found, key=lambda one: (text(metadata_of(one.obj).get("creationTimestamp")), one.key))


def _is_ours(ingress: Object, classes: set[str], *, default: bool) -> bool:
    name = text(spec_of(ingress).get("ingressClassName")) or text_map(annotations_of(ingress)).get(_CLASS_ANNOTATION)
    return name in classes if name else default


class _Claim(NamedTuple):
    """A path that an Ingress claims at a host."""

    source: _Source
    host: str
    location: Location


def _hosts(sources: list[_Source], resources: Resources, notices: list[Notice]) -> list[IngressHost]:
    mains: dict[str, dict[tuple[str, str], _Claim]] = defaultdict(dict)
    canaries: list[_Claim] = []
    for source in sources:
        for claim in _claims(source, resources, notices):
            identity = (claim.location.match.path.kind, claim.location.match.path.value)
            if source.annotations.canary:
                canaries.append(claim)
            elif identity in mains[claim.host]:
                first = mains[claim.host][identity].source.key
                if first != source.key:
                    message = (
                        f"host {claim.host} path {claim.location.path} is served by Ingress {first}, which is older"
                    )
                    notices.append(Notice(source.obj, "Ignored", message))
            else:
                mains[claim.host][identity] = claim
    for canary in canaries:
        _add_canary(canary, mains, notices)
    certificates = _certificates(sources, resources, notices)
    return [
        IngressHost(
            host, tuple(claim.location for claim in claims.values()), host in certificates, certificates.get(host)
        )
        for host, claims in sorted(mains.items())
    ]


def _add_canary(canary: _Claim, mains: Mapping[str, dict[tuple[str, str], _Claim]], notices: list[Notice]) -> None:
    identity = (canary.location.match.path.kind, canary.location.match.path.value)
    main = mains.get(canary.host, {}).get(identity)
    if main is None:
        message = f"canary without a main Ingress for host {canary.host} path {canary.location.path}"
        notices.append(Notice(canary.source.obj, "Ignored", message))
    elif main.location.canary is None and canary.source.annotations.canary and canary.location.cluster:
        cluster = _spoken_to(canary.location.cluster, main.source.annotations)
        chosen = main.location.with_canary(cluster, canary.source.annotations.canary)
        mains[canary.host][identity] = main._replace(location=chosen)


def _claims(source: _Source, resources: Resources, notices: list[Notice]) -> Iterator[_Claim]:
    spec = spec_of(source.obj)
    default = mapping(spec.get("defaultBackend"))
    rules = mappings(spec.get("rules"))
    for index, rule in enumerate(rules):
        host = normal(text(rule.get("host")))
        if not is_hostname(host):
            notices.append(Notice(source.obj, "Invalid", f"spec.rules[{index}].host: {host!r} is not a host name"))
            continue
        paths = mappings(mapping(rule.get("http")).get("paths"))
        for number, path in enumerate(paths):
            place = f"spec.rules[{index}].http.paths[{number}]"
            yield from _claim(source, host, path, place, resources, notices)
        if default and not any(text(path.get("path"), "/") == "/" for path in paths):
            yield from _claim(source, host, {"backend": default}, "spec.defaultBackend", resources, notices)
    if default and not rules:
        yield from _claim(source, "*", {"backend": default}, "spec.defaultBackend", resources, notices)


def _claim(
    source: _Source, host: str, entry: Mapping[str, Any], place: str, resources: Resources, notices: list[Notice]
) -> Iterator[_Claim]:
    path = text(entry.get("path"), "/") or "/"
    if not path.startswith("/") or any(mark in path for mark in "?#") or not is_header_value(path):
        notices.append(Notice(source.obj, "Invalid", f"{place}.path: {path!r} is not a path that starts with /"))
        return
    service = mapping(mapping(entry.get("backend")).get("service"))
    cluster = _cluster(service, source, place, resources)
    missing = "" if isinstance(cluster, Cluster) else cluster
    if missing:
        notices.append(Notice(source.obj, "BackendNotFound", missing))
    location = Location(
        ingress=source.key,
        place=place,
        path=path,
        match=_match(path, text(entry.get("pathType"))),
        cluster=cluster if isinstance(cluster, Cluster) else None,
        missing=missing,
        annotations=source.annotations,
    )
    yield _Claim(source, host, location)


def _match(path: str, kind: str) -> Match:
    """Return what a path matches; `ImplementationSpecific` is nginx's plain prefix, which ignores path elements."""
    if kind == "Exact":
        return Match(PathMatch("exact", path))
    if kind == "Prefix" or path.endswith("/"):
        return Match(PathMatch("prefix", (path.rstrip("/") or "/") if kind == "Prefix" else path))
    return Match(PathMatch("regex", f"{re.escape(path)}.*"))


def _cluster(service: Mapping[str, Any], source: _Source, place: str, resources: Resources) -> Cluster | str:
    name, port = text(service.get("name")), mapping(service.get("port"))
    if not name:
        return f"{place}.backend: only a Service can be a backend"
    found = resources.services.get(ObjectKey(source.key.namespace, name))
    if found is None:
        return f"{place}.backend: Service {source.key.namespace}/{name} does not exist"
    ports = mappings(spec_of(found).get("ports"))
    wanted = text(port.get("name")) or integer(port.get("number"))
    number = next((integer(one.get("port")) for one in ports if wanted in (one.get("port"), one.get("name"))), 0)
    if not number:
        offered = ", ".join(str(one.get("port")) for one in ports) or "no ports"
        return f"{place}.backend: Service {source.key.namespace}/{name} has no port {wanted}; it has {offered}"
    endpoints = endpoints_name(source.key.namespace, name, number)
    return _spoken_to(Cluster(endpoints, endpoints, "http1"), source.annotations)


def _spoken_to(cluster: Cluster, annotations: Annotations) -> Cluster:
    """Return a cluster spoken to as annotations say: GRPCS and HTTPS without looking at certificates, as nginx does."""
    suffix = f"{annotations.protocol}-tls" if annotations.tls_to_backend else annotations.protocol
    tls = UpstreamTls(verify=False) if annotations.tls_to_backend else None
    return Cluster(f"{cluster.endpoints}/{suffix}", cluster.endpoints, annotations.protocol, tls)


def _certificates(
    sources: Iterable[_Source], resources: Resources, notices: list[Notice]
) -> dict[str, Certificate | None]:
    """Return the certificate of every host that a `tls` section is about; None stands for the default one."""
    found: dict[str, Certificate | None] = {}
    for source in sources:
        sections = mappings(spec_of(source.obj).get("tls"))
        for rule in mappings(spec_of(source.obj).get("rules")) if sections else ():
            host = normal(text(rule.get("host")))
            if found.get(host) is None:
                found[host] = _certificate(host, sections, source, resources, notices)
    return found


def _certificate(
    host: str,
    sections: list[Mapping[str, Any]],
    source: _Source,
    resources: Resources,
    notices: list[Notice],
) -> Certificate | None:
    named = [text(section.get("secretName")) for section in sections if host in texts(section.get("hosts"))]
    candidates = named[:1] or [text(section.get("secretName")) for section in sections]
    complaints: list[str] = []
    for name in candidates:
        chosen = _covering(host, ObjectKey(source.key.namespace, name), resources)
        if isinstance(chosen, Certificate):
            return chosen
        complaints.append(chosen)
    message = f"host {host} gets the default certificate, which clients refuse: {'; '.join(complaints)}"
    notices.append(Notice(source.obj, "CertificateNotUsable", message))
    return None


def _covering(host: str, key: ObjectKey, resources: Resources) -> Certificate | str:
    if not key.name:
        return "spec.tls names no secretName for it"
    secret = resources.secrets.get(key)
    if secret is None:
        return f"Secret {key} does not exist"
    try:
        found = server_certificate(secret)
    except UnusableSecret as unusable:
        return str(unusable)
    if not any(certificate_covers(name, host) for name in found.names):
        return f"{found.described()} does not cover it"
    return found.certificate
