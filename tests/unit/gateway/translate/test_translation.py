"""Properties of the whole: nothing that a user writes makes it raise, is refused by the encoder, or disturbs others."""

import copy
from typing import Any

from gateway_objects import (
    PROXY,
    backend,
    endpoint_slice,
    gateway,
    gateway_class,
    grant,
    grpc_route,
    http_listener,
    http_route,
    https_listener,
    key_pair,
    method,
    namespaced,
    resources,
    rule,
    secret,
    service,
    stored,
    tcp_listener,
    tcp_route,
    tls_listener,
    tls_route,
    virtual_host,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.objects import Object
from roadstead.gateway.ir import FilterChain
from roadstead.gateway.statuses import patch_for
from roadstead.gateway.translate import Translation, translate
from roadstead.gateway.xds.snapshot import Encoder, NodeSettings

ODD_TEXTS = st.sampled_from(
    [
        "",
        "*",
        "/",
        "a b",
        "\x00",
        "é",
        "(",
        "Exact",
        "GRPC",
        "HTTPS",
        "Same",
        "Secret",
        "foo-svc",
        "..",
        "%",
        "a" * 300,
        "TLS",
        "Passthrough",
        "odd.com",
        "*.pass.com",
        "1.3",
        "500ms",
        "true",
        "roadstead.dev/x",
    ]
)
ODD_NUMBERS = st.sampled_from([-1, 0, 1, 80, 443, 65536, 10**12]) | st.floats(allow_nan=False)
ODD = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXTS, inner, max_size=3),
    max_leaves=6,
)

