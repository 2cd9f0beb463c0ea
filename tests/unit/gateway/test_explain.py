import pytest
from gateway_objects import (
    PROXY,
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_listener,
    https_listener,
    key_pair,
    method,
    rule,
    secret,
    service,
    translated,
)

from roadstead.gateway import ir
from roadstead.gateway.explain import Explanation, explain
from roadstead.gateway.matching import Request, mismatch

BAR = grpc_route(
    "bar-route",
    rule(backend("bar-svc-canary"), matches=[{"headers": [{"name": "env", "value": "canary"}]}]),
    rule(backend("bar-svc")),
    hostnames=["bar.example.com"],
)
FOO = grpc_route(
    "foo-route",
    rule(backend("missing"), backend("bar-svc", weight=3), matches=[method("com.example.User", "Login")]),
    hostnames=["foo.example.com"],
)


def answer(host: str, full_method: str, *, port: int = 443, sni: str = "", **headers: str) -> Explanation:
    found = translated(
        gateway_class(),
        gateway(http_listener(), https_listener(hostname="*.example.com")),
        secret("example-gateway", key_pair("*.example.com")),
        service("bar-svc"),
        service("bar-svc-canary"),
        BAR,
        FOO,
    )
    return explain(found.proxies[PROXY], Request.grpc(port, host, full_method, headers, sni or host))


def source(explanation: Explanation) -> str:
    return str(explanation.outcomes[-1].route.source)


def test_the_way_of_a_request_is_told() -> None:
    found = answer("bar.example.com:443", "com.example.User/Login", sni="bar.example.com", env="canary")
    assert found.listener is not None
    assert found.chain is not None
    assert found.host is not None
    assert (found.listener.port, found.chain.name, found.host.name) == (443, "https", "bar.example.com")
    assert source(found) == "GRPCRoute user-platform/bar-route rule 0"
    assert [one.reason for one in found.lost] == [
        "it matches, but GRPCRoute user-platform/bar-route rule 0 comes first"
    ]


def test_a_candidate_that_does_not_match_is_told_why() -> None:
    found = answer("bar.example.com", "com.example.User/Login", env="beta")
    assert source(found) == "GRPCRoute user-platform/bar-route rule 1"
    assert [one.reason for one in found.lost] == ["its header env is 'beta', not 'canary'"]


def test_invalid_backends_take_their_share() -> None:
    found = answer("foo.example.com", "com.example.User/Login")
    assert [(type(one.action).__name__, one.share) for one in found.outcomes] == [
        ("DirectResponse", 0.25),
        ("Forward", 0.75),
    ]


def test_what_nothing_matches_is_answered_by_the_gateway() -> None:
    found = answer("foo.example.com", "com.example.User/Delete")
    assert isinstance(found.outcomes[0].action, ir.DirectResponse)
    assert found.outcomes[0].action.status == 404
    assert found.lost[0].reason == "its path /com.example.User/Delete is not /com.example.User/Login"


@pytest.mark.parametrize(
    ("port", "sni", "words"),
    [
        (8080, "", "nothing listens on port 8080; ports: 80, 443"),
        (443, "other.org", "the TLS handshake fails: other.org is none of *.example.com"),
    ],
)
def test_what_does_not_come_to_routing(port: int, sni: str, words: str) -> None:
    assert answer("foo.example.com", "a.B/C", port=port, sni=sni).refusal == words


@pytest.mark.parametrize(
    ("path", "asked", "matches"),
    [
        (ir.PathMatch("prefix", "/a"), "/a", True),
        (ir.PathMatch("prefix", "/a"), "/a/b", True),
        (ir.PathMatch("prefix", "/a"), "/ab", False),
        (ir.PathMatch("prefix", "/a/"), "/a", False),
        (ir.PathMatch("prefix", "/"), "/anything", True),
        (ir.PathMatch("exact", "/a"), "/a?b=c", True),
        (ir.PathMatch("exact", "/a"), "/a/", False),
        (ir.PathMatch("regex", "/[^/]+/Login"), "/a.B/Login", True),
        (ir.PathMatch("regex", "/[^/]+/Login"), "/a.B/Login/x", False),
    ],
)
def test_paths(path: ir.PathMatch, asked: str, matches: bool) -> None:
    assert (mismatch(ir.Match(path), Request(80, "a.com", asked)) is None) is matches


def test_only_grpc_is_grpc() -> None:
    match = ir.Match(ir.PathMatch("prefix", "/"), grpc=True)
    kinds = ["application/grpc", "application/grpc+proto", "application/grpc-web", "application/json", ""]
    told = [mismatch(match, Request(80, "a.com", "/", headers={"content-type": kind})) for kind in kinds]
    assert [one is None for one in told] == [True, True, False, False, False]


def test_the_first_of_equal_query_parameters_counts() -> None:
    match = ir.Match(ir.PathMatch("prefix", "/"), query=(ir.ValueMatch("a", "exact", "1"),))
    assert mismatch(match, Request(80, "a.com", "/?a=1&a=2")) is None
    assert mismatch(match, Request(80, "a.com", "/?a=2&a=1")) == "its query parameter a is '2', not '1'"
