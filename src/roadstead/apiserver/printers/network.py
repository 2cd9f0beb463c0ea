"""Services, endpoints, Ingresses and NetworkPolicies. The Gateway API's kinds bring their own columns."""

from collections.abc import Iterable
from datetime import datetime

from roadstead.api.objects import ReadOnlyObject, annotations_of
from roadstead.apiserver.printers.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Printer,
    age,
    columns,
    labels_text,
    selector_text,
    shortened,
    spec_of,
    status_of,
)


def _service(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec = spec_of(obj)
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [NONE])
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        addresses[0],
        _external_address(spec, status_of(obj)),
        _service_ports(spec.get("ports") or ()) or NONE,
        age(obj, now),
        labels_text(spec.get("selector")),
    ]


def _external_address(spec: ReadOnlyObject, status: ReadOnlyObject) -> str:
    external, type_ = ",".join(spec.get("externalIPs") or ()), spec.get("type")
    if type_ in ("ClusterIP", "NodePort"):
        return external or NONE
    if type_ == "LoadBalancer":
        return ",".join(filter(None, (_load_balancer(status), external))) or "<pending>"
    return str(spec.get("externalName", "")) if type_ == "ExternalName" else UNKNOWN


def _load_balancer(status: ReadOnlyObject) -> str:
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(sorted({entry.get("ip") or entry.get("hostname") or "" for entry in ingress} - {""}))


def _service_ports(ports: Iterable[ReadOnlyObject]) -> str:
    return ",".join(_service_port(port) for port in ports)


def _service_port(port: ReadOnlyObject) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"


def _endpoints(obj: ReadOnlyObject, now: datetime) -> Cells:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = [f":{port.get('port')}" for port in subset.get("ports") or ()] or [""]
        found += [_host_port(address, port) for port in ports for address in addresses]
    return [obj["metadata"]["name"], shortened(found) or NONE, age(obj, now)]


def _host_port(address: str, port: str) -> str:
    return f"[{address}]{port}" if port and ":" in address else address + port


def _endpoint_slice(obj: ReadOnlyObject, now: datetime) -> Cells:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    addresses = [address for entry in obj.get("endpoints") or () for address in entry.get("addresses") or ()]
    return [
        obj["metadata"]["name"],
        obj.get("addressType", ""),
        shortened(ports) or UNSET,
        shortened(addresses) or UNSET,
        age(obj, now),
    ]


def _ingress(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec = spec_of(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        obj["metadata"]["name"],
        spec.get("ingressClassName") or NONE,
        shortened(hosts) or "*",
        _load_balancer(status_of(obj)),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _ingress_class(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec, name = spec_of(obj), obj["metadata"]["name"]
    if annotations_of(obj).get("ingressclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    text = NONE
    if parameters := spec.get("parameters"):
        group = f".{parameters['apiGroup']}" if "apiGroup" in parameters else ""
        text = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [name, spec.get("controller", ""), text, age(obj, now)]


def _network_policy(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], selector_text(spec_of(obj).get("podSelector")), age(obj, now)]


PRINTERS = {
    ("", "Service"): Printer(
        columns(("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"), ("Selector",)), _service
    ),
    ("", "Endpoints"): Printer(columns(("Name", "Endpoints", "Age")), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        columns(("Name", "AddressType", "Ports", "Endpoints", "Age")), _endpoint_slice
    ),
    ("networking.k8s.io", "Ingress"): Printer(columns(("Name", "Class", "Hosts", "Address", "Ports", "Age")), _ingress),
    ("networking.k8s.io", "IngressClass"): Printer(
        columns(("Name", "Controller", "Parameters", "Age")), _ingress_class
    ),
    ("networking.k8s.io", "NetworkPolicy"): Printer(columns(("Name", "Pod-Selector", "Age")), _network_policy),
}