EDITS = {"set": [{"name": "a", "value": "b"}], "add": [{"name": "c", "value": "d"}], "remove": ["e"]}
FILTERS = [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": EDITS},
    {"type": "ResponseHeaderModifier", "responseHeaderModifier": EDITS},
    {"type": "RequestMirror", "requestMirror": {"backendRef": backend("foo-svc"), "percent": 10}},
]
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "hostname": "a.com", "statusCode": 301}}
REWRITE = {
    "type": "URLRewrite",
    "urlRewrite": {"hostname": "a.com", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}},
}
CORS = {
    "type": "CORS",
    "cors": {
        "allowOrigins": ["https://*.odd.com", "http://a.com:8080"],
        "allowMethods": ["*"],
        "allowHeaders": ["a"],
        "exposeHeaders": ["b"],
        "allowCredentials": True,
        "maxAge": 60,
    },
}
OPTIONS = {
    "roadstead.dev/min-tls-version": "1.2",
    "roadstead.dev/cipher-suites": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "example.com/option": "x",
}
ANNOTATED = {
    "timeout": "10s",
    "maximum-timeout": "1h",
    "idle-timeout": "1m",
    "retry-on": "UNAVAILABLE",
    "retry-attempts": "3",
    "retry-backoff": "10ms",
    "grpc-web": "true",
    "cors-allow-origins": "https://a.com",
    "cors-allow-headers": "x-a",
    "cors-expose-headers": "x-b",
    "cors-allow-credentials": "true",
    "cors-max-age": "1m",
}
AUTHORITIES = {"group": "", "kind": "ConfigMap", "name": "authorities"}
EVERYTHING: list[Object] = [
    gateway_class(),
    gateway(
        http_listener(
            "odd", "*.odd.com", allowedRoutes={"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}
        ),
        http_listener("other", port=8080, allowedRoutes={"namespaces": {"from": "Selector", "selector": {}}}),
        https_listener(hostname="odd.com", tls={"certificateRefs": [{"name": "example-gateway"}], "options": OPTIONS}),
        http_listener("good", "good.com"),
        tls_listener("good-tls", "good.net"),
        tcp_listener(),
        tls_listener("passing", "*.pass.com", tls={"mode": "Passthrough", "options": OPTIONS}),
        tls_listener(
            "ending",
            "end.pass.com",
            tls={"mode": "Terminate", "certificateRefs": [{"name": "example-gateway"}], "options": OPTIONS},
        ),
        addresses=[],
        tls={
            "frontend": {
                "default": {"validation": {"caCertificateRefs": [AUTHORITIES], "mode": "AllowInsecureFallback"}},
                "perPort": [{"port": 8443, "tls": {"validation": {"caCertificateRefs": [AUTHORITIES]}}}],
            },
            "backend": {"clientCertificateRef": {"name": "example-gateway"}},
        },
        allowedListeners={"namespaces": {"from": "Same", "selector": {"matchLabels": {"a": "b"}}}},
        infrastructure={"labels": {"a": "b"}},
    ),
    namespaced(
        "gateway.networking.k8s.io/v1",
        "ListenerSet",
        "odd-set",
        {
            "parentRef": {"kind": "Gateway", "name": "example-gateway"},
            "listeners": [
                http_listener("odd", "set.odd.com"),
                https_listener("secure", hostname="set.odd.com"),
                tls_listener("passing", "set.pass.com"),
            ],
        },
    ),
    grpc_route(
        "odd",
        rule(
            backend("foo-svc", weight=3, filters=FILTERS[:1]),
            backend("missing"),
            matches=[method("a.B", "C") | {"headers": [{"name": "a", "value": "b", "type": "RegularExpression"}]}],
            filters=FILTERS,
            name="first",
            sessionPersistence={"type": "Cookie", "sessionName": "s", "absoluteTimeout": "1h"},
        ),
        hostnames=["a.odd.com"],
        annotations={f"roadstead.dev/{name}": value for name, value in ANNOTATED.items()},
    ),
    tls_route(
        "odd-tls",
        backend("foo-svc", weight=3),
        backend("missing", weight=1),
        hostnames=["a.pass.com", "*.pass.com"],
        rule={"name": "only"},
        parents=[{"name": "example-gateway"}, {"kind": "ListenerSet", "name": "odd-set", "sectionName": "passing"}],
    ),
    tcp_route("odd-tcp", backend("foo-svc", weight=1), backend("missing", weight=1)),
    http_route(
        "odd-web",
        rule(
            backend("foo-svc"),
            matches=[
                {
                    "path": {"type": "PathPrefix", "value": "/a"},
                    "method": "GET",
                    "queryParams": [{"name": "a", "value": "b"}],
                }
            ],
            filters=[REWRITE, CORS],
            timeouts={"request": "1s", "backendRequest": "500ms"},
            retry={"codes": [500, 503], "attempts": 2, "backoff": "10ms"},
        ),
        rule(matches=[{"path": {"type": "Exact", "value": "/b"}}], filters=[REDIRECT]),
        parents=[{"name": "example-gateway"}, {"kind": "ListenerSet", "name": "odd-set", "sectionName": "odd"}],
    ),
    service("foo-svc", appProtocol="kubernetes.io/h2c"),
    namespaced(
        "gateway.networking.k8s.io/v1",
        "BackendTLSPolicy",
        "odd",
        {
            "targetRefs": [{"group": "", "kind": "Service", "name": "foo-svc", "sectionName": "grpc"}],
            "validation": {
                "hostname": "foo.internal",
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "authorities"}],
                "subjectAltNames": [{"type": "URI", "uri": "spiffe://a/b"}],
            },
        },
    ),
    stored(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "authorities", "namespace": "user-platform"},
            "data": {"ca.crt": key_pair("ca").certificate.decode()},
        }
    ),
    endpoint_slice("foo-svc", "10.0.0.1", "10.0.0.2"),
    secret("example-gateway", key_pair("odd.com")),
    grant("elsewhere", [("gateway.networking.k8s.io", "GRPCRoute", "user-platform")], [("", "Service", "x")]),
    namespaced(
        "networking.k8s.io/v1",
        "Ingress",
        "odd",
        {
            "ingressClassName": "nginx",
            "rules": [
                {
                    "host": "odd.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/a",
                                "pathType": "ImplementationSpecific",
                                "backend": {"service": {"name": "foo-svc", "port": {"number": 50051}}},
                            }
                        ]
                    },
                }
            ],
            "tls": [{"hosts": ["odd.com"], "secretName": "example-gateway"}],
        },
        annotations={"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"},
    ),
]
GOOD = [
    service("good-svc"),
    endpoint_slice("good-svc", "10.0.1.1"),
    grpc_route("good", rule(backend("good-svc"), matches=[method("good.Service")]), hostnames=["good.com"]),
    tls_route("good-tls", backend("good-svc"), hostnames=["good.net"]),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value below one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(*path, key), *places(item, (*path, key))]]


