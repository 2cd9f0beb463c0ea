from typing import Any

import pytest
from gateway_objects import (
    GATEWAY,
    NAMESPACE,
    PROXY,
    backend,
    gateway,
    gateway_class,
    grpc_route,
    key_pair,
    namespaced,
    rule,
    service,
    status_of,
    stored,
    translated,
    verdict,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.resources import CONTROLLER_NAME
from roadstead.gateway.translate import Translation

FOO = service("foo-svc")
ROUTE = grpc_route("foo", rule(backend("foo-svc")))
AUTHORITY = key_pair("ca.example.com").certificate.decode()


def authorities(content: str = AUTHORITY, name: str = "authorities") -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return stored({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": content}})


def policy(name: str = "tls", section: str = "", created: str = "2026-11-22T11:00:00Z", **validation: Any) -> Object:
    target = {"group": "", "kind": "Service", "name": "foo-svc"} | ({"sectionName": section} if section else {})
    stated = {"hostname": "foo.internal", "caCertificateRefs": [reference()]} | validation
    spec = {"targetRefs": [target], "validation": {key: value for key, value in stated.items() if value is not None}}
    return namespaced("gateway.networking.k8s.io/v1", "BackendTLSPolicy", name, spec, creationTimestamp=created)


def reference(name: str = "authorities", kind: str = "ConfigMap") -> Object:
    return {"group": "", "kind": kind, "name": name}


def served(*found: Object) -> Translation:
    return translated(gateway_class(), gateway(), FOO, ROUTE, *found)


def cluster(*found: Object) -> ir.Cluster:
    (made,) = served(*found).proxies[PROXY].clusters
    return made


@pytest.mark.parametrize("app_protocol", ["https", "HTTPS"])
def test_a_port_that_says_https_can_be_used_where_a_policy_says_how(app_protocol: str) -> None:
    encrypted = service("foo-svc", appProtocol=app_protocol)
    with_policy = translated(gateway_class(), gateway(), encrypted, ROUTE, policy(), authorities())
    (made,) = with_policy.proxies[PROXY].clusters
    assert made.protocol == "h2"
    assert made.tls is not None
    assert not translated(gateway_class(), gateway(), encrypted, ROUTE).proxies[PROXY].clusters


def conditions(name: str, *found: Object) -> list[Object]:
    (ancestor,) = status_of(served(*found), "BackendTLSPolicy", name)["ancestors"]
    assert ancestor["controllerName"] == CONTROLLER_NAME
    assert (ancestor["ancestorRef"]["namespace"], ancestor["ancestorRef"]["name"]) == GATEWAY
    told: list[Object] = ancestor["conditions"]
    return told


def test_a_policy_gives_its_service_tls() -> None:
    made = cluster(policy(), authorities())
    assert made.name == "user-platform/foo-svc/50051/h2-tls"
    assert made.tls == ir.UpstreamTls(sni="foo.internal", trust="backendtlspolicy/user-platform/tls")
    (bundle,) = served(policy(), authorities()).proxies[PROXY].trust_bundles
    assert bundle == ir.TrustBundle("backendtlspolicy/user-platform/tls", AUTHORITY.encode())
    assert verdict(conditions("tls", policy(), authorities()), "Accepted") == ("True", "Accepted")
    assert verdict(conditions("tls", policy(), authorities()), "ResolvedRefs") == ("True", "ResolvedRefs")


def test_the_systems_authorities() -> None:
    made = policy(caCertificateRefs=None, wellKnownCACertificates="System")
    assert cluster(made).tls == ir.UpstreamTls(sni="foo.internal")


def test_subject_names_take_the_place_of_the_host_name() -> None:
    names = [{"type": "Hostname", "hostname": "a.internal"}, {"type": "URI", "uri": "spiffe://a/b"}]
    made = cluster(policy(subjectAltNames=names), authorities())
    assert made.tls is not None
    assert made.tls.subject_names == ("a.internal", "spiffe://a/b")


@pytest.mark.parametrize(
    ("made", "accepted", "resolved"),
    [
        (policy(caCertificateRefs=[reference("missing")]), "NoValidCACertificate", "InvalidCACertificateRef"),
        (policy(caCertificateRefs=[reference("empty")]), "NoValidCACertificate", "InvalidCACertificateRef"),
        (policy(caCertificateRefs=[reference(kind="Secret")]), "NoValidCACertificate", "InvalidKind"),
        (policy(caCertificateRefs=None), "NoValidCACertificate", "ResolvedRefs"),
        (policy(caCertificateRefs=None, wellKnownCACertificates="Other"), "Invalid", "ResolvedRefs"),
        (policy(hostname="*.internal"), "Invalid", "ResolvedRefs"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_told_and_nothing_goes_without_tls(
    made: Object, accepted: str, resolved: str
) -> None:
    found = (made, authorities(), authorities("nothing", "empty"))
    told = conditions("tls", *found)
    assert verdict(told, "Accepted") == ("False", accepted)
    assert verdict(told, "ResolvedRefs")[1] == resolved
    translation = served(*found)
    answer = virtual_host(translation, "*").routes[0].action
    assert isinstance(answer, ir.DirectResponse)
    assert answer.status == 503
    assert "BackendTLSPolicy user-platform/tls" in answer.message
    assert translation.proxies[PROXY].clusters == ()
    route = status_of(translation, "GRPCRoute", "foo")["parents"][0]["conditions"]
    assert verdict(route, "ResolvedRefs") == ("True", "ResolvedRefs")


def test_one_good_authority_is_enough() -> None:
    made = policy(caCertificateRefs=[reference("missing"), reference()])
    told = conditions("tls", made, authorities())
    assert verdict(told, "Accepted") == ("True", "Accepted")
    assert verdict(told, "ResolvedRefs") == ("False", "InvalidCACertificateRef")
    assert cluster(made, authorities()).tls is not None


def test_of_two_policies_the_older_counts() -> None:
    old = policy("z", hostname="old.internal", created="2026-11-22T10:00:00Z")
    found = (policy("a", hostname="new.internal"), old, authorities())
    made = cluster(*found)
    assert made.tls is not None
    assert made.tls.sni == "old.internal"
    assert verdict(conditions("a", *found), "Accepted") == ("False", "Conflicted")
    assert verdict(conditions("z", *found), "Accepted") == ("True", "Accepted")


def test_a_policy_for_the_port_comes_before_one_for_the_service() -> None:
    found = (policy("all"), policy("port", section="grpc", hostname="port.internal"), authorities())
    made = cluster(*found)
    assert made.tls is not None
    assert made.tls.sni == "port.internal"
    assert verdict(conditions("all", *found), "Accepted") == ("True", "Accepted")


def test_a_policy_that_no_route_of_ours_uses_is_left_alone() -> None:
    translation = translated(gateway_class(), gateway(), FOO, policy(), authorities())
    assert not any(update.kind == "BackendTLSPolicy" for update in translation.statuses)
