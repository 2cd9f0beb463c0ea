"""Where proxied requests go, and what of them is passed on."""

import pytest

from roadstead.api.errors import BadRequest, ServiceUnavailable
from roadstead.apiserver.streams.proxy_targets import (
    Named,
    Target,
    answer_headers,
    named,
    pod_target,
    request_head,
    service_targets,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", Named("http", "web", "")),
        ("web:80", Named("http", "web", "80")),
        ("web:grpc", Named("http", "web", "grpc")),
        ("https:web:443", Named("https", "web", "443")),
        ("https:web:", Named("https", "web", "")),
    ],
)
def test_a_name_may_say_scheme_and_port(text, expected):
    assert named(text, "service") == expected


@pytest.mark.parametrize("text", ["", ":80", "ftp:web:21", "a:b:c:d", "http::80"])
def test_other_names_are_refused(text):
    with pytest.raises(BadRequest, match="invalid pod request"):
        named(text, "pod")


def pod(*ports):
    return {"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": p} for p in ports]}]}}


def test_a_pod_is_asked_at_the_port_that_is_named_or_the_first_that_it_declares():
    assert pod_target(pod(8080, 9090), named("web", "pod")) == Target("web", 8080)
    assert pod_target(pod(8080), named("web:9090", "pod")) == Target("web", 9090)
    assert pod_target(pod(), named("web", "pod")) == Target("web", 80)
    assert pod_target(pod(), named("https:web:", "pod")) == Target("web", 443)
    for port in ("http", "0", "65536"):
        with pytest.raises(BadRequest, match="the port must be a number"):
            pod_target(pod(), named(f"web:{port}", "pod"))


SERVICE = {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]}}


def endpoints(*endpoints, **ports):
    return {
        "ports": [{"name": name, "port": port} for name, port in ports.items()],
        "endpoints": [
            {"conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": name}} for name, ready in endpoints
        ],
    }


@pytest.mark.parametrize("port", ["80", "http"])
def test_a_service_is_asked_at_its_ready_pods(port):
    slices = [endpoints(("a", True), ("b", False), http=8080, admin=9090), endpoints(("c", None), http=8081)]
    found = service_targets(SERVICE, slices, named(f"web:{port}", "service"))
    assert found == [Target("a", 8080), Target("c", 8081)]


def test_a_port_without_a_name_needs_none():
    unnamed = {"ports": [{"port": 8080}], "endpoints": [{"targetRef": {"kind": "Pod", "name": "a"}}]}
    assert service_targets({"spec": {"ports": [{"port": 80}]}}, [unnamed], named("web", "service")) == [
        Target("a", 8080)
    ]


@pytest.mark.parametrize(
    ("name", "slices", "words"),
    [
        ("web:82", [], 'no service port 82 found for service "web"'),
        ("web:80", [], 'no endpoints available for service "web"'),
        ("web", [endpoints(("a", True), http=8080)], 'no endpoints available for service "web"'),
        ("web:80", [endpoints(("a", False), http=8080)], 'no endpoints available for service "web"'),
        ("web:80", [{"ports": [{"name": "http", "port": 1}], "endpoints": [{"addresses": ["10.0.0.1"]}]}],
         'no endpoints available for service "web"'),
    ],
)  # fmt: skip
def test_a_service_without_a_pod_to_ask_is_unavailable(name, slices, words):
    with pytest.raises(ServiceUnavailable, match=words):
        service_targets(SERVICE, slices, named(name, "service"))


def test_what_concerns_the_connection_or_the_caller_is_not_passed_on():
    headers = [
        (b"host", b"127.0.0.1:6443"), (b"Authorization", b"Bearer secret"), (b"Impersonate-User", b"jane"),
        (b"Connection", b"close, X-Own"), (b"x-own", b"1"), (b"te", b"trailers"), (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-for", b"1.2.3.4"), (b"Accept", b"*/*"), (b"cookie", b"a=b"),
    ]  # fmt: skip
    head = request_head("POST", b"/a?b=c", b"/api/v1/namespaces/x/pods/y/proxy/a", headers, "127.0.0.1", 3)
    assert head.split(b"\r\n") == [
        b"POST /a?b=c HTTP/1.1",
        b"host: 127.0.0.1:6443",
        b"accept: */*",
        b"cookie: a=b",
        b"x-forwarded-for: 127.0.0.1",
        b"x-forwarded-host: 127.0.0.1:6443",
        b"x-forwarded-proto: https",
        b"x-forwarded-uri: /api/v1/namespaces/x/pods/y/proxy/a",
        b"connection: close",
        b"content-length: 3",
        b"",
        b"",
    ]
    assert b"content-length" not in request_head("GET", b"/", b"/", [], "", 0)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (b"/login", b"/prefix/login"),
        (b"login", b"login"),
        (b"https://elsewhere.example/", b"https://elsewhere.example/"),
        (b"//elsewhere.example/", b"//elsewhere.example/"),
    ],
)
def test_redirects_within_the_pod_lead_through_the_proxy(location, expected):
    headers = [(b"Location", location), (b"Connection", b"keep-alive"), (b"Content-Type", b"text/plain")]
    assert answer_headers(headers, b"/prefix") == [(b"location", expected), (b"content-type", b"text/plain")]
