import pytest

from roadstead.gateway import ir
from roadstead.gateway.xds.rejections import concise, rejection
from roadstead.gateway.xds.resources import Ref, ResourceType

HTTP = Ref(ResourceType.ROUTES, "http")
DUMP = 'goo.gle/debugonly  name: "http" key { inline_bytes: "very private" }: '
CONSTRAINT = (
    "Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[0]: embedded message failed "
    "validation | caused by VirtualHostValidationError.Routes[1]: embedded message failed validation)"
)


def route(number, match):
    return ir.Route(f"r{number}", match, ir.DirectResponse(404), ir.RouteSource("GRPCRoute", "ns", f"route-{number}"))


def proxy():
    regex = ir.Match(ir.PathMatch("prefix", "/"), headers=(ir.ValueMatch("x", "regex", "a(b"),))
    routes = (
        route(0, ir.Match(ir.PathMatch("exact", "/"))),
        route(1, regex),
        route(2, ir.Match(ir.PathMatch("regex", "(/"))),
    )
    table = ir.RouteTable("http", (ir.VirtualHost("v", ("*",), routes),))
    return ir.Proxy("k", ir.Workload("ns", "w"), route_tables=(table,))


@pytest.mark.parametrize(
    ("message", "resource"),
    [
        ("missing ): a(b", "routes http (GRPCRoute ns/route-1 rule 0)"),
        ("missing ): (/", "routes http (GRPCRoute ns/route-2 rule 0)"),
        (CONSTRAINT, "routes http (GRPCRoute ns/route-1 rule 0)"),
        (CONSTRAINT.replace("Routes[1]", "Routes[9]"), "routes http"),
        ("Duplicate entry of domain foo.com in route http", "routes http"),
    ],
)
def test_the_rule_at_fault_is_named_if_envoy_gives_a_clue(message, resource):
    assert rejection(proxy(), HTTP, message) == ir.Rejection(resource, message)


@pytest.mark.parametrize("ref", [Ref(ResourceType.ROUTES, "other"), Ref(ResourceType.SECRET, "http")])
def test_other_resources_are_named_as_they_are(ref):
    assert rejection(proxy(), ref, "missing ): a(b").resource == str(ref)


def test_without_a_proxy_the_resource_is_all_that_is_known():
    assert rejection(None, HTTP, "missing ): a(b").resource == "routes http"


def test_the_resource_that_envoy_prints_is_left_out():
    assert concise(DUMP + CONSTRAINT) == CONSTRAINT
    assert concise("missing ): a(b") == "missing ): a(b"
    assert len(concise("x" * 5000)) == 1000
