from typing import Any

import pytest
from gateway_objects import NAMESPACE, endpoint_slice, key_pair, namespaced, secret, service, stored, translated

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.translate import Translation
from roadstead.lib.pki import KeyPair

HOST = "grpctest.dev.mydomain.com"
NGINX = "nginx.ingress.kubernetes.io/"
GREETER = service("go-grpc-greeter-server", 80)
PAIR = key_pair("*.dev.mydomain.com")
WILDCARD = secret("wildcard.dev.mydomain.com", PAIR)
FAKE = ir.Certificate("default-certificate", b"", ir.PrivateKey(b""))


def path(path: str = "/", kind: str = "Prefix", name: str = "go-grpc-greeter-server", port: Any = 80) -> Object:
    place = {"name": port} if isinstance(port, str) else {"number": port}
    return {"path": path, "pathType": kind, "backend": {"service": {"name": name, "port": place}}}


def ingress(*paths: Object, name: str = "greeter", host: str = HOST, tls: Any = (), **annotations: str) -> Object:
    spec = {
        "ingressClassName": "nginx",
        "rules": [{"host": host, "http": {"paths": list(paths) or [path()]}}],
        "tls": list(tls),
    }
    noted = {NGINX + key.replace("_", "-"): value for key, value in annotations.items()}
    return namespaced("networking.k8s.io/v1", "Ingress", name, spec, annotations=noted)


TLS = [{"secretName": "wildcard.dev.mydomain.com", "hosts": [HOST]}]
THE_FIELDS_OWN = ingress(tls=TLS, ssl_redirect="true", backend_protocol="GRPC")


def served(*found: Object) -> Translation:
    return translated(GREETER, *found, default_certificate=FAKE)


def proxy(*found: Object) -> ir.Proxy:
    return served(*found).proxies[ir.INGRESS_PROXY_KEY]


def lines(port: int, *found: Object, host: str = HOST) -> list[ir.Route]:
    table = next(one for one in proxy(*found).route_tables if one.name == f"ingress/nginx/{port}")
    served_host = next(one for one in table.virtual_hosts if host in one.domains)
    return [route for route in served_host.routes if route.source]


def forward(*found: Object) -> ir.Forward:
    (route,) = lines(443, *found)
    assert isinstance(route.action, ir.Forward)
    return route.action


def test_every_request_has_an_id_as_behind_ingress_nginx() -> None:
    assert proxy(THE_FIELDS_OWN).telemetry == ir.Telemetry()


def told(*found: Object) -> list[str]:
    return [notice.message for notice in served(*found).notices]


def chains(*found: Object) -> dict[str, tuple[str, ...]]:
    listener = next(one for one in proxy(*found).listeners if one.port == 443)
    return {chain.name: chain.tls.certificates for chain in listener.chains if chain.tls}


def test_the_fields_ingress_serves_grpc_over_tls_and_redirects_plain_http() -> None:
    assert chains(THE_FIELDS_OWN, WILDCARD) == {
        HOST: ("user-platform/wildcard.dev.mydomain.com",),
        "default": ("default-certificate",),
    }
    (plain,) = lines(80, THE_FIELDS_OWN, WILDCARD)
    assert plain.action == ir.Redirect(308, "https")
    found = forward(THE_FIELDS_OWN, WILDCARD)
    assert [one.cluster for one in found.destinations] == ["user-platform/go-grpc-greeter-server/80/h2"]
    assert told(THE_FIELDS_OWN, WILDCARD) == []


def test_a_redirect_goes_where_this_host_serves_https() -> None:
    balancer = service("roadstead-ingress", 80, namespace="roadstead-system")
    balancer["metadata"]["annotations"] = {"roadstead.dev/host-ports": "443=8443,80=8080"}
    (plain,) = lines(80, THE_FIELDS_OWN, WILDCARD, balancer)
    assert plain.action == ir.Redirect(308, "https", port=8443)


