from roadstead.gateway import ir
from roadstead.gateway.xds.endpoints import load_assignment
from roadstead.gateway.xds.messages import as_json


def test_a_load_assignment(golden):
    endpoints = (ir.Endpoint("10.244.0.3", 50051, "foo-1"), ir.Endpoint("10.244.0.4", 50051, "foo-2"))
    message = load_assignment(ir.EndpointSet("user-platform/foo-svc/50051", endpoints))
    golden("endpoints", as_json(message))


def test_nobody_there_is_no_locality_either():
    assert not load_assignment(ir.EndpointSet("empty", ())).endpoints
