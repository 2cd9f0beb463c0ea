from gateway_objects import endpoint_slice, resources, service

from roadstead.gateway.ir import Endpoint
from roadstead.gateway.translate.backends import endpoint_set

NAME = "user-platform/foo-svc/50051"


def addresses(*slices: dict) -> list[str]:
    return [one.address for one in endpoint_set(NAME, resources([service("foo-svc"), *slices])).endpoints]


def test_ready_endpoints_of_all_slices_sorted_and_once() -> None:
    first, second = endpoint_slice("foo-svc", "10.0.0.2", "10.0.0.1"), endpoint_slice("foo-svc", "10.0.0.2", "10.0.0.3")
    assert addresses(first, second) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_an_endpoint_names_its_pod_and_the_port_of_the_slice() -> None:
    found = endpoint_set(NAME, resources([service("foo-svc"), endpoint_slice("foo-svc", "10.0.0.1", port=8080)]))
    assert found.endpoints == (Endpoint("10.0.0.1", 8080, "foo-svc-0"),)


def test_what_is_not_ready_receives_nothing() -> None:
    assert addresses(endpoint_slice("foo-svc", "10.0.0.1", ready=False, serving=False)) == []


def test_an_unstated_condition_means_ready() -> None:
    assert addresses(endpoint_slice("foo-svc", "10.0.0.1", ready=None)) == ["10.0.0.1"]


def test_pods_that_end_serve_only_if_there_are_no_others() -> None:
    ending = endpoint_slice("foo-svc", "10.0.0.1", ready=False, serving=True, terminating=True)
    assert addresses(ending) == ["10.0.0.1"]
    assert addresses(ending, endpoint_slice("foo-svc", "10.0.0.2")) == ["10.0.0.2"]


def test_the_port_is_found_by_its_name() -> None:
    other = endpoint_slice("foo-svc", "10.0.0.1")
    other["ports"] = [{"name": "metrics", "port": 9090}]
    assert addresses(other) == []


def test_a_service_that_is_gone_has_no_endpoints() -> None:
    assert endpoint_set(NAME, resources([])).endpoints == ()


def test_what_is_no_address_or_port_is_left_out() -> None:
    assert addresses(endpoint_slice("foo-svc", "not an address", "fe80::1%eth0", "10.0.0.1")) == ["10.0.0.1"]
    assert addresses(endpoint_slice("foo-svc", "10.0.0.1", port=65536)) == []


def test_a_port_number_that_is_also_there_for_udp_means_the_one_for_tcp() -> None:
    dns = service("dns", port=53)
    udp = {"name": "udp", "port": 53, "protocol": "UDP"}
    dns["spec"]["ports"].insert(0, udp)
    slices = {
        **endpoint_slice("dns", "10.0.0.1"),
        "ports": [{"name": "udp", "port": 1053}, {"name": "grpc", "port": 2053}],
    }
    found = endpoint_set("user-platform/dns/53", resources([dns, slices]))
    assert [one.port for one in found.endpoints] == [2053]
