import pytest
from gateway_objects import (
    gateway,
    gateway_class,
    grant,
    grpc_route,
    http_listener,
    http_route,
    https_listener,
    key_pair,
    message,
    namespaced,
    secret,
    status_of,
    stored,
    tls_listener,
    translated,
    verdict,
)

GOOD = secret("example-gateway", key_pair("foo.example.com"))


def listeners(*found: dict) -> dict[str, dict]:
    status = status_of(translated(gateway_class(), *found), "Gateway", "example-gateway")
    return {listener["name"]: listener for listener in status["listeners"]}


def conditions(name: str, *found: dict) -> list[dict]:
    return listeners(*found)[name]["conditions"]


def kinds(listener: dict) -> list[str]:
    return [kind["kind"] for kind in listener["supportedKinds"]]


def test_a_good_listener_is_accepted_and_resolved() -> None:
    found = conditions("https", gateway(https_listener(hostname="foo.example.com")), GOOD)
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, "ResolvedRefs") == ("True", "ResolvedRefs")
    assert verdict(found, "Conflicted") == ("False", "NoConflicts")


@pytest.mark.parametrize("protocol", ["INVALID", "UDP"])
def test_an_unknown_protocol_has_no_kinds(protocol: str) -> None:
    found = listeners(gateway(http_listener(protocol=protocol)))["http"]
    assert verdict(found["conditions"], "Accepted") == ("False", "UnsupportedProtocol")
    assert kinds(found) == []


def test_route_kinds_that_we_do_not_know_are_told_and_the_others_stay() -> None:
    only = {"kinds": [{"kind": "InvalidRoute"}]}
    mixed = {"kinds": [{"kind": "InvalidRoute"}, {"kind": "HTTPRoute"}]}
    found = listeners(gateway(http_listener("a", allowedRoutes=only), http_listener("b", port=81, allowedRoutes=mixed)))
    assert verdict(found["a"]["conditions"], "ResolvedRefs") == ("False", "InvalidRouteKinds")
    assert verdict(found["b"]["conditions"], "ResolvedRefs") == ("False", "InvalidRouteKinds")
    assert (kinds(found["a"]), kinds(found["b"])) == ([], ["HTTPRoute"])


def test_equal_listeners_are_all_in_conflict() -> None:
    found = listeners(gateway(http_listener("a"), http_listener("b"), http_listener("c", "foo.com")))
    for name in ("a", "b"):
        for type_, status in (("Conflicted", "True"), ("Accepted", "False"), ("Programmed", "False")):
            assert verdict(found[name]["conditions"], type_) == (status, "HostnameConflict")
    assert verdict(found["c"]["conditions"], "Accepted") == ("True", "Accepted")


def test_protocols_on_one_port_are_in_conflict() -> None:
    found = listeners(gateway(http_listener("a", port=443), https_listener("b")), GOOD)
    assert verdict(found["a"]["conditions"], "Conflicted") == ("True", "ProtocolConflict")
    assert verdict(found["b"]["conditions"], "Conflicted") == ("True", "ProtocolConflict")


def test_what_is_told_apart_by_its_server_name_shares_a_port() -> None:
    found = listeners(gateway(https_listener("a", "foo.example.com"), tls_listener("b", "bar.example.com")), GOOD)
    assert verdict(found["a"]["conditions"], "Accepted") == ("True", "Accepted")
    assert verdict(found["b"]["conditions"], "Accepted") == ("True", "Accepted")
    assert (kinds(found["a"]), kinds(found["b"])) == (["HTTPRoute", "GRPCRoute"], ["TLSRoute"])


def test_one_server_name_for_https_and_tls_is_in_conflict() -> None:
    found = listeners(gateway(https_listener("a", "foo.example.com"), tls_listener("b", "foo.example.com")), GOOD)
    for name in ("a", "b"):
        assert verdict(found[name]["conditions"], "Conflicted") == ("True", "HostnameConflict")


