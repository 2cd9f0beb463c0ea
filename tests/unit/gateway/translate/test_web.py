import pytest
from gateway_objects import (
    backend,
    gateway,
    gateway_class,
    grpc_route,
    message,
    method,
    rule,
    service,
    status_of,
    translated,
    virtual_host,
)

from roadstead.gateway import ir
from roadstead.gateway.explain import explain
from roadstead.gateway.matching import Request
from roadstead.gateway.statuses import ANNOTATIONS_USABLE
from roadstead.gateway.translate import Translation

FOO = service("foo-svc")
LOGIN = method("com.example.User", "Login")
ON = {"roadstead.dev/grpc-web": "true"}
FROM_APP = {"roadstead.dev/cors-allow-origins": "https://app.example.com"}


def translation(annotations: dict[str, str], *backends: str) -> Translation:
    to = [backend(name) for name in backends or ("foo-svc",)]
    canary = LOGIN | {"headers": [{"name": "env", "value": "canary"}]}
    route = grpc_route("foo", rule(*to, matches=[LOGIN, canary]), annotations=annotations)
    return translated(gateway_class(), gateway(), FOO, route)


def lines(found: Translation) -> list[ir.Route]:
    return [route for route in virtual_host(found, "*").routes if route.source]


def test_each_line_is_there_for_grpc_web_too() -> None:
    canary, canary_web, stable, stable_web = lines(translation(ON))
    assert (canary.match.grpc, canary.web, stable.web) == (True, None, None)
    assert canary_web.name == f"{canary.name}/web"
    assert [one.name for one in canary_web.match.headers] == ["env", "content-type"]
    assert stable_web.web == ir.Web()
    assert stable_web.action == stable.action


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("application/grpc", "match/0"),
        ("application/grpc-web", "match/0/web"),
        ("application/grpc-web+proto", "match/0/web"),
        ("application/grpc-web-text; charset=utf-8", "match/0/web"),
        ("application/grpc-webb", "unmatched"),
        ("application/json", "unmatched"),
    ],
)
def test_the_content_type_tells_which_line_is_meant(content: str, line: str) -> None:
    proxy = translation(ON).proxies["gateway/user-platform/example-gateway"]
    request = Request(80, "foo.example.com", "/com.example.User/Login", "POST", {"content-type": content})
    (outcome,) = explain(proxy, request).outcomes
    assert outcome.route.name.endswith(line)


def test_lines_for_browsers_are_no_candidates_of_a_grpc_request() -> None:
    proxy = translation(ON | FROM_APP).proxies["gateway/user-platform/example-gateway"]
    grpc = explain(proxy, Request.grpc(80, "foo.example.com", "com.example.User/Delete"))
    assert [one.route.match.grpc for one in grpc.lost] == [True, True]
    other = explain(proxy, Request(80, "foo.example.com", "/com.example.User/Delete"))
    assert len(other.lost) == 6


def test_a_browser_asks_without_the_headers_of_the_call() -> None:
    asked = [route for route in lines(translation(ON | FROM_APP)) if route.name.endswith("/preflight")]
    assert [route.match.headers for route in asked] == [
        (ir.ValueMatch("access-control-request-method", "regex", "[A-Z]+"),)
    ] * 2
    assert {route.match.method for route in asked} == {"OPTIONS"}
    cors = asked[0].web.cors if asked[0].web else None
    assert cors is not None
    assert cors.origins == (r"https://app\.example\.com",)
    assert {"grpc-timeout", "authorization"} <= set(cors.headers)
    assert "grpc-status" in cors.exposed_headers


def test_what_is_refused_is_refused_to_browsers_too() -> None:
    found = lines(translation(ON | FROM_APP, "gone"))
    assert {type(route.action) for route in found} == {ir.DirectResponse}
    assert {route.name.rpartition("/")[2] for route in found} == {"0", "1", "web"}


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (FROM_APP, "cors-allow-origins]: has no effect without roadstead.dev/grpc-web: true"),
        (ON | {"roadstead.dev/cors-max-age": "1m"}, "cors-max-age]: has no effect without "),
        (
            ON | {"roadstead.dev/cors-allow-origins": "*", "roadstead.dev/cors-allow-credentials": "true"},
            "cors-allow-credentials]: not with every origin (*): name those that are trusted",
        ),
        (ON | {"roadstead.dev/cors-allow-origins": "app.example.com"}, "is not a list of origins like https://"),
        ({"roadstead.dev/grpc-web": "yes"}, "'yes' is not true or false"),
        (ON | FROM_APP | {"roadstead.dev/cors-allow-headers": "a b"}, "'a b' is not a list of names of headers"),
    ],
)
def test_contradictions_are_said(annotations: dict[str, str], said: str) -> None:
    found = status_of(translation(annotations), "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert said in message(found, ANNOTATIONS_USABLE)


def test_credentials_are_never_let_through_from_everywhere() -> None:
    everywhere = {"roadstead.dev/cors-allow-origins": "*", "roadstead.dev/cors-allow-credentials": "true"}
    web = next(route.web for route in lines(translation(ON | everywhere)) if route.web)
    assert web.cors is not None
    assert not web.cors.credentials
