"""Services: names, ports, addresses, traffic (kubernetes pkg/apis/core/validation)."""

from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.containers import PROTOCOLS
from roadstead.apiserver.validation.fields import address, cidr, complain, labels, one_of, reachable, required_name
from roadstead.apiserver.validation.internal import SERVICE_PORT, internal

_LONGEST_AFFINITY = 86400
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def validate_service(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a Service, in Kubernetes' order."""
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    if found := _cluster_addresses(spec, before):
        return found
    type_, headless, ports = spec.get("type"), spec.get("clusterIP") == "None", spec.get("ports") or ()
    found = _service_changes(spec, before) if old is not None else []
    if not ports and not (headless and type_ == "ClusterIP") and type_ != "ExternalName":
        found.append(causes.required("spec.ports"))
    if headless and type_ in ("LoadBalancer", "NodePort"):
        detail = f"may not be set to 'None' for {type_} services"
        found.append(causes.invalid("spec.clusterIPs[0]", "None", detail))
    if type_ == "ExternalName":
        found += _external_name(spec)
    found += _service_ports(ports) + labels(spec.get("selector"), "spec.selector")
    found += one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    found += _affinity(spec)
    for at, value in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{at}]"
        found += (value not in (before.get("externalIPs") or ()) and address(value, field)) or reachable(value, field)
    found += one_of("spec.type", type_, _SERVICE_TYPES, required=True) + _repeated(ports, type_ or "")
    return found + _balancing(spec, before) + _traffic(spec)


def _external_name(spec: ReadOnlyObject) -> Causes:
    detail = "may not be set for ExternalName services"
    addressed = spec.get("clusterIPs") or spec.get("clusterIP")
    given = {
        "clusterIPs": addressed,
        "ipFamilies": spec.get("ipFamilies"),
        "ipFamilyPolicy": spec.get("ipFamilyPolicy"),
    }
    found = [causes.forbidden(f"spec.{field}", detail) for field, value in given.items() if value]
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*found, causes.required("spec.externalName")]
    return found + complain("spec.externalName", name, names.subdomain_complaints(name))


def _service_ports(ports: Any) -> Causes:
    found: Causes = []
    taken: set[str] = set()
    for at, port in enumerate(ports):
        found += _service_port(port, f"spec.ports[{at}]", named=len(ports) > 1, taken=taken)
    return found


def _repeated(ports: Any, type_: str) -> Causes:
    """Return a cause for every port that another one is already, and for ports of nodes where there are none."""
    numbered = [(f"spec.ports[{at}]", port) for at, port in enumerate(ports)]
    found: Causes = []
    if type_ == "ClusterIP":
        detail = "may not be used when `type` is 'ClusterIP'"
        found += [causes.forbidden(f"{path}.nodePort", detail) for path, port in numbered if port.get("nodePort")]
    taken: set[tuple[str, Any, int]] = set()
    for path, port in numbered:
        claim = ("node", port.get("protocol"), port.get("nodePort") or 0)
        if claim in taken:
            found.append(causes.duplicate(f"{path}.nodePort", port["nodePort"]))
        taken |= {claim} if claim[2] else set()
    for path, port in numbered:
        claim = ("own", port.get("protocol"), port.get("port", 0))
        if claim in taken:
            identity = {"protocol": port.get("protocol", ""), "port": port.get("port", 0)}
            found.append(causes.duplicate(path, internal(identity, SERVICE_PORT)))
        taken.add(claim)
    return found


def _service_port(port: ReadOnlyObject, path: str, *, named: bool, taken: set[str]) -> Causes:
    found: Causes = []
    name = port.get("name")
    if named or name:
        found += required_name(port, path, names.label_complaints)
    if name:
        found += [causes.duplicate(f"{path}.name", name)] if name in taken else []
        taken.add(name)
    number = port.get("port", 0)
    found += complain(f"{path}.port", number, names.port_complaints(number))
    found += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    target = port.get("targetPort", number)
    found += complain(f"{path}.targetPort", target, names.port_or_name_complaints(target))
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


def _balancing(spec: ReadOnlyObject, before: ReadOnlyObject) -> Causes:
    balanced, path = spec.get("type") == "LoadBalancer", "spec.LoadBalancerSourceRanges"
    ranges, class_ = spec.get("loadBalancerSourceRanges") or (), spec.get("loadBalancerClass")
    found = [causes.forbidden(path, _BALANCED)] if ranges and not balanced else []
    for at, value in enumerate(ranges):
        if value not in (before.get("loadBalancerSourceRanges") or ()):
            found += cidr(value.strip(), f"{path}[{at}]")
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        found.append(causes.forbidden("spec.allocateLoadBalancerNodePorts", _BALANCED))
    if class_ and not balanced:
        found.append(causes.forbidden("spec.loadBalancerClass", _BALANCED))
    elif class_:
        found += complain("spec.loadBalancerClass", class_, names.qualified_name_complaints(class_))
    return found


def _traffic(spec: ReadOnlyObject) -> Causes:
    found: Causes = []
    outside = spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    policy = spec.get("externalTrafficPolicy")
    if policy and not outside:
        detail = "may only be set for externally-accessible services"
        found.append(causes.invalid("spec.externalTrafficPolicy", policy, detail))
    elif policy:
        found += one_of("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    if (port := spec.get("healthCheckNodePort")) and (spec.get("type"), policy) != ("LoadBalancer", "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.append(causes.invalid("spec.healthCheckNodePort", port, detail))
    found += one_of("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), ("Cluster", "Local"))
    return found + one_of("spec.trafficDistribution", spec.get("trafficDistribution"), _DISTRIBUTIONS)


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


VALIDATORS = {("", "Service"): validate_service}