def test_tls_and_plain_http_on_one_port_are_in_conflict() -> None:
    found = listeners(gateway(http_listener("a", port=443), tls_listener("b", "foo.example.com")))
    assert verdict(found["b"]["conditions"], "Conflicted") == ("True", "ProtocolConflict")


def test_a_tls_listener_that_ends_tls_needs_a_certificate() -> None:
    found = conditions("tls", gateway(tls_listener(secret="none")))
    assert verdict(found, "ResolvedRefs") == ("False", "InvalidCertificateRef")
    assert verdict(found, "Programmed") == ("False", "Invalid")
    found = conditions("tls", gateway(tls_listener(hostname="foo.example.com", secret="example-gateway")), GOOD)
    assert verdict(found, "roadstead.dev/CertificateUsable") == ("True", "Usable")


def test_https_cannot_be_passed_through() -> None:
    passed = https_listener(tls={"mode": "Passthrough"})
    found = conditions("https", gateway(passed))
    assert verdict(found, "Accepted") == ("False", "UnsupportedValue")
    assert message(found, "Accepted") == "tls.mode of a listener for HTTPS must be Terminate"


def test_ports_that_meet_inside_the_proxy_are_told() -> None:
    found = listeners(gateway(http_listener("a", port=80), http_listener("b", port=10080)))
    assert verdict(found["a"]["conditions"], "Accepted") == ("False", "PortUnavailable")
    assert "ports 10080 and 80 are the same port 10080" in message(found["b"]["conditions"], "Accepted")


@pytest.mark.parametrize(
    ("reference", "reason", "words"),
    [
        ({"name": "missing"}, "InvalidCertificateRef", "Secret user-platform/missing does not exist"),
        (
            {"name": "example-gateway", "group": "wrong.group"},
            "InvalidCertificateRef",
            "Secret.wrong.group is not a kind",
        ),
        ({"name": "example-gateway", "kind": "WrongKind"}, "InvalidCertificateRef", "WrongKind is not a kind"),
        ({"name": "other", "namespace": "certificates"}, "RefNotPermitted", "no ReferenceGrant in certificates allows"),
    ],
)
def test_a_certificate_that_cannot_be_had_is_told(reference: dict, reason: str, words: str) -> None:
    listener = https_listener(tls={"certificateRefs": [reference]})
    found = listeners(gateway(listener), GOOD, secret("other", key_pair("foo.example.com"), namespace="certificates"))
    assert verdict(found["https"]["conditions"], "ResolvedRefs") == ("False", reason)
    assert verdict(found["https"]["conditions"], "Programmed") == ("False", "Invalid")
    assert words in message(found["https"]["conditions"], "ResolvedRefs")
    assert "HTTPRoute" in kinds(found["https"])


FROM = ("gateway.networking.k8s.io", "Gateway", "user-platform")


@pytest.mark.parametrize(
    ("permission", "reason"),
    [
        (grant("certificates", [FROM], [("", "Secret")]), "ResolvedRefs"),
        (grant("certificates", [FROM], [("", "Secret", "other")]), "ResolvedRefs"),
        (grant("elsewhere", [FROM], [("", "Secret")]), "RefNotPermitted"),
        (grant("certificates", [("wrong", *FROM[1:])], [("", "Secret")]), "RefNotPermitted"),
        (grant("certificates", [(FROM[0], "GRPCRoute", FROM[2])], [("", "Secret")]), "RefNotPermitted"),
        (grant("certificates", [(*FROM[:2], "elsewhere")], [("", "Secret")]), "RefNotPermitted"),
        (grant("certificates", [FROM], [("wrong", "Secret")]), "RefNotPermitted"),
        (grant("certificates", [FROM], [("", "Service")]), "RefNotPermitted"),
        (grant("certificates", [FROM], [("", "Secret", "wrong")]), "RefNotPermitted"),
    ],
)
def test_a_grant_must_fit_in_every_field(permission: dict, reason: str) -> None:
    listener = https_listener(tls={"certificateRefs": [{"name": "other", "namespace": "certificates"}]})
    found = conditions(
        "https", gateway(listener), permission, secret("other", key_pair("foo.example.com"), namespace="certificates")
    )
    assert verdict(found, "ResolvedRefs")[1] == reason


