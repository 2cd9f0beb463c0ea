from typing import Any

import pytest
from gateway_objects import (
    GATEWAY,
    NAMESPACE,
    NOW,
    PROXY,
    backend,
    gateway,
    gateway_class,
    grant,
    grpc_route,
    http_listener,
    https_listener,
    key_pair,
    message,
    namespaced,
    resources,
    rule,
    secret,
    service,
    status_of,
    stored,
    tls_listener,
    translated,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.statuses import patch_for
from roadstead.gateway.translate import Translation, translate

SERVER = secret("example-gateway", key_pair("foo.example.com"))
CLIENT = secret("client", key_pair("gateway.example.com"))
AUTHORITY = key_pair("ca.example.com").certificate.decode()
LISTENERS = (http_listener(), https_listener(), https_listener("other") | {"port": 8443})


def authorities(name: str, namespace: str = NAMESPACE, content: str = AUTHORITY) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return stored({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": content}})


def asks(authority: str, **more: Any) -> Object:
    return {"validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": authority} | more]}}


def served(tls: Object, *found: Object) -> Translation:
    return translated(gateway_class(), gateway(*LISTENERS, tls=tls), SERVER, *found)


def checks(translation: Translation) -> dict[int, ir.ClientValidation | None]:
    listeners = translation.proxies[PROXY].listeners
    return {one.port: one.chains[0].tls.client_validation for one in listeners if one.chains[0].tls}


def conditions(translation: Translation, listener: str) -> list[Object]:
    listeners = status_of(translation, "Gateway", GATEWAY.name)["listeners"]
    return next(one["conditions"] for one in listeners if one["name"] == listener)


def test_https_listeners_ask_clients_as_their_port_or_the_default_says() -> None:
    frontend = {
        "default": asks("all"),
        "perPort": [{"port": 8443, "tls": asks("one")}, {"port": 80, "tls": asks("no")}],
    }
    translation = served({"frontend": frontend}, authorities("all"), authorities("one"))
    default, one = f"clients/{GATEWAY}/default", f"clients/{GATEWAY}/8443"
    assert checks(translation) == {443: ir.ClientValidation(default), 8443: ir.ClientValidation(one)}
    assert [bundle.name for bundle in translation.proxies[PROXY].trust_bundles] == [one, default]
    assert verdict(conditions(translation, "http"), "Accepted") == ("True", "Accepted")


@pytest.mark.parametrize(
    ("frontend", "told"),
    [
        ({"default": asks("all")}, ["ended"]),
        ({"default": asks("all"), "perPort": [{"port": 443, "tls": {}}]}, []),
        ({"default": {}, "perPort": [{"port": 443, "tls": asks("all")}]}, ["ended"]),
    ],
)
def test_listeners_for_tls_ask_nobody_and_that_is_told(frontend: Object, told: list[str]) -> None:
    listeners = (tls_listener("ended", "foo.example.com", secret="example-gateway"), tls_listener("passed", "a.com"))
    certificate = secret("example-gateway", key_pair("foo.example.com"))
    translation = translated(
        gateway_class(), gateway(*listeners, tls={"frontend": frontend}), certificate, authorities("all")
    )
    assert [one.message for one in translation.notices] == [
        f"spec.tls.frontend: is for listeners for HTTPS; clients of listener {name} are not asked for certificates"
        for name in told
    ]
    assert all(chain.tls is None or chain.tls.client_validation is None for chain in _all_chains(translation))


def _all_chains(translation: Translation) -> list[ir.FilterChain]:
    return [chain for listener in translation.proxies[PROXY].listeners for chain in listener.chains]


def test_a_port_may_ask_nobody() -> None:
    frontend = {"default": asks("all"), "perPort": [{"port": 8443, "tls": {}}]}
    assert checks(served({"frontend": frontend}, authorities("all")))[8443] is None