@pytest.mark.parametrize(
    ("obj", "redirects"),
    [
        (ingress(), False),
        (ingress(tls=TLS), True),
        (ingress(tls=TLS, ssl_redirect="false"), False),
        (ingress(force_ssl_redirect="true"), True),
        (ingress(path("/.well-known/acme-challenge/x"), force_ssl_redirect="true"), False),
        (ingress(tls=[{"secretName": "missing"}]), True),
    ],
)
def test_plain_http_redirects_where_the_host_has_a_certificate_or_must(obj: Object, redirects: bool) -> None:
    (plain,) = lines(80, obj, WILDCARD)
    assert isinstance(plain.action, ir.Redirect) is redirects


@pytest.mark.parametrize(
    ("annotation", "cluster", "tls"),
    [
        ("GRPC", "h2", None),
        ("grpc", "h2", None),
        ("GRPCS", "h2-tls", ir.UpstreamTls(verify=False)),
        ("HTTP", "http1", None),
        ("HTTPS", "http1-tls", ir.UpstreamTls(verify=False)),
        ("FANCY", "http1", None),
    ],
)
def test_the_backend_protocol(annotation: str, cluster: str, tls: ir.UpstreamTls | None) -> None:
    (found,) = proxy(ingress(backend_protocol=annotation)).clusters
    assert found.name == f"user-platform/go-grpc-greeter-server/80/{cluster}"
    assert found.tls == tls


def test_what_has_no_effect_is_told() -> None:
    (message,) = told(ingress(server_snippet="x", proxy_body_size="0"))
    assert message == "annotations without effect here: nginx.ingress.kubernetes.io/server-snippet"


@pytest.mark.parametrize(
    ("tls", "found", "words"),
    [
        ([{"secretName": "missing", "hosts": [HOST]}], WILDCARD, "Secret user-platform/missing does not exist"),
        ([{"hosts": [HOST]}], WILDCARD, "spec.tls names no secretName"),
        (
            [{"secretName": "other", "hosts": [HOST]}],
            secret("other", key_pair("service.local")),
            "Secret user-platform/other (service.local) does not cover it",
        ),
        (
            [{"secretName": "other", "hosts": [HOST]}],
            secret("other", KeyPair(b"x", b"y")),
            "tls.crt holds no PEM certificate",
        ),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told_and_replaced(tls: Any, found: Object, words: str) -> None:
    assert list(chains(ingress(tls=tls), found)) == ["default"]
    (message,) = told(ingress(tls=tls), found)
    assert message.startswith(f"host {HOST} gets the default certificate, which clients refuse: ")
    assert words in message


def test_a_secret_that_covers_the_host_is_taken_from_any_tls_section() -> None:
    sections = [{"secretName": "missing"}, {"secretName": "wildcard.dev.mydomain.com"}]
    assert HOST in chains(ingress(tls=sections), WILDCARD)


def test_paths_are_tried_exact_first_then_the_longest() -> None:
    obj = ingress(path("/"), path("/a.B/"), path("/a.B/Get", "Exact"), path("/plain", "ImplementationSpecific"))
    assert [(one.match.path.kind, one.match.path.value) for one in lines(443, obj)] == [
        ("exact", "/a.B/Get"),
        ("regex", "/plain.*"),
        ("prefix", "/a.B"),
        ("prefix", "/"),
    ]


def test_of_two_claims_on_a_path_the_older_wins_and_the_younger_is_told() -> None:
    old = ingress(name="z")
    young = ingress(name="a")
    young["metadata"]["creationTimestamp"] = "2026-11-22T11:59:00Z"
    (line,) = lines(443, young, old)
    assert line.source is not None
    assert line.source.name == "z"
    assert told(young, old) == [f"host {HOST} path / is served by Ingress user-platform/z, which is older"]


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (path(name="missing"), "Service user-platform/missing does not exist"),
        (path(port=81), "has no port 81; it has 80"),
        (path(port="web"), "has no port web; it has 80"),
    ],
)
def test_a_backend_that_leads_nowhere_is_unavailable_and_told(backend: Object, words: str) -> None:
    (line,) = lines(443, ingress(backend))
    assert isinstance(line.action, ir.DirectResponse)
    assert line.action.status == 503
    assert words in line.action.message
    assert words in told(ingress(backend))[0]


