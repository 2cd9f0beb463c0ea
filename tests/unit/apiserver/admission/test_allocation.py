"""Services get addresses and ports that nobody else has, and keep them."""

from typing import Any

import pytest

from roadstead.api.errors import InternalError, Invalid
from roadstead.apiserver.admission.allocation import ServiceAllocator
from roadstead.apiserver.store import Location


def place(name: str) -> Location:
    return Location("services", "default", name)


def service(name: str = "a", type_: str = "ClusterIP", ports: Any = (80,), **spec: Any) -> dict[str, Any]:
    listed = [port if isinstance(port, dict) else {"port": port, "protocol": "TCP"} for port in ports]
    return {"metadata": {"name": name}, "spec": {"type": type_, "ports": listed, **spec}}


def test_every_service_gets_an_address_of_its_own() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    seen = set()
    for number in range(300):
        one = service(f"s{number}")
        allocator.allocate(place(f"s{number}"), one, None)
        seen.add(one["spec"]["clusterIP"])
        assert one["spec"]["clusterIPs"] == [one["spec"]["clusterIP"]]
        assert (one["spec"]["ipFamilies"], one["spec"]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert len(seen) == 300
    assert not seen & {"10.96.0.0", "10.96.0.1", "10.96.0.10", "10.96.255.255"}


def test_a_service_may_ask_for_an_address() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    one = service(clusterIP="10.96.0.10")
    allocator.allocate(place("a"), one, None)
    with pytest.raises(Invalid, match="provided IP is already allocated"):
        allocator.allocate(place("b"), service(clusterIP="10.96.0.10"), None)


@pytest.mark.parametrize(
    ("address", "words"), [("10.97.0.1", "not in the valid range"), ("here", "must be a valid IP address")]
)
def test_an_address_must_be_one_of_the_range(address: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        ServiceAllocator("10.96.0.0/16").allocate(place("a"), service(clusterIP=address), None)


def test_headless_and_external_services_need_none() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    headless, external = service(clusterIP="None"), service(type_="ExternalName", externalName="example.com")
    allocator.allocate(place("a"), headless, None)
    allocator.allocate(place("b"), external, None)
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert "clusterIP" not in external["spec"]
    allocator.allocate(place("c"), service(clusterIP="None"), None)


def test_an_update_keeps_the_address_and_may_not_change_it() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    live = service()
    allocator.allocate(place("a"), live, None)
    new = service()
    allocator.allocate(place("a"), new, live)
    assert new["spec"]["clusterIP"] == live["spec"]["clusterIP"]
    with pytest.raises(Invalid, match="field is immutable"):
        allocator.allocate(place("a"), service(clusterIP="10.96.7.7"), live)


def test_what_is_released_is_given_out_again_and_a_full_range_says_so() -> None:
    allocator = ServiceAllocator("10.0.0.0/29")
    services = {f"s{number}": service(f"s{number}") for number in range(6)}
    for name, one in services.items():
        allocator.allocate(place(name), one, None)
    with pytest.raises(InternalError, match="is full"):
        allocator.allocate(place("late"), service("late"), None)
    allocator.release(place("s2"), services["s2"])
    late = service("late")
    allocator.allocate(place("late"), late, None)
    assert late["spec"]["clusterIP"] == services["s2"]["spec"]["clusterIP"]


def test_node_ports_are_given_to_those_types_that_have_them() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    plain, node, balanced = service(), service(type_="NodePort", ports=(80, 443)), service(type_="LoadBalancer")
    quiet = service(type_="LoadBalancer", allocateLoadBalancerNodePorts=False)
    for number, one in enumerate((plain, node, balanced, quiet)):
        allocator.allocate(place(str(number)), one, None)
    given = [port["nodePort"] for one in (node, balanced) for port in one["spec"]["ports"]]
    assert len(set(given)) == 3
    assert all(30000 <= port <= 32767 for port in given)
    assert all("nodePort" not in port for one in (plain, quiet) for port in one["spec"]["ports"])


def test_a_node_port_can_be_asked_for_once_per_protocol() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    wanted = {"port": 53, "protocol": "UDP", "nodePort": 30053}
    allocator.allocate(place("a"), service(type_="NodePort", ports=[wanted]), None)
    allocator.allocate(place("b"), service(type_="NodePort", ports=[{**wanted, "protocol": "TCP"}]), None)
    with pytest.raises(Invalid, match="provided port is already allocated") as refused:
        allocator.allocate(place("c"), service(type_="NodePort", ports=[wanted]), None)
    assert refused.value.details["causes"][0]["field"] == "spec.ports[0].nodePort"
    with pytest.raises(Invalid, match="30000-32767"):
        allocator.allocate(place("d"), service(type_="NodePort", ports=[{**wanted, "nodePort": 80}]), None)


def test_an_update_keeps_node_ports_by_port_and_protocol() -> None:
    allocator = ServiceAllocator("10.96.0.0/16")
    live = service(type_="NodePort", ports=(80, 443))
    allocator.allocate(place("a"), live, None)
    new = service(type_="NodePort", ports=(443, 8080))
    allocator.allocate(place("a"), new, live)
    assert new["spec"]["ports"][0]["nodePort"] == live["spec"]["ports"][1]["nodePort"]
    assert new["spec"]["ports"][1]["nodePort"] not in {port["nodePort"] for port in live["spec"]["ports"]}
