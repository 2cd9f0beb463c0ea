"""Routes as Envoy gets them, and the splicing of encoded virtual hosts."""

import pytest
from envoy.config.route.v3 import route_pb2

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.routes import route_configuration, virtual_host

PREFIX = ir.Match(ir.PathMatch("prefix", "/"))
FOO = ir.Forward((ir.Destination("user-platform/foo-svc/50051/h2"),))


def route(match=PREFIX, action=FOO):
    host = ir.VirtualHost("v", ("*",), (ir.Route("r", match, action),))
    return as_json(virtual_host(host))["routes"][0]


def matched(match):
    return route(match)["match"]


def test_an_exact_grpc_method_with_headers(golden):
    headers = (ir.ValueMatch("env", "exact", "canary"), ir.ValueMatch("x-user", "regex", "[a-z]+"))
    golden(
        "route-grpc-method", route(ir.Match(ir.PathMatch("exact", "/com.example.User/Login"), "", headers, grpc=True))
    )


def test_a_forward_with_everything(golden):
    edits = ir.HeaderEdits((("x-set", "1"),), (("x-add", "2"),), ("x-gone",))
    action = ir.Forward(
        (ir.Destination("stable", 90), ir.Destination("canary", 10, edits, edits)),
        edits,
        ir.HeaderEdits(remove=("server",)),
        "internal.example.com",
        ir.PathRewrite("full", "/new\\path"),
        (ir.Mirror("copy", 500_000),),
        ir.Timeouts(10, 3, 60, 30),
        ir.Retry(("connect-failure",), 5, ("unavailable",)),
    )
    golden("route-forward", route(action=action))


def test_a_redirect(golden):
    golden("route-redirect", route(action=ir.Redirect(308, "https", "other.example.com", 8443)))


def test_a_direct_response(golden):
    golden("route-direct-response", route(action=ir.DirectResponse(503, "no backend of this rule can be used")))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (ir.PathMatch("exact", "/a"), {"path": "/a"}),
        (ir.PathMatch("prefix", "/"), {"prefix": "/"}),
        (ir.PathMatch("prefix", "/a"), {"path_separated_prefix": "/a"}),
        (ir.PathMatch("prefix", "/com.example.User/"), {"prefix": "/com.example.User/"}),
        (ir.PathMatch("regex", "/a.*"), {"safe_regex": {"regex": "/a.*"}}),
    ],
)
def test_paths(path, expected):
    assert matched(ir.Match(path)) == expected


def test_method_query_and_share():
    match = ir.Match(PREFIX.path, "GET", query=(ir.ValueMatch("q", "exact", "1"),), parts_per_million=250_000)
    made = matched(match)
    assert made["headers"] == [{"name": ":method", "string_match": {"exact": "GET"}}]
    assert made["query_parameters"] == [{"name": "q", "string_match": {"exact": "1"}}]
    assert made["runtime_fraction"] == {"default_value": {"numerator": 250_000, "denominator": "MILLION"}}


@pytest.mark.parametrize(
    ("prefix", "replacement", "expected"),
    [
        ("/old", "/new", {"prefix_rewrite": "/new"}),
        ("/old", "/new/", {"prefix_rewrite": "/new"}),
        ("/old", "/", {"regex_rewrite": {"pattern": {"regex": "^/old/*"}, "substitution": "/"}}),
        ("/", "/new", {"prefix_rewrite": "/new/"}),
        ("/", "/", {"prefix_rewrite": "/"}),
    ],
)
def test_a_prefix_is_replaced_without_doubling_or_losing_a_slash(prefix, replacement, expected):
    rewrite = ir.PathRewrite("prefix", replacement)
    made = route(ir.Match(ir.PathMatch("prefix", prefix)), ir.Forward(FOO.destinations, path_rewrite=rewrite))
    assert expected.items() <= made["route"].items()


def test_no_time_limit_but_the_clients_own():
    action = route()["route"]
    assert action["timeout"] == "0s"
    assert "idle_timeout" not in action  # The listener's own is off.
    assert action["max_stream_duration"] == {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"}


@pytest.mark.parametrize(
    ("timeouts", "retry", "limit"),
    [
        (ir.Timeouts(request=3, backend_request=2), ir.SAFE_RETRY, "3s"),
        (ir.Timeouts(backend_request=2), ir.SAFE_RETRY, "0s"),
        (ir.Timeouts(backend_request=2), None, "2s"),
    ],
)
def test_a_time_limit_is_where_envoy_looks_for_it(timeouts, retry, limit):
    action = route(action=ir.Forward(FOO.destinations, timeouts=timeouts, retry=retry))["route"]
    assert (action["timeout"], action["max_stream_duration"]["max_stream_duration"]) == (limit, limit)
    assert retry is None or action["retry_policy"]["per_try_timeout"] == "2s"


def test_the_host_is_set_by_rewrite_and_pseudo_headers_not_at_all():
    edits = ir.HeaderEdits((("Host", "inner"), (":path", "/x"), ("x", "1")), remove=("host", ":authority"))
    made = route(action=ir.Forward(FOO.destinations, edits))
    assert made["route"]["host_rewrite_literal"] == "inner"
    assert [each["header"]["key"] for each in made["request_headers_to_add"]] == ["x"]
    assert "request_headers_to_remove" not in made


def test_no_retry_where_none_is_wanted():
    assert "retry_policy" not in route(action=ir.Forward(FOO.destinations, retry=None))["route"]


def test_a_long_message_is_cut_at_a_character():
    body = route(action=ir.DirectResponse(404, "é" * 4000))["direct_response"]["body"]["inline_string"]
    assert body == "é" * 2048


def test_spliced_hosts_are_what_protobuf_would_write():
    hosts = tuple(
        ir.VirtualHost(f"h{number}", (f"h{number}.example.com",), (ir.Route("r", PREFIX, FOO),) * number)
        for number in range(5)
    )
    spliced = route_pb2.RouteConfiguration.FromString(route_configuration(ir.RouteTable("t", hosts)))
    assert list(spliced.virtual_hosts) == [virtual_host(host) for host in hosts]
    assert spliced.name == "t"
    assert spliced.ignore_port_in_host_matching


def test_a_retry_names_codes_and_waits_between_tries():
    retry = ir.Retry(("reset",), 3, ("unavailable",), codes=(500, 503), backoff=0.1)
    action = ir.Forward((ir.Destination("c"),), retry=retry)
    policy = route(action=action)["route"]["retry_policy"]
    assert policy.pop("retry_host_predicate")
    assert policy == {
        "retry_on": "reset,unavailable,retriable-status-codes",
        "num_retries": 3,
        "retriable_status_codes": [500, 503],
        "retry_back_off": {"base_interval": "0.100s", "max_interval": "1s"},
        "host_selection_retry_max_attempts": "3",
    }