def test_a_port_may_be_named() -> None:
    assert (
        forward(ingress(path(port="grpc"))).destinations[0].cluster == "user-platform/go-grpc-greeter-server/80/http1"
    )


def test_a_default_backend_takes_every_host() -> None:
    spec = {"ingressClassName": "nginx", "defaultBackend": path()["backend"]}
    (line,) = lines(443, namespaced("networking.k8s.io/v1", "Ingress", "all", spec), host="*")
    assert isinstance(line.action, ir.Forward)


CANARY = service("canary", 80)


def canary(**annotations: str) -> list[ir.Route]:
    other = ingress(path(name="canary"), name="canary", canary="true", **annotations)
    return lines(443, ingress(backend_protocol="GRPC"), other, CANARY)


def chosen(route: ir.Route) -> dict[str, int]:
    assert isinstance(route.action, ir.Forward)
    return {one.cluster.split("/")[1]: one.weight for one in route.action.destinations}


def test_a_canary_by_weight_inherits_the_protocol() -> None:
    (line,) = canary(canary_weight="30")
    assert chosen(line) == {"go-grpc-greeter-server": 70, "canary": 30}
    assert isinstance(line.action, ir.Forward)
    assert all(one.cluster.endswith("/h2") for one in line.action.destinations)


def test_a_canary_by_header_comes_before_its_weight() -> None:
    always, never, others = canary(canary_by_header="X-Canary", canary_weight="10")
    assert always.match.headers == (ir.ValueMatch("x-canary", "exact", "always"),)
    assert never.match.headers == (ir.ValueMatch("x-canary", "exact", "never"),)
    assert [chosen(one) for one in (always, never, others)] == [
        {"canary": 1},
        {"go-grpc-greeter-server": 1},
        {"go-grpc-greeter-server": 90, "canary": 10},
    ]


def test_a_canary_by_header_value_lets_every_other_value_go_on() -> None:
    exactly, others = canary(canary_by_header="env", canary_by_header_value="canary")
    assert exactly.match.headers == (ir.ValueMatch("env", "exact", "canary"),)
    assert chosen(others) == {"go-grpc-greeter-server": 100}


def test_a_canary_alone_is_told() -> None:
    (message,) = told(ingress(canary="true"))
    assert "canary without a main Ingress" in message


def test_the_address_of_the_proxy_is_that_of_every_ingress() -> None:
    balancer = service("roadstead-ingress", 80, namespace="roadstead-system")
    balancer["status"] = {"loadBalancer": {"ingress": [{"ip": "127.1.0.2"}]}}
    pods = endpoint_slice("roadstead-ingress", "10.244.0.2", namespace="roadstead-system")
    (update,) = served(ingress(), balancer, pods).statuses
    assert (update.kind, update.key.namespace) == ("Ingress", NAMESPACE)
    assert update.status == {"loadBalancer": {"ingress": [{"ip": "127.1.0.2"}]}}


@pytest.mark.parametrize(
    ("spec", "annotations", "controller", "ours"),
    [
        ({"ingressClassName": "nginx"}, {}, "", True),
        ({}, {"kubernetes.io/ingress.class": "nginx"}, "", True),
        ({"ingressClassName": "edge"}, {}, "k8s.io/ingress-nginx", True),
        ({"ingressClassName": "edge"}, {}, "example.com/other", False),
        ({}, {}, "", False),
        ({}, {}, "k8s.io/ingress-nginx", True),
    ],
)
def test_which_ingresses_are_ours(spec: Object, annotations: Object, controller: str, ours: bool) -> None:
    found = [namespaced("networking.k8s.io/v1", "Ingress", "x", spec, annotations=annotations)]
    if controller:
        default = {"ingressclass.kubernetes.io/is-default-class": "true"}
        about = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass"}
        metadata = {"name": "edge", "annotations": default}
        found.append(stored({**about, "metadata": metadata, "spec": {"controller": controller}}))
    assert (ir.INGRESS_PROXY_KEY in served(*found).proxies) is ours
