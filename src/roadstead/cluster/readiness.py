"""Whether what was applied is up, and if not, which object, why, and what to do: the content of `up`'s screen.

Pure: the objects of the cluster in, one `Standing` per workload, gateway and route out. The reasons are the
conditions and container states that the parts wrote; nothing is judged twice here. Workloads: `workload_readiness`.
"""

from collections.abc import Iterable, Mapping

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.cluster.standing import Standing
from roadstead.cluster.workload_readiness import WORKLOADS, workload_standings

# Reasons of conditions that are False only until somebody else has done their part.
_PASSING = {"Pending", "AddressNotAssigned"}
ROUTES = ("GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute")
JUDGED = (*WORKLOADS, "Gateway", *ROUTES, "Ingress")
"""The kinds that `standings` is to be given."""


def standings(objects: Mapping[str, Iterable[Object]]) -> list[Standing]:
    """Judge workloads, Gateways, routes and Ingresses. `objects` maps a kind to all its objects."""
    judged = workload_standings(objects)
    judged += [_gateway(gateway) for gateway in objects.get("Gateway", ())]
    for kind in ROUTES:
        judged += [_route(kind, route) for route in objects.get(kind, ())]
    judged += [_ingress(ingress) for ingress in objects.get("Ingress", ())]
    return judged


def _gateway(gateway: Object) -> Standing:
    key, status = key_of(gateway), gateway.get("status") or {}
    broken = [
        f"listener {listener['name']}: {entry.get('message') or entry['reason']}"
        for listener in status.get("listeners") or ()
        for entry in listener.get("conditions") or ()
        if entry["type"] in ("Accepted", "ResolvedRefs") and entry["status"] == "False"
    ]
    if broken:
        return Standing("Gateway", key, "failed", "; ".join(broken))
    if is_true(status.get("conditions"), "Programmed"):
        addresses = ", ".join(address["value"] for address in status.get("addresses") or ())
        return Standing("Gateway", key, "ready", addresses)
    return _unfulfilled("Gateway", key, status.get("conditions"), ("Accepted", "Programmed"))


def _route(kind: str, route: Object) -> Standing:
    key = key_of(route)
    parents = (route.get("status") or {}).get("parents") or ()
    if not parents:
        return Standing(kind, key, "waiting", "no Gateway has answered for it")
    for parent in parents:
        standing = _unfulfilled(kind, key, parent.get("conditions"), ("Accepted", "ResolvedRefs"))
        if standing.state != "ready":
            return standing
    return Standing(kind, key, "ready", "accepted")


def _unfulfilled(kind: str, key: ObjectKey, conditions: Iterable[Object] | None, wanted: Iterable[str]) -> Standing:
    listed = list(conditions or ())
    for type_ in wanted:
        found = find_condition(listed, type_)
        if found is None or found["status"] == "Unknown":
            return Standing(kind, key, "waiting", (found or {}).get("message") or f"waiting for {type_}")
        if found["status"] == "False":
            message = found.get("message") or found["reason"]
            return Standing(kind, key, "waiting" if found["reason"] in _PASSING else "failed", message)
    return Standing(kind, key, "ready", "")


def _ingress(ingress: Object) -> Standing:
    balancer = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = ", ".join(entry.get("ip") or entry.get("hostname", "") for entry in balancer)
    if addresses:
        return Standing("Ingress", key_of(ingress), "ready", addresses)
    return Standing("Ingress", key_of(ingress), "waiting", "no address yet")
