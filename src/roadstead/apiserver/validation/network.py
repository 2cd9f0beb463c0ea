"""Ingresses, NetworkPolicies and EndpointSlices."""

from ipaddress import ip_address
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.containers import PROTOCOLS
from roadstead.apiserver.validation.fields import (
    address,
    cidr,
    complain,
    immutable,
    is_address,
    label_selector,
    network,
    one_of,
    reachable,
    required_name,
)


def validate_network_policy(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a NetworkPolicy."""
    spec = new.get("spec") or {}
    found = label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{at}]"
            for index, port in enumerate(rule.get("ports") or ()):
                found += _policy_port(port, f"{path}.ports[{index}]")
            for index, peer in enumerate(rule.get(peers) or ()):
                found += _peer(peer, f"{path}.{peers}[{index}]")
    types = spec.get("policyTypes") or ()
    if len(types) > 2:
        return [*found, causes.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
    for at, type_ in enumerate(types):
        found += one_of(f"spec.policyTypes[{at}]", type_, ("Ingress", "Egress"), required=True)
    return found


def _policy_port(port: ReadOnlyObject, path: str) -> Causes:
    found = one_of(f"{path}.protocol", port.get("protocol"), ("TCP", "UDP", "SCTP"))
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        found += complain(f"{path}.port", number, names.port_or_name_complaints(number))
    if end is None:
        return found
    if number is None or isinstance(number, str):
        problem = "non-numeric" if isinstance(number, str) else "not specified"
        return [*found, causes.invalid(f"{path}.endPort", end, f"may not be specified when `port` is {problem}")]
    if end < number:
        found.append(causes.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
    return found + complain(f"{path}.endPort", end, names.port_complaints(end))


def _peer(peer: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    given = [kind for kind in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(kind) is not None]
    for kind in given:
        where = f"{path}.{kind}"
        found += _ip_block(peer[kind], where) if kind == "ipBlock" else label_selector(peer[kind], where)
    if not given:
        found.append(causes.required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        found.append(causes.forbidden(path, "may not specify both ipBlock and another peer"))
    return found


def _ip_block(block: ReadOnlyObject, path: str) -> Causes:
    value = block.get("cidr")
    if not value:
        return [causes.required(f"{path}.cidr")]
    whole, found = network(value), cidr(value, f"{path}.cidr")
    for at, text in enumerate(block.get("except") or ()):
        where, part = f"{path}.except[{at}]", network(text)
        found += cidr(text, where)
        if whole is not None and part is not None and not _is_inside(part, whole):
            found.append(causes.invalid(where, text, "must be a strict subset of `cidr`"))
    return found


def _is_inside(part: Any, whole: Any) -> bool:
    return part.version == whole.version and part.prefixlen > whole.prefixlen and bool(part.subnet_of(whole))


_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def validate_ingress(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with an Ingress."""
    spec = new.get("spec") or {}
    rules, default = spec.get("rules") or (), spec.get("defaultBackend")
    found: Causes = []
    if not rules and default is None:
        found.append(causes.invalid("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if default is not None:
        found += _backend(default, "spec.defaultBackend")
    for at, rule in enumerate(rules):
        found += _ingress_rule(rule, f"spec.rules[{at}]")
    for at, entry in enumerate(spec.get("tls") or ()):
        found += _ingress_tls(entry, f"spec.tls[{at}]")
    class_ = spec.get("ingressClassName")
    if class_ is not None:
        found += complain("spec.ingressClassName", class_, names.subdomain_complaints(class_))
    annotated = ((new.get("metadata") or {}).get("annotations") or {}).get(_CLASS_ANNOTATION)
    if old is None and class_ is not None and annotated not in (None, class_):
        detail = "must match `ingressClassName` when both are specified"
        found.append(causes.invalid(f"annotations.{_CLASS_ANNOTATION}", annotated, detail))
    return found


def _ingress_tls(entry: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    for at, host in enumerate(entry.get("hosts") or ()):
        found += complain(f"{path}.hosts[{at}]", host, names.host_complaints(host))
    secret = entry.get("secretName")
    return found + (complain(f"{path}.secretName", secret, names.subdomain_complaints(secret)) if secret else [])


def _ingress_rule(rule: ReadOnlyObject, path: str) -> Causes:
    host, found = rule.get("host"), []
    if host:
        if is_address(host):
            found.append(causes.invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        found += complain(f"{path}.host", host, names.host_complaints(host))
    http = rule.get("http")
    if http is None:
        return found
    paths = http.get("paths") or ()
    if not paths:
        found.append(causes.required(f"{path}.http.paths"))
    for at, entry in enumerate(paths):
        found += _ingress_path(entry, f"{path}.http.paths[{at}]")
    return found


def _ingress_path(entry: ReadOnlyObject, path: str) -> Causes:
    type_, value = entry.get("pathType"), entry.get("path") or ""
    if type_ is None:
        return [causes.required(f"{path}.pathType", "pathType must be specified")]
    found = one_of(f"{path}.pathType", type_, ("Exact", "ImplementationSpecific", "Prefix"), required=True)
    strict = type_ in ("Exact", "Prefix")
    if (strict or value) and not value.startswith("/"):
        found.append(causes.invalid(f"{path}.path", value, "must be an absolute path"))
    if strict:
        bad = [part for part in _BAD_SEQUENCES if part in value]
        found += [causes.invalid(f"{path}.path", value, f"must not contain '{part}'") for part in bad]
        ends = [part for part in _BAD_ENDS if value.endswith(part)]
        found += [causes.invalid(f"{path}.path", value, f"cannot end with '{part}'") for part in ends]
    return found + _backend(entry.get("backend") or {}, f"{path}.backend")


def _backend(backend: ReadOnlyObject, path: str) -> Causes:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [causes.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [causes.required(f"{path}.resource.{key}") for key in ("kind", "name") if not resource.get(key)]
    if service is None:
        return [causes.invalid(path, "", "resource or service backend is required")]
    found = required_name(service, f"{path}.service", names.label_complaints)
    port = service.get("port") or {}
    name, number = port.get("name"), port.get("number")
    if name and number:
        found.append(causes.invalid(path, "", "cannot set both port name & port number"))
    elif name:
        found += complain(f"{path}.service.port.name", name, names.port_name_complaints(name))
    elif number:
        found += complain(f"{path}.service.port.number", number, names.port_complaints(number))
    else:
        found.append(causes.required(path, "port name or number is required"))
    return found


def validate_ingress_class(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with an IngressClass."""
    spec = new.get("spec") or {}
    controller, parameters = spec.get("controller", ""), spec.get("parameters")
    found: Causes = []
    if not controller:
        found.append(causes.required("spec.controller"))
    elif "/" not in controller:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        found.append(causes.invalid("spec.controller", controller, detail))
    if parameters is not None:
        path = "spec.parameters"
        found += [causes.required(f"{path}.{key}") for key in ("kind", "name") if not parameters.get(key)]
        found += one_of(f"{path}.scope", parameters.get("scope"), ("Cluster", "Namespace"))
        if parameters.get("scope") == "Namespace" and not parameters.get("namespace"):
            found.append(causes.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    if old is not None:
        found += immutable(controller, (old.get("spec") or {}).get("controller"), "spec.controller")
    return found


def validate_endpoint_slice(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with an EndpointSlice."""
    type_ = new.get("addressType")
    found = one_of("addressType", type_, ("FQDN", "IPv4", "IPv6"), required=True)
    if old is not None:
        changed = type_ != old.get("addressType")
        found += [causes.invalid("addressType", None, "field is immutable")] if changed else []
    found += _slice_ports(new)
    if old is None or new.get("endpoints") != old.get("endpoints"):
        for at, endpoint in enumerate(new.get("endpoints") or ()):
            found += _endpoint(endpoint, type_ or "", f"endpoints[{at}]")
    return found


def _slice_ports(new: ReadOnlyObject) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, port in enumerate(new.get("ports") or ()):
        path, name = f"ports[{at}]", port.get("name") or ""
        found += complain(f"{path}.name", name, names.label_complaints(name)) if name else []
        found += [causes.duplicate(f"{path}.name", name)] if name in taken else []
        taken.add(name)
        found += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    return found


def _endpoint(endpoint: ReadOnlyObject, type_: str, path: str) -> Causes:
    addresses, node, host = (endpoint.get(key) or "" for key in ("addresses", "nodeName", "hostname"))
    found = [] if addresses else [causes.required(f"{path}.addresses")]
    for at, value in enumerate(addresses if type_ in ("IPv4", "IPv6") else ()):
        where = f"{path}.addresses[{at}]"
        if problems := address(value, where):
            found += problems
            continue
        if (":" in value) != (type_ == "IPv6"):
            found.append(causes.invalid(f"{path}.addresses", value, f"must be an {type_} address"))
        if not ip_address(value).is_loopback:  # unlike Kubernetes: pods of one machine may have addresses there
            found += reachable(value, where)
    found += complain(f"{path}.nodeName", node, names.subdomain_complaints(node)) if node else []
    return found + (complain(f"{path}.hostname", host, names.label_complaints(host)) if host else [])


_NETWORKING = "networking.k8s.io"
VALIDATORS = {
    ("discovery.k8s.io", "EndpointSlice"): validate_endpoint_slice,
    (_NETWORKING, "Ingress"): validate_ingress,
    (_NETWORKING, "IngressClass"): validate_ingress_class,
    (_NETWORKING, "NetworkPolicy"): validate_network_policy,
}
