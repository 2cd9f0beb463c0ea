import grpc
import pytest

from roadstead.service.tracing.conventions import (
    is_server_failure,
    method_attributes,
    peer_attributes,
    target_attributes,
    unknown_method_attributes,
)


def test_a_method_is_named_whole():
    assert method_attributes("a.B/C") == {"rpc.system.name": "grpc", "rpc.method": "a.B/C"}


def test_a_name_that_somebody_made_up_is_no_method():
    attributes = unknown_method_attributes("x" * 5000)
    assert attributes == {"rpc.system.name": "grpc", "rpc.method": "_OTHER", "rpc.method_original": "x" * 200}


@pytest.mark.parametrize(("target", "address", "port"), [
    ("users:50051", "users", 50051),
    ("users", "users", None),
    ("dns:///users.shop.svc:50051", "users.shop.svc", 50051),
    ("dns://1.2.3.4/users:50051", "users", 50051),
    ("dns:users:50051", "users", 50051),
    ("10.0.0.7:443", "10.0.0.7", 443),
    ("[::1]:443", "::1", 443),
    ("ipv4:10.0.0.7:443", "10.0.0.7", 443),
    ("ipv6:[::1]:443", "::1", 443),
    ("ipv4:10.0.0.7:443,10.0.0.8:443", "ipv4:10.0.0.7:443,10.0.0.8:443", None),
    ("unix:/run/x.sock", "/run/x.sock", None),
    ("unix:///run/x.sock", "/run/x.sock", None),
    ("xds:///users", "xds:///users", None),
    ("zk://zookeeper:2181/users", "zk://zookeeper:2181/users", None),
    ("", "", None),
])  # fmt: skip
def test_a_target_says_which_server(target, address, port):
    expected = {"server.address": address} | ({} if port is None else {"server.port": port})
    assert target_attributes(target) == expected


@pytest.mark.parametrize(("peer", "address", "port"), [
    ("ipv4:127.0.0.1:5000", "127.0.0.1", 5000),
    ("ipv6:%5B::1%5D:5000", "::1", 5000),
    ("ipv6:[::1]:5000", "::1", 5000),
    ("ipv4:10.0.0.7:5000,10.0.0.8:5000", "10.0.0.7", 5000),
    ("unix:/run/x.sock", "/run/x.sock", None),
    ("unix:", None, None),
    ("", None, None),
    ("nonsense", None, None),
])  # fmt: skip
def test_a_peer_is_an_address_and_a_port(peer, address, port):
    expected = {} if address is None else {"network.peer.address": address}
    assert peer_attributes(peer) == expected | ({} if port is None else {"network.peer.port": port})


def test_a_refusal_is_no_failure_of_the_server():
    assert [code.name for code in grpc.StatusCode if is_server_failure(code)] == [
        "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    ]  # fmt: skip
