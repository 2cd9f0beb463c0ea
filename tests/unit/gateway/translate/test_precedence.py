"""Which rule is tried first, over all routes of a listener (grpcroute_types.go, GRPCRouteRule.Matches)."""

from gateway_objects import (
    PROXY,
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_listener,
    http_route,
    https_listener,
    key_pair,
    method,
    order,
    parent,
    rule,
    secret,
    service,
    translated,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.translate import Translation

FOO = service("foo-svc")
TO_FOO = backend("foo-svc")


def served(*found: Object, listeners: tuple[Object, ...] = ()) -> Translation:
    return translated(gateway_class(), gateway(*listeners), FOO, *found)


def matching(*matches: Object) -> Object:
    return rule(TO_FOO, matches=matches)


def header(*names: str) -> list[Object]:
    return [{"name": name, "value": "1"} for name in names]


def test_the_longest_service_then_the_longest_method_then_the_most_headers() -> None:
    route = grpc_route(
        "a",
        matching({}),
        matching({"headers": header("x", "y")}),
        matching(method("a.B")),
        matching(method("a.B", "Get")),
        matching(method("a.B", "GetAll")),
        matching(method("a.B", "Get") | {"headers": header("x")}),
        matching(method("a.LongerService")),
        matching(method(name="Get")),
    )
    tried = order(virtual_host(served(route), "*"))
    assert tried == [f"a/{rule}/0" for rule in (6, 4, 5, 3, 2, 7, 1, 0)]


def test_exact_methods_come_before_expressions() -> None:
    route = grpc_route("a", matching(method("a.*", type="RegularExpression")), matching(method("a.B")))
    assert order(virtual_host(served(route), "*")) == ["a/1/0", "a/0/0"]


def test_ties_go_to_the_first_rule_and_the_first_match() -> None:
    route = grpc_route("a", matching(method("a.B"), method("a.C")), matching(method("a.D")))
    assert order(virtual_host(served(route), "*")) == ["a/0/0", "a/0/1", "a/1/0"]


def test_ties_between_routes_go_to_the_older_then_to_the_name() -> None:
    young = grpc_route("a", matching(method("a.B")), creationTimestamp="2026-11-22T11:30:00Z")
    old = grpc_route("z", matching(method("a.B")), creationTimestamp="2026-11-22T10:30:00Z")
    twin = grpc_route("y", matching(method("a.B")), creationTimestamp="2026-11-22T10:30:00Z")
    assert order(virtual_host(served(young, old, twin), "*")) == ["y/0/0", "z/0/0", "a/0/0"]


def test_a_longer_host_name_wins_over_a_better_match() -> None:
    wide = grpc_route("wide", matching(method("a.B", "Get")), hostnames=["*.example.com"])
    wider = grpc_route("wider", matching(method("a.B", "Get")))
    exact = grpc_route("exact", matching({}), hostnames=["foo.example.com"])
    host = virtual_host(served(wide, wider, exact), "foo.example.com")
    assert order(host) == ["exact/0/0", "wide/0/0", "wider/0/0"]


def test_what_an_exact_host_does_not_match_goes_on_to_the_wildcard() -> None:
    exact = grpc_route("exact", matching(method("a.B")), hostnames=["foo.example.com"])
    wide = grpc_route("wide", matching(method("a.C")), hostnames=["*.example.com"])
    translation = served(exact, wide)
    assert order(virtual_host(translation, "foo.example.com")) == ["exact/0/0", "wide/0/0"]
    assert order(virtual_host(translation, "*.example.com")) == ["wide/0/0"]
    assert order(virtual_host(translation, "*")) == []


def test_grpc_comes_before_http_of_the_same_host() -> None:
    web = http_route("web", matching({"path": {"type": "Exact", "value": "/a.B/Get"}}))
    grpc = grpc_route("grpc", matching({}))
    assert order(virtual_host(served(web, grpc), "*")) == ["grpc/0/0", "web/0/0"]


def test_http_matches_in_order() -> None:
    def at(kind: str, value: str, **more: object) -> Object:
        return matching({"path": {"type": kind, "value": value}, **more})

    route = http_route(
        "a",
        at("PathPrefix", "/"),
        at("PathPrefix", "/long"),
        at("Exact", "/x"),
        at("PathPrefix", "/", method="GET"),
        at("PathPrefix", "/", headers=header("a", "b")),
        at("PathPrefix", "/", headers=header("a"), queryParams=header("q")),
        at("PathPrefix", "/", headers=header("a")),
    )
    assert order(virtual_host(served(route), "*")) == [f"a/{rule}/0" for rule in (2, 1, 3, 4, 5, 6, 0)]


def test_every_host_ends_in_an_answer_of_our_own() -> None:
    host = virtual_host(served(grpc_route("a", matching(method("a.B")), hostnames=["foo.com"])), "foo.com")
    last = host.routes[-1]
    assert last.match == ir.Match(ir.PathMatch("prefix", "/"))
    assert isinstance(last.action, ir.DirectResponse)
    assert last.action.status == 404
    assert "listener http of Gateway user-platform/example-gateway has a rule for foo.com" in last.action.message


# --- listeners ----------------------------------------------------------------------------------------------------


def test_a_host_of_a_narrower_listener_is_its_own_even_without_routes() -> None:
    listeners = (http_listener("any"), http_listener("wide", "*.com"), http_listener("foo", "foo.com"))
    route = grpc_route(
        "a", matching({}), hostnames=["foo.com", "bar.com", "bar.org"], parents=[parent(sectionName="any")]
    )
    translation = served(route, listeners=listeners)
    hosts = {host.name: order(host) for host in translation.proxies[PROXY].route_tables[0].virtual_hosts}
    assert hosts == {"*": [], "*.com": [], "bar.org": ["a/0/0"], "foo.com": []}


def test_a_route_serves_what_is_left_of_its_host_at_each_listener() -> None:
    listeners = (http_listener("wide", "*.example.com"), http_listener("org", "a.org"))
    route = grpc_route("a", matching({}), hostnames=["*.foo.example.com", "a.org", "b.org"])
    names = [host.name for host in served(route, listeners=listeners).proxies[PROXY].route_tables[0].virtual_hosts]
    assert names == ["*", "*.example.com", "*.foo.example.com", "a.org"]


def test_a_host_that_nobody_serves_is_told_so() -> None:
    host = virtual_host(served(listeners=(http_listener("foo", "foo.com"),)), "*")
    (line,) = host.routes
    assert line.action == ir.DirectResponse(404, "no listener serves this host; there are foo (foo.com)")


def test_https_listeners_have_a_table_each_and_send_others_hosts_away() -> None:
    listeners = (https_listener("foo", "foo.com"), https_listener("wide", "*.com"), https_listener("any"))
    certificate = secret("example-gateway", key_pair("foo.com"))
    translation = served(certificate, grpc_route("a", matching({})), listeners=listeners)
    tables = {table.name: table for table in translation.proxies[PROXY].route_tables}
    answers = {
        name.rpartition("/")[2]: {host.name: _status(host) for host in table.virtual_hosts}
        for name, table in tables.items()
    }
    assert answers == {
        "foo": {"foo.com": None, "*.com": 421, "*": 421},
        "wide": {"*.com": None, "foo.com": 421, "*": 421},
        "any": {"*": None, "foo.com": 421, "*.com": 421},
    }


def _status(host: ir.VirtualHost) -> int | None:
    action = host.routes[0].action
    return action.status if isinstance(action, ir.DirectResponse) else None
