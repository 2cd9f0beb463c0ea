"""What people and programs are told of a request; the proxies come from manifests."""

import gateway_objects as given
import pytest

from roadstead.cli.explain_request import lines
from roadstead.cluster.decision import decision, matched
from roadstead.cluster.routing import Question, ways
from roadstead.gateway.ir import Match, PathMatch, ValueMatch

CANARY = {"headers": [{"name": "env", "value": "canary"}]}
EDITS = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {
        "set": [{"name": "x-env", "value": "prod"}],
        "add": [{"name": "x-via", "value": "gateway"}],
        "remove": ["x-debug"],
    },
}
MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": given.backend("shadow"), "percent": 10}}
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
REWRITE = {
    "type": "URLRewrite",
    "urlRewrite": {"hostname": "in.example.com", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}},
}


def path(value: str, **more):
    return {"path": {"type": "PathPrefix", "value": value}, **more}


ROUTES = [
    given.grpc_route(
        "bar-route",
        given.rule(given.backend("bar-svc-canary"), matches=[CANARY], name="canary"),
        given.rule(
            given.backend("bar-svc", weight=3), given.backend("bar-v2", weight=1), filters=[EDITS, MIRROR], name="all"
        ),
        hostnames=["bar.example.com"],
    ),
    given.grpc_route("lost", given.rule(given.backend("forgotten")), hostnames=["lost.example.com"]),
    given.grpc_route(
        "partly",
        given.rule(given.backend("bar-svc", weight=1), given.backend("forgotten", weight=1)),
        hostnames=["partly.example.com"],
    ),
    given.http_route(
        "web",
        given.rule(matches=[path("/old")], filters=[REDIRECT]),
        given.rule(
            given.backend("bar-svc"),
            matches=[path("/api", method="POST")],
            filters=[REWRITE],
            timeouts={"request": "5s"},
        ),
        hostnames=["web.example.com"],
    ),
    given.tls_route("passed", given.backend("bar-svc", weight=3), given.backend("lost"), hostnames=["tls.example.net"]),
    given.tls_route("ended", given.backend("bar-v2"), hostnames=["ended.example.net"]),
]
QUESTIONS = {
    "canary": ("grpcs://bar.example.com/com.example.User/GetUser", {"env": "canary"}, ""),
    "weights": ("grpcs://bar.example.com/com.example.User/GetUser", {}, ""),
    "missing-backend": ("grpc://lost.example.com/a.B/C", {}, ""),
    "partly-missing-backend": ("grpc://partly.example.com/a.B/C", {}, ""),
    "no-rule": ("https://bar.example.com/index.html", {}, ""),
    "unknown-host": ("grpc://nobody.example.com/a.B/C", {}, ""),
    "redirect": ("http://web.example.com/old/page", {}, ""),
    "rewrite": ("http://web.example.com/api/users?page=2", {}, "POST"),
    "handshake": ("grpcs://foo.example.org/a.B/C", {}, ""),
    "passed-through": ("grpcs://tls.example.net/a.B/C", {}, ""),
    "tls-ended": ("grpcs://ended.example.net/a.B/C", {}, ""),
    "closed": ("grpcs://other.example.net/a.B/C", {}, ""),
}


@pytest.fixture(scope="module")
def proxies():
    names = ("bar-svc", "bar-v2", "bar-svc-canary", "shadow")
    served = [given.service(name) for name in names]
    slices = [given.endpoint_slice("bar-svc", "10.244.0.5", "10.244.0.6"), given.endpoint_slice("bar-v2", "10.244.0.7")]
    certificate = given.secret("example-gateway", given.key_pair("bar.example.com"))
    gateway = given.gateway(
        given.http_listener(hostname="*.example.com"),
        given.https_listener(hostname="*.example.com"),
        given.tls_listener("passing", "*.example.net"),
        given.tls_listener("ending", "ended.example.net", secret="example-gateway"),
    )
    return given.translated(given.gateway_class(), certificate, gateway, *served, *slices, *ROUTES).proxies


@pytest.mark.parametrize("name", QUESTIONS)
def test_decisions(name, proxies, golden) -> None:
    url, headers, method = QUESTIONS[name]
    told = [decision(way) for way in ways(proxies, Question.of(url, headers, method))]
    golden(f"decision-{name}", {"decisions": told, "text": "\n".join(line for each in told for line in lines(each))})


def test_an_ingress_is_named_and_its_redirect_told() -> None:
    port = {"number": 50051}
    backend = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "bar-svc", "port": port}}}
    rules = [{"host": "bar.example.com", "http": {"paths": [backend]}}]
    tls = [{"secretName": "example-gateway", "hosts": ["bar.example.com"]}]
    spec = {"ingressClassName": "nginx", "rules": rules, "tls": tls}
    ingress = given.namespaced("networking.k8s.io/v1", "Ingress", "greeter", spec)
    certificate = given.secret("example-gateway", given.key_pair("bar.example.com"))
    found = given.translated(ingress, certificate, given.service("bar-svc")).proxies
    [way] = ways(found, Question.of("http://bar.example.com/", {}))
    told = decision(way)
    assert told["gateway"] == "Ingress (class nginx)"
    assert told["outcomes"][0]["redirect"] == {"status": 308, "scheme": "https"}


def test_a_match_in_words() -> None:
    match = Match(
        PathMatch("regex", "/v[0-9]+"), "GET", (ValueMatch("env", "regex", "c.*"),), (ValueMatch("page", "exact", "2"),)
    )
    assert matched(match) == "path is like /v[0-9]+, method is GET, header env is like c.*, query parameter page is 2"
    assert matched(Match(PathMatch("prefix", "/"))) == "every request"
    assert matched(Match(PathMatch("prefix", "/"), parts_per_million=250_000)) == "25 % of such requests"
