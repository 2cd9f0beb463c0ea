import pytest

from roadstead.gateway import ir
from roadstead.gateway.xds.listeners import HttpOptions, listener, listener_needs
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.resources import Ref, ResourceType

PLAIN = ir.Listener("http-80", 80, 10080, "HTTP", (ir.FilterChain("http-80", route_table="http-80"),))
SECURE = ir.Listener(
    "https-443",
    443,
    10443,
    "HTTPS",
    (
        ir.FilterChain("foo", ("foo.example.com",), ir.ServerTls(("ns/rsa", "ns/ecdsa")), route_table="foo"),
        ir.FilterChain("rest", (), ir.ServerTls(("ns/rsa",), "1.3", ir.ClientValidation("ns/ca")), route_table="rest"),
    ),
)
SECRETS = {"certificate:ns/rsa", "certificate:ns/ecdsa"}


def made(source, bind="0.0.0.0", secrets=SECRETS):
    return as_json(listener(source, bind, secrets))


def test_a_plaintext_listener(golden):
    golden("listener-http", made(PLAIN))


def test_a_listener_with_tls_by_name(golden):
    shown = made(SECURE, "127.8.0.1")
    for chain in shown["filter_chains"]:
        chain["filters"] = ["as in listener-http"]
    golden("listener-https", shown)


def test_cipher_suites_can_be_named():
    suites = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384")
    chain = ir.FilterChain("c", (), ir.ServerTls(("ns/rsa",), cipher_suites=suites), route_table="r")
    socket = made(ir.Listener("l", 443, 10443, "HTTPS", (chain,)))["filter_chains"][0]["transport_socket"]
    assert socket["typed_config"]["common_tls_context"]["tls_params"]["cipher_suites"] == list(suites)


def test_optional_client_certificates_are_asked_for_and_not_judged():
    validation = ir.ClientValidation("ns/ca", optional=True)
    chain = ir.FilterChain("c", (), ir.ServerTls(("ns/rsa",), client_validation=validation), route_table="r")
    socket = made(ir.Listener("l", 443, 10443, "HTTPS", (chain,)))["filter_chains"][0]["transport_socket"]
    combined = socket["typed_config"]["common_tls_context"]["combined_validation_context"]
    assert socket["typed_config"]["require_client_certificate"] is False
    assert combined["default_validation_context"]["trust_chain_verification"] == "ACCEPT_UNTRUSTED"


def test_a_certificate_that_is_not_there_is_not_named():
    chains = made(SECURE, secrets={"certificate:ns/rsa"})["filter_chains"]
    context = chains[0]["transport_socket"]["typed_config"]["common_tls_context"]
    assert [each["name"] for each in context["tls_certificate_sds_secret_configs"]] == ["certificate:ns/rsa"]


def test_the_access_log_can_be_off_and_sessions_on():
    chain = as_json(listener(PLAIN, "0.0.0.0", (), HttpOptions(access_log=False, sessions=True)))["filter_chains"][0]
    settings = chain["filters"][0]["typed_config"]
    assert "access_log" not in settings
    filters = [each["name"] for each in settings["http_filters"]]
    assert filters == ["envoy.filters.http.stateful_session", "envoy.filters.http.router"]


@pytest.mark.parametrize(
    ("told", "ids", "counting"),
    [
        (ir.Telemetry(), True, False),
        (ir.Telemetry(request_ids=False), False, False),
        (ir.Telemetry(tracing=ir.Tracing("ns/otel/4317/h2", "ns/gateway"), request_ids=False), True, False),
        (ir.Telemetry(route_metrics=True), True, True),
    ],
)
def test_what_costs_every_call_is_done_only_where_it_is_wanted(told, ids, counting):
    chain = as_json(listener(PLAIN, "0.0.0.0", (), HttpOptions(telemetry=told)))["filter_chains"][0]
    settings = chain["filters"][0]["typed_config"]
    assert settings["generate_request_id"] is ids
    assert settings["http_filters"][-1]["typed_config"].get("dynamic_stats", True) is counting


def test_cors_comes_before_sessions():
    chain = as_json(listener(PLAIN, "0.0.0.0", (), HttpOptions(sessions=True, cors=True)))["filter_chains"][0]
    filters = [each["name"].rpartition(".")[2] for each in chain["filters"][0]["typed_config"]["http_filters"]]
    assert filters == ["cors", "stateful_session", "router"]


def test_needs():
    assert listener_needs(SECURE, {"foo"}) == {
        Ref(ResourceType.SCOPE, "foo/*"),
        Ref(ResourceType.ROUTES, "rest"),
        Ref(ResourceType.SECRET, "certificate:ns/rsa"),
        Ref(ResourceType.SECRET, "certificate:ns/ecdsa"),
        Ref(ResourceType.SECRET, "trust:ns/ca"),
    }
