import pytest

from roadstead.gateway import ir
from roadstead.gateway.xds.clusters import cluster, cluster_needs
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.resources import Ref, ResourceType

TLS = ir.UpstreamTls("foo.internal", trust="ns/ca", subject_names=("spiffe://a/b", "alt"), client_certificate="ns/me")


def made(protocol="h2", **settings):
    message = cluster(ir.Cluster("foo/h2", "foo", protocol, **settings))
    return as_json(message)


def context(tls, protocol="h2"):
    return made(protocol, tls=tls)["transport_socket"]["typed_config"]


def test_a_cluster_with_http_2(golden):
    golden("cluster-h2", made())


def test_a_cluster_with_tls(golden):
    golden("cluster-tls", made(tls=TLS))


def test_a_cluster_of_http_1_speaks_it():
    options = made("http1")["typed_extension_protocol_options"]
    assert next(iter(options.values()))["explicit_http_config"] == {"http_protocol_options": {}}
    assert context(ir.UpstreamTls("a"), "http1")["common_tls_context"]["alpn_protocols"] == ["http/1.1"]


def test_a_cluster_of_bytes_speaks_nothing():
    assert "typed_extension_protocol_options" not in made("tcp")


def test_the_circuit_breaker_is_open_unless_it_is_set():
    assert made()["circuit_breakers"]["thresholds"][0]["max_requests"] == 2**32 - 1
    assert made(max_requests=7)["circuit_breakers"]["thresholds"][0]["max_requests"] == 7


def test_without_a_bundle_the_systems_authorities_count():
    validation = context(ir.UpstreamTls("foo.internal"))["common_tls_context"]["validation_context"]
    assert validation["trusted_ca"] == {"filename": "/etc/ssl/certs/ca-certificates.crt"}
    assert validation["match_typed_subject_alt_names"] == [{"san_type": "DNS", "matcher": {"exact": "foo.internal"}}]


def test_unverified_tls_checks_nothing():
    assert "validation_context" not in context(ir.UpstreamTls(verify=False))["common_tls_context"]


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (None, set()),
        (TLS, {"trust:ns/ca", "certificate:ns/me"}),
        (ir.UpstreamTls(verify=False, trust="ns/ca"), set()),
    ],
)
def test_needs(tls, expected):
    secrets = {Ref(ResourceType.SECRET, name) for name in expected}
    assert cluster_needs(ir.Cluster("c", "e", "h2", tls)) == {Ref(ResourceType.ENDPOINTS, "e")} | secrets
