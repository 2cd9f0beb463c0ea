import ipaddress

import msgspec
import pytest

from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable, services_from, stand_in_address


def service(name="web", address="10.96.0.5", ports=None, **spec):
    listed = ports or [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": listed, **spec},
    }


def endpoint_slice(*endpoints, name="web", port_name="http", port=8080, **fields):
    return {
        "metadata": {
            "name": f"{name}-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
        **fields,
    }


def endpoint(address, **conditions):
    return {"addresses": [address], "conditions": conditions}


def endpoints(services, slices):
    return [
        (port.address, port.port, [each.address for each in port.endpoints])
        for port in services_from(services, slices).ports
    ]


def test_ready_endpoints_serve_under_the_slices_port():
    table = services_from([service()], [endpoint_slice(endpoint("10.244.0.3"), endpoint("10.244.0.2", ready=True))])
    assert table == ServiceTable(
        (
            ServicePort(
                "10.96.0.5",
                "TCP",
                80,
                "default/web:http",
                (Endpoint("10.244.0.2", 8080), Endpoint("10.244.0.3", 8080)),
            ),
        )
    )


def test_endpoints_that_are_not_ready_do_not_serve():
    slices = [endpoint_slice(endpoint("10.244.0.2", ready=False), endpoint("10.244.0.3", ready=True))]
    assert endpoints([service()], slices) == [("10.96.0.5", 80, ["10.244.0.3"])]


def test_terminating_endpoints_serve_only_while_none_is_ready():
    leaving = endpoint("10.244.0.2", ready=False, serving=True, terminating=True)
    gone = endpoint("10.244.0.4", ready=False, serving=False, terminating=True)
    assert endpoints([service()], [endpoint_slice(leaving, gone)]) == [("10.96.0.5", 80, ["10.244.0.2"])]
    assert endpoints([service()], [endpoint_slice(leaving, endpoint("10.244.0.3"))])[0][2] == ["10.244.0.3"]


def test_endpoints_of_several_slices_are_one_set():
    slices = [endpoint_slice(endpoint("10.244.0.2")), endpoint_slice(endpoint("10.244.0.2"), endpoint("10.244.0.3"))]
    assert endpoints([service()], slices)[0][2] == ["10.244.0.2", "10.244.0.3"]


def test_a_port_is_matched_by_name_and_protocol():
    slices = [endpoint_slice(endpoint("10.244.0.2"), port_name="grpc")]
    assert endpoints([service()], slices)[0][2] == []
    dns = [{"name": "http", "port": 80, "protocol": "UDP"}]
    assert endpoints([service(ports=dns)], [endpoint_slice(endpoint("10.244.0.2"))])[0][2] == []


@pytest.mark.parametrize(
    "without",
    [
        service(address="None"),
        service(address=""),
        service(type="ExternalName"),
        service(address="fd00::1"),
        {"metadata": {"name": "web", "namespace": "default"}},
    ],
)
def test_services_without_an_ipv4_cluster_address_are_left_out(without):
    assert services_from([without], []) == ServiceTable()


def headless(uid="u-1"):
    made = service(address="None")
    return {**made, "metadata": {**made["metadata"], "uid": uid}}


def test_an_address_stands_for_the_pods_of_a_headless_service_under_their_own_port():
    slices = [endpoint_slice(endpoint("127.2.0.2"), endpoint("127.2.0.3"))]
    (port,) = services_from([headless()], slices, stand_ins=True).ports
    assert (port.address, port.port) == (stand_in_address(headless()), 8080)
    assert port.endpoints == (Endpoint("127.2.0.2", 8080), Endpoint("127.2.0.3", 8080))
    assert ipaddress.IPv4Address(port.address) in ipaddress.IPv4Network("127.97.0.0/16")


def test_each_headless_service_has_a_stand_in_of_its_own_and_no_other_has_one():
    assert len({stand_in_address(headless(f"u-{number}")) for number in range(20)}) == 20
    assert [stand_in_address(each) for each in (service(), service(type="ExternalName"), {})] == [None] * 3


@pytest.mark.parametrize("number", [0, 70000, "http", None])
def test_a_port_that_is_none_is_left_out(number):
    assert services_from([service(ports=[{"name": "http", "port": number}])], []) == ServiceTable()
    assert endpoints([service()], [endpoint_slice(endpoint("10.244.0.2"), port=number)])[0][2] == []


def test_the_slices_of_another_namespace_or_family_do_not_count():
    elsewhere = endpoint_slice(endpoint("10.244.0.2"))
    elsewhere["metadata"]["namespace"] = "other"
    assert endpoints([service()], [elsewhere, endpoint_slice(endpoint("fd00::2"), addressType="IPv6")])[0][2] == []


def test_the_table_survives_the_way_to_netd():
    table = services_from([service()], [endpoint_slice(endpoint("10.244.0.2"))])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(table), type=ServiceTable) == table
