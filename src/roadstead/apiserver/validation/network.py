"""Services, Ingresses, NetworkPolicies and EndpointSlices."""

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
    labels,
    network,
    one_of,
    reachable,
    required_name,
)
from roadstead.apiserver.validation.internal import SERVICE_PORT, internal

_LONGEST_AFFINITY = 86400
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def validate_service(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Service."""
    spec = new.get("spec") or {}
    type_, headless = spec.get("type"), spec.get("clusterIP") == "None"
    if found := _cluster_addresses(spec, (old or {}).get("spec") or {}):
        return found
    found = _service_changes(spec, old.get("spec") or {}) if old is not None else []
    found += one_of("spec.type", type_, _SERVICE_TYPES, required=True)
    ports = spec.get("ports") or ()
    if not ports and not headless and type_ != "ExternalName":
        found.append(causes.required("spec.ports"))
    if headless and type_ in ("LoadBalancer", "NodePort"):
        detail = f"may not be set to 'None' for {type_} services"
        found.append(causes.invalid("spec.clusterIPs[0]", "None", detail))
    if type_ == "ExternalName":
        found += _external_name(spec)
    found += _service_ports(ports, type_ or "")
    found += labels(spec.get("selector"), "spec.selector")
    found += one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    found += _affinity(spec)
    for at, value in enumerate(spec.get("externalIPs") or ()):
        found += address(value, f"spec.externalIPs[{at}]") or reachable(value, f"spec.externalIPs[{at}]")
    return found + _traffic(spec)


def _external_name(spec: ReadOnlyObject) -> Causes:
    name = (spec.get("externalName") or "").removesuffix(".")
    found = (
        complain("spec.externalName", name, names.subdomain_complaints(name))
        if name
        else [causes.required("spec.externalName")]
    )
    if spec.get("clusterIP"):
        found.append(causes.forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    return found


def _service_ports(ports: Any, type_: str) -> Causes:
    found: Causes = []
    taken: set[Any] = set()
    for at, port in enumerate(ports):
        path = f"spec.ports[{at}]"
        found += _service_port(port, path, named=len(ports) > 1)
        claims: list[tuple[str, Any]] = [("name", port["name"])] if port.get("name") else []
        node_port = port.get("nodePort")
        if node_port:
            claims.append(("nodePort", (port.get("protocol"), node_port)))
            if type_ == "ClusterIP":
                detail = "may not be used when `type` is 'ClusterIP'"
                found.append(causes.forbidden(f"{path}.nodePort", detail))
        found += [causes.duplicate(f"{path}.{key}", port[key]) for key, claim in claims if (key, claim) in taken]
        identity = {"protocol": port.get("protocol", ""), "port": port.get("port", 0)}
        if ("", *identity.values()) in taken:
            found.append(causes.duplicate(path, internal(identity, SERVICE_PORT)))
        taken.update([*claims, ("", *identity.values())])
    return found


def _service_port(port: ReadOnlyObject, path: str, *, named: bool) -> Causes:
    found: Causes = []
    if named or port.get("name"):
        found += required_name(port, path, names.label_complaints)
    number = port.get("port", 0)
    found += complain(f"{path}.port", number, names.port_complaints(number))
    found += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    target = port.get("targetPort", number)
    found += complain(f"{path}.targetPort", target, names.port_or_name_complaints(target))
    if port.get("nodePort"):
        found += complain(f"{path}.nodePort", port["nodePort"], names.port_complaints(port["nodePort"]))
    if port.get("appProtocol"):
        protocol = port["appProtocol"]
        found += complain(f"{path}.appProtocol", protocol, names.qualified_name_complaints(protocol))
    return found


_FAMILIES, _FAMILY_POLICIES = ("IPv4", "IPv6"), ("PreferDualStack", "RequireDualStack", "SingleStack")


def _cluster_addresses(spec: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    """Return what is wrong with a Service's own addresses. That is found out first and told alone."""
    if spec.get("type") == "ExternalName":
        return []
    single, several = spec.get("clusterIP"), spec.get("clusterIPs") or _alone(spec)
    found: Causes = []
    if single and several[0] != single:
        found.append(causes.invalid("spec.clusterIPs", several, "first value must match `clusterIP`"))
    families = spec.get("ipFamilies") or ()
    for at, family in enumerate(families):
        found += one_of(f"spec.ipFamilies[{at}]", family, _FAMILIES)
        if family in families[:at]:
            found.append(causes.duplicate(f"spec.ipFamilies[{at}]", family))
    found += one_of("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), _FAMILY_POLICIES)
    for at, value in enumerate(several):
        if value != "None" and value not in (old.get("clusterIPs") or ()):
            found += address(value, f"spec.clusterIPs[{at}]")
    if found:
        return found
    return [
        causes.invalid(
            f"spec.clusterIPs[{at}]", value, f"expected an {family} value as indicated by `ipFamilies[{at}]`"
        )
        for at, (value, family) in enumerate(zip(several, families, strict=False))
        if value != "None" and (":" in value) != (family == "IPv6")
    ]


def _alone(spec: ReadOnlyObject) -> list[str]:
    return [spec["clusterIP"]] if spec.get("clusterIP") else []


def _affinity(spec: ReadOnlyObject) -> Causes:
    config, path = spec.get("sessionAffinityConfig"), "spec.sessionAffinityConfig"
    if spec.get("sessionAffinity") != "ClientIP":
        return [causes.forbidden(path, "must not be set when session affinity is None")] if config is not None else []
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    field = f"{path}.clientIP.timeoutSeconds"
    if seconds is None or 1 <= seconds <= _LONGEST_AFFINITY:
        return []
    return [causes.invalid(field, seconds, f"must be greater than 0 and less than {_LONGEST_AFFINITY}")]


def _traffic(spec: ReadOnlyObject) -> Causes:
    found: Causes = []
    outside = spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    policy = spec.get("externalTrafficPolicy")
    if policy and not outside:
        detail = "may only be set for externally-accessible services"
        found.append(causes.invalid("spec.externalTrafficPolicy", policy, detail))
    elif policy:
        found += one_of("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    found += one_of("spec.trafficDistribution", spec.get("trafficDistribution"), _DISTRIBUTIONS)
    if (port := spec.get("healthCheckNodePort")) and (spec.get("type"), policy) != ("LoadBalancer", "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.append(causes.invalid("spec.healthCheckNodePort", port, detail))
    found += one_of("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), ("Cluster", "Local"))
    if spec.get("type") != "LoadBalancer":
        detail = "may only be used when `type` is 'LoadBalancer'"
        given = ("LoadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "loadBalancerClass")
        fields = {key[0].lower() + key[1:]: key for key in given}
        found += [causes.forbidden(f"spec.{shown}", detail) for key, shown in fields.items() if spec.get(key)]
    for at, value in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += cidr(value.strip(), f"spec.LoadBalancerSourceRanges[{at}]")
    if class_ := spec.get("loadBalancerClass"):
        found += complain("spec.loadBalancerClass", class_, names.qualified_name_complaints(class_))
    return found


def _service_changes(new: ReadOnlyObject, old: ReadOnlyObject) -> Causes:
    """An address once given stays, unless the Service had or gets none because it is only an external name."""
    before, after = old.get("clusterIPs") or _alone(old), new.get("clusterIPs") or _alone(new)
    found: Causes = []
    elsewhere = "ExternalName" in (new.get("type"), old.get("type"))
    if before and after and not elsewhere and before[0] != after[0]:
        found.append(causes.invalid("spec.clusterIPs[0]", after, "may not change once set"))
    balanced = new.get("type") == old.get("type") == "LoadBalancer"
    if balanced and new.get("loadBalancerClass") != old.get("loadBalancerClass"):
        class_ = new.get("loadBalancerClass")
        found.append(causes.invalid("spec.loadBalancerClass", class_, "may not change once set"))
    return found


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
    for at, endpoint in enumerate(new.get("endpoints") or ()):
        addresses = endpoint.get("addresses") or ()
        if not addresses:
            found.append(causes.required(f"endpoints[{at}].addresses"))
        if type_ != "FQDN":
            for index, value in enumerate(addresses):
                found += address(value, f"endpoints[{at}].addresses[{index}]")
    for at, port in enumerate(new.get("ports") or ()):
        found += one_of(f"ports[{at}].protocol", port.get("protocol"), PROTOCOLS)
    return found


_NETWORKING = "networking.k8s.io"
VALIDATORS = {
    ("", "Service"): validate_service,
    ("discovery.k8s.io", "EndpointSlice"): validate_endpoint_slice,
    (_NETWORKING, "Ingress"): validate_ingress,
    (_NETWORKING, "IngressClass"): validate_ingress_class,
    (_NETWORKING, "NetworkPolicy"): validate_network_policy,
}