def test_a_broken_certificate_beside_a_good_one_is_told_and_the_good_one_is_served() -> None:
    listener = https_listener(tls={"certificateRefs": [{"name": "missing"}, {"name": "example-gateway"}]})
    translation = translated(gateway_class(), gateway(listener), GOOD)
    found = status_of(translation, "Gateway", "example-gateway")["listeners"][0]["conditions"]
    assert verdict(found, "ResolvedRefs") == ("False", "InvalidCertificateRef")
    (proxy,) = translation.proxies.values()
    assert proxy.listeners[0].chains[0].tls is not None
    assert proxy.listeners[0].chains[0].tls.certificates == ("user-platform/example-gateway",)


def test_a_host_that_the_certificate_does_not_cover_is_named() -> None:
    found = conditions("https", gateway(https_listener(hostname="baz.example.com")), GOOD)
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, "roadstead.dev/CertificateUsable") == ("False", "HostnameNotCovered")
    told = message(found, "roadstead.dev/CertificateUsable")
    assert "baz.example.com" in told
    assert "Secret user-platform/example-gateway (foo.example.com)" in told


def test_hosts_of_routes_are_judged_where_the_listener_is_wider() -> None:
    routes = [grpc_route("foo", hostnames=["foo.example.com"]), grpc_route("bar", hostnames=["bar.example.com"])]
    found = conditions("https", gateway(https_listener(hostname="*.example.com")), GOOD, *routes)
    assert message(found, "roadstead.dev/CertificateUsable").startswith("clients of bar.example.com will refuse")


def test_an_expired_certificate_is_served_and_told() -> None:
    old = secret("example-gateway", key_pair("foo.example.com", age_days=400))
    found = conditions("https", gateway(https_listener(hostname="foo.example.com")), old)
    assert verdict(found, "ResolvedRefs") == ("True", "ResolvedRefs")
    assert verdict(found, "roadstead.dev/CertificateUsable") == ("False", "Expired")


def namespace(name: str, **labels: str) -> dict:
    return stored({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


@pytest.mark.parametrize(
    ("rule", "attached"),
    [
        ({"from": "All"}, 1),
        ({"from": "Same"}, 0),
        ({}, 0),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}, 1),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "red"}}}, 0),
        ({"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}, 1),
        ({"from": "Selector"}, 1),
    ],
)
def test_routes_attach_from_the_namespaces_that_are_allowed(rule: dict, attached: int) -> None:
    route = grpc_route("foo", parents=[{"name": "example-gateway", "namespace": "user-platform"}], namespace="blue")
    found = listeners(gateway(http_listener(allowedRoutes={"namespaces": rule})), namespace("blue", team="blue"), route)
    assert found["http"]["attachedRoutes"] == attached


def test_both_kinds_of_routes_are_counted() -> None:
    found = listeners(gateway(), grpc_route("one"), http_route("two"), http_route("elsewhere", parents=[{"name": "x"}]))
    assert found["http"]["attachedRoutes"] == 2


def test_routes_count_even_where_the_listener_is_not_served() -> None:
    broken = https_listener(secret="missing")
    assert listeners(gateway(broken), grpc_route("one"))["https"]["attachedRoutes"] == 1


def test_gateways_of_other_classes_are_left_alone() -> None:
    other = namespaced("gateway.networking.k8s.io/v1", "Gateway", "theirs", {"gatewayClassName": "theirs"})
    assert translated(gateway_class(), other).statuses[1:] == ()