@pytest.mark.parametrize(
    ("reference", "reason", "words"),
    [
        ({"name": "absent"}, "InvalidCACertificateRef", "ConfigMap user-platform/absent does not exist"),
        ({"name": "empty"}, "InvalidCACertificateRef", "no PEM certificates in ca.crt"),
        ({"kind": "Service"}, "InvalidCACertificateKind", "Service is not a kind of authority"),
        ({"namespace": "elsewhere"}, "RefNotPermitted", "no ReferenceGrant in elsewhere"),
    ],
)
def test_a_listener_without_a_valid_authority_is_closed_rather_than_open_to_all(
    reference: Object, reason: str, words: str
) -> None:
    frontend = {"default": asks("all"), "perPort": [{"port": 8443, "tls": asks("one", **reference)}]}
    found = (authorities("all"), authorities("empty", content=""), authorities("one", "elsewhere"))
    translation = served({"frontend": frontend}, *found)
    assert set(checks(translation)) == {443}
    assert verdict(conditions(translation, "other"), "ResolvedRefs") == ("False", reason)
    assert words in message(conditions(translation, "other"), "ResolvedRefs")
    assert verdict(conditions(translation, "other"), "Accepted") == ("False", "NoValidCACertificate")
    assert verdict(conditions(translation, "https"), "Accepted") == ("True", "Accepted")


def test_an_authority_of_another_namespace_needs_a_grant() -> None:
    allow = grant("elsewhere", [("gateway.networking.k8s.io", "Gateway", NAMESPACE)], [("", "ConfigMap")])
    frontend = {"default": asks("one", namespace="elsewhere")}
    assert checks(served({"frontend": frontend}, authorities("one", "elsewhere"), allow))[443] is not None


def test_letting_everybody_in_is_said_and_no_longer_said_when_it_ends() -> None:
    insecure = asks("all")
    insecure["validation"]["mode"] = "AllowInsecureFallback"
    translation = served({"frontend": {"default": insecure}}, authorities("all"))
    validation = checks(translation)[443]
    assert validation is not None
    assert validation.optional
    stated = status_of(translation, "Gateway", GATEWAY.name)
    assert verdict(stated["conditions"], "InsecureFrontendValidationMode") == ("True", "ConfigurationChanged")

    current = gateway(*LISTENERS) | {"status": dict(stated)}
    later = translate(resources([gateway_class(), SERVER, current]))
    update = next(one for one in later.statuses if one.kind == "Gateway")
    patch = patch_for(update, current, NOW.isoformat())
    assert patch is not None
    assert {one["type"] for one in patch["status"]["conditions"]} == {"Accepted", "Programmed"}


POLICY = namespaced(
    "gateway.networking.k8s.io/v1",
    "BackendTLSPolicy",
    "tls",
    {
        "targetRefs": [{"group": "", "kind": "Service", "name": "foo-svc"}],
        "validation": {"hostname": "foo.internal", "wellKnownCACertificates": "System"},
    },
)


def to_backends(reference: Object, *found: Object) -> tuple[dict[str, str], tuple[str, str]]:
    """Return what is shown to each backend by TLS, and what the Gateway says of its references."""
    route = grpc_route("foo", rule(backend("foo-svc"), backend("plain-svc")))
    services = (service("foo-svc"), service("plain-svc"), POLICY)
    translation = served({"backend": {"clientCertificateRef": reference}}, route, *services, *found)
    shown = {one.endpoints: one.tls.client_certificate for one in translation.proxies[PROXY].clusters if one.tls}
    return shown, verdict(status_of(translation, "Gateway", GATEWAY.name)["conditions"], "ResolvedRefs")


def test_the_gateway_shows_its_certificate_to_backends_that_it_speaks_tls_to() -> None:
    shown, resolved = to_backends({"name": "client"}, CLIENT)
    assert shown == {"user-platform/foo-svc/50051": "user-platform/client"}
    assert resolved == ("True", "ResolvedRefs")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"name": "absent"}, "InvalidClientCertificateRef"),
        ({"name": "client", "kind": "Other"}, "InvalidClientCertificateRef"),
        ({"name": "client", "group": "example.com"}, "InvalidClientCertificateRef"),
        ({"name": "client", "namespace": "elsewhere"}, "RefNotPermitted"),
    ],
)
def test_a_certificate_that_cannot_be_had_is_said_and_not_shown(reference: Object, reason: str) -> None:
    shown, resolved = to_backends(reference, CLIENT)
    assert shown == {"user-platform/foo-svc/50051": ""}
    assert resolved == ("False", reason)
