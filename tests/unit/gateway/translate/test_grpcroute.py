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
    verdict,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir

FOO = service("foo-svc")
TO_FOO = backend("foo-svc")


def routes(*rules: Object) -> list[ir.Route]:
    """Return the lines that a route with these rules adds, without our own last one."""
    host = virtual_host(translated(gateway_class(), gateway(), FOO, grpc_route("foo", *rules)), "*")
    return [route for route in host.routes if route.source]


def matched(match: Object) -> ir.Match:
    (route,) = routes(rule(TO_FOO, matches=[match]))
    return route.match


def conditions(*rules: Object) -> list[Object]:
    translation = translated(gateway_class(), gateway(), FOO, grpc_route("foo", *rules))
    found: list[Object] = status_of(translation, "GRPCRoute", "foo")["parents"][0]["conditions"]
    return found


@pytest.mark.parametrize(
    ("match", "path"),
    [
        (method("com.example.User", "Login"), ir.PathMatch("exact", "/com.example.User/Login")),
        (method("com.example.User"), ir.PathMatch("prefix", "/com.example.User/")),
        (method(name="Login"), ir.PathMatch("regex", "/[^/]+/Login")),
        (method("User|Admin", "Get.*", type="RegularExpression"), ir.PathMatch("regex", "/(?:User|Admin)/(?:Get.*)")),
        (method("User", type="RegularExpression"), ir.PathMatch("regex", "/(?:User)/[^/]+")),
        ({}, ir.PathMatch("prefix", "/")),
    ],
)
def test_methods_become_paths(match: Object, path: ir.PathMatch) -> None:
    assert matched(match).path == path


def test_only_grpc_is_matched() -> None:
    assert matched(method("com.example.User")).grpc


def test_a_rule_without_matches_matches_every_grpc_request() -> None:
    (route,) = routes(rule(TO_FOO))
    assert route.match == ir.Match(ir.PathMatch("prefix", "/"), grpc=True)


def test_matches_of_a_rule_are_alternatives() -> None:
    assert len(routes(rule(TO_FOO, matches=[method("a.B"), method("a.C")]))) == 2


def test_header_names_fold_case_and_the_first_of_equal_names_counts() -> None:
    headers = [{"name": "Env", "value": "canary"}, {"name": "ENV", "value": "other"}, {"name": "x", "value": "1"}]
    assert matched({"headers": headers}).headers == (
        ir.ValueMatch("env", "exact", "canary"),
        ir.ValueMatch("x", "exact", "1"),
    )


def test_headers_may_be_expressions() -> None:
    header = {"type": "RegularExpression", "name": "env", "value": "canary-.*"}
    assert matched({"headers": [header]}).headers == (ir.ValueMatch("env", "regex", "canary-.*"),)


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (method("a.B", type="Fuzzy"), "method.type: Fuzzy is not one of Exact, RegularExpression"),
        (method("a b"), "'a b' is not the name of a gRPC service"),
        (method("a.B", "Log/in"), "'Log/in' is not the name of a gRPC method"),
        (
            method("(", type="RegularExpression"),
            "'(' is not a regular expression of RE2: error parsing regexp: missing ): (",
        ),
        (method("(?=a)", type="RegularExpression"), "invalid perl operator: (?="),
        ({"headers": [{"type": "Fuzzy", "name": "a", "value": "b"}]}, "headers[0].type: Fuzzy is not one of"),
        ({"headers": [{"name": ":path", "value": "b"}]}, "':path' is not the name of a header"),
        ({"headers": [{"name": "a", "value": "b\n"}]}, "control characters"),
    ],
)
def test_a_value_that_is_not_supported_drops_the_rule_and_is_told(match: Object, words: str) -> None:
    bad = rule(TO_FOO, matches=[match])
    assert routes(bad) == []
    found = conditions(bad)
    assert verdict(found, "Accepted") == ("False", "UnsupportedValue")
    assert words in message(found, "Accepted")


def test_rules_beside_a_dropped_one_stay() -> None:
    rules = [rule(TO_FOO, matches=[method("a.B", type="Fuzzy")]), rule(TO_FOO, matches=[method("a.C")])]
    assert [route.source.rule for route in routes(*rules) if route.source] == [1]
    found = conditions(*rules)
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, "PartiallyInvalid") == ("True", "UnsupportedValue")
    assert message(found, "PartiallyInvalid").startswith("Dropped Rule: spec.rules[0].matches[0].method.type")


def test_streams_have_no_timeout_and_only_safe_retries() -> None:
    (route,) = routes(rule(TO_FOO))
    assert isinstance(route.action, ir.Forward)
    assert route.action.timeouts == ir.Timeouts()
    assert route.action.retry == ir.SAFE_RETRY


def test_a_rule_is_named_in_its_lines() -> None:
    (route,) = routes(rule(TO_FOO, name="login"))
    assert route.name == "grpcroute/user-platform/foo/rule/0/match/0"
    assert str(route.source) == "GRPCRoute user-platform/foo rule 0 (login)"