SPOILABLE = [
    (index, path)
    for index, obj in enumerate(EVERYTHING)
    for top in ("spec", "data", "type", "ports", "endpoints", "addressType")
    if top in obj
    for path in [(top,), *((top, *below) for below in places(obj[top]))]
] + [
    (index, ("metadata", "annotations", *below))
    for index, obj in enumerate(EVERYTHING)
    for below in [(), *places(obj["metadata"].get("annotations"))]
]


@st.composite
def spoiled(draw: st.DrawFn) -> list[Object]:
    """Return a good cluster in which a few values are replaced by odd ones or taken away."""
    found = copy.deepcopy(EVERYTHING)
    for index, path in draw(st.lists(st.sampled_from(SPOILABLE), min_size=1, max_size=4)):
        _replace(found[index], path, draw(ODD), remove=draw(st.booleans()))
    return found


def _replace(value: Any, path: tuple[Any, ...], odd: Any, *, remove: bool) -> None:
    for key in path[:-1]:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return  # spoiled before
    if not isinstance(value, dict | list):
        return
    if remove and isinstance(value, dict):
        value.pop(path[-1], None)
    elif isinstance(value, dict) or (isinstance(path[-1], int) and path[-1] < len(value)):
        value[path[-1]] = odd


@settings(max_examples=300)
@given(spoiled())
def test_nothing_makes_it_raise_and_all_of_it_can_be_encoded_and_written(found: list[Object]) -> None:
    known = resources(found)
    translation = translate(known)
    for proxy in translation.proxies.values():
        encoder = Encoder(NodeSettings())
        encoder.encode(proxy)
        assert encoder.refused == ()
    by_key = {(obj["kind"], obj["metadata"]["name"]): obj for obj in found}
    for update in translation.statuses:
        patch_for(update, by_key[update.kind, update.key.name], "2026-11-22T12:00:00Z")


@settings(max_examples=100)
@given(spoiled().map(lambda found: [*found[2:], *EVERYTHING[:2]]))
def test_what_is_good_is_served_whatever_is_odd_beside_it(found: list[Object]) -> None:
    alone = translate(resources([*EVERYTHING[:2], *GOOD]))
    beside = translate(resources([*found, *GOOD]))
    good = virtual_host(alone, "good.com").routes[0]
    assert good in virtual_host(beside, "good.com").routes
    assert _chain(beside, "good.net") == _chain(alone, "good.net")
    assert all(cluster in beside.proxies[PROXY].clusters for cluster in alone.proxies[PROXY].clusters)


def _chain(translation: Translation, name: str) -> FilterChain:
    chains = (chain for listener in translation.proxies[PROXY].listeners for chain in listener.chains)
    return next(chain for chain in chains if name in chain.server_names)


def test_equal_input_gives_equal_output_whatever_its_order() -> None:
    found = [*EVERYTHING, *GOOD]
    assert translate(resources(found)).proxies == translate(resources(found[::-1])).proxies


def test_an_endpoint_that_comes_or_goes_changes_endpoints_only() -> None:
    before = translate(resources([*EVERYTHING, *GOOD])).proxies[PROXY]
    more = endpoint_slice("good-svc", "10.0.1.2")
    more["metadata"]["name"] = "good-svc-second"
    after = translate(resources([*EVERYTHING, *GOOD, more])).proxies[PROXY]
    assert [one for one in after.endpoints if one not in before.endpoints] == [after.endpoints[-1]]
    assert (after.listeners, after.route_tables, after.clusters) == (
        before.listeners,
        before.route_tables,
        before.clusters,
    )
