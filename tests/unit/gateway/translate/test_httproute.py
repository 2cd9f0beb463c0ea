import pytest
from gateway_objects import (
    PROXY,
    backend,
    gateway,
    gateway_class,
    http_listener,
    http_route,
    rule,
    service,
    translated,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir

WEB = service("web", 80)
TO_WEB = backend("web", 80)


def routes(*rules: Object) -> list[ir.Route]:
    host = virtual_host(translated(gateway_class(), gateway(), WEB, http_route("web", *rules)), "*")
    return [route for route in host.routes if route.source]


def path(kind: str, value: str) -> Object:
    return {"path": {"type": kind, "value": value}}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, ir.PathMatch("prefix", "/")),
        (path("PathPrefix", "/a/"), ir.PathMatch("prefix", "/a")),
        (path("Exact", "/a/"), ir.PathMatch("exact", "/a/")),
        (path("RegularExpression", "/v[12]/.*"), ir.PathMatch("regex", "/v[12]/.*")),
    ],
)
def test_paths(match: Object, expected: ir.PathMatch) -> None:
    (route,) = routes(rule(TO_WEB, matches=[match]))
    assert route.match.path == expected
    assert not route.match.grpc


def test_method_headers_and_query() -> None:
    match = {
        "method": "GET",
        "headers": [{"name": "Version", "value": "2"}],
        "queryParams": [{"name": "Animal", "value": "whale"}, {"name": "animal", "value": "cow"}],
    }
    (route,) = routes(rule(TO_WEB, matches=[match]))
    assert route.match.method == "GET"
    assert route.match.headers == (ir.ValueMatch("version", "exact", "2"),)
    assert [one.name for one in route.match.query] == ["Animal", "animal"]


@pytest.mark.parametrize(
    "match",
    [
        path("Exact", "relative"),
        path("Exact", "/a?b"),
        path("PathPrefix", "/a#b"),
        path("Fuzzy", "/"),
        path("Exact", "/\n"),
    ],
)
def test_what_is_no_path_drops_the_rule(match: Object) -> None:
    assert routes(rule(TO_WEB, matches=[match])) == []


def test_timeouts() -> None:
    (route,) = routes(rule(TO_WEB, timeouts={"request": "1m30s", "backendRequest": "500ms"}))
    assert isinstance(route.action, ir.Forward)
    assert route.action.timeouts == ir.Timeouts(request=90, backend_request=0.5)


def test_a_timeout_that_is_no_duration_drops_the_rule() -> None:
    assert routes(rule(TO_WEB, timeouts={"request": "soon"})) == []


def redirect(**more: object) -> Object:
    return {"type": "RequestRedirect", "requestRedirect": more}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (redirect(), ir.Redirect()),
        (redirect(scheme="https", statusCode=301), ir.Redirect(301, "https", port=443)),
        (redirect(scheme="https", port=8443), ir.Redirect(302, "https", port=8443)),
        (redirect(hostname="b.com", port=8080), ir.Redirect(host="b.com", port=8080)),
        (
            redirect(path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}),
            ir.Redirect(path=ir.PathRewrite("prefix", "/new")),
        ),
    ],
)
def test_redirects(wanted: Object, expected: ir.Redirect) -> None:
    (route,) = routes(rule(filters=[wanted]))
    assert route.action == expected


@pytest.mark.parametrize(("port", "expected"), [(80, None), (8080, 8080)])
def test_a_redirect_stays_on_the_port_of_its_listener(port: int, expected: int | None) -> None:
    listening = gateway(http_listener(port=port))
    made = translated(gateway_class(), listening, http_route("web", rule(filters=[redirect(hostname="b.com")])))
    (route, *_) = virtual_host(made, "*", f"{PROXY}/{port}").routes
    assert route.action == ir.Redirect(host="b.com", port=expected)


def test_rewrites() -> None:
    rewrite = {
        "type": "URLRewrite",
        "urlRewrite": {"hostname": "b.com", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}},
    }
    (route,) = routes(rule(TO_WEB, filters=[rewrite]))
    assert isinstance(route.action, ir.Forward)
    assert route.action.host_rewrite == "b.com"
    assert route.action.path_rewrite == ir.PathRewrite("full", "/x")


def test_a_prefix_can_only_be_replaced_where_one_is_matched() -> None:
    rewrite = {
        "type": "URLRewrite",
        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}},
    }
    assert routes(rule(TO_WEB, matches=[path("Exact", "/a")], filters=[rewrite])) == []
    assert len(routes(rule(TO_WEB, matches=[path("PathPrefix", "/a")], filters=[rewrite]))) == 1
