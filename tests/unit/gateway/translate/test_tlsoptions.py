import pytest
from gateway_objects import (
    GATEWAY,
    PROXY,
    gateway,
    gateway_class,
    https_listener,
    key_pair,
    message,
    secret,
    status_of,
    tls_listener,
    translated,
    verdict,
)

from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.tlsoptions import TlsOptions, read_tls_options

GOOD = secret("example-gateway", key_pair("foo.example.com"))


def listener(options: dict[str, str]) -> dict:
    tls = {"certificateRefs": [{"name": "example-gateway"}], "options": options}
    return https_listener(hostname="foo.example.com", tls=tls)


def test_without_options_tls_1_2_is_enough() -> None:
    assert read_tls_options({}) == TlsOptions("1.2", (), ())


def test_the_lowest_version_and_the_cipher_suites_reach_the_proxy() -> None:
    options = {
        "roadstead.dev/min-tls-version": "1.3",
        "roadstead.dev/cipher-suites": "ECDHE-RSA-AES256-GCM-SHA384, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    }
    proxy = translated(gateway_class(), gateway(listener(options)), GOOD).proxies[PROXY]
    tls = proxy.listeners[0].chains[0].tls
    assert tls is not None
    assert tls.minimum_version == "1.3"
    assert tls.cipher_suites == ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"roadstead.dev/min-tls-version": "1.1"}, "tls.options[roadstead.dev/min-tls-version]: '1.1' is not one of"),
        ({"roadstead.dev/min-tls-version": ""}, "'' is not one of 1.2, 1.3"),
        ({"roadstead.dev/cipher-suites": "RC4-MD5"}, "tls.options[roadstead.dev/cipher-suites]: 'RC4-MD5' is not one"),
        ({"roadstead.dev/minimum-tls-version": "1.3"}, "did you mean roadstead.dev/min-tls-version?"),
        ({"roadstead.dev/x": "1.3"}, "there are roadstead.dev/min-tls-version, roadstead.dev/cipher-suites"),
    ],
)
def test_a_demand_that_cannot_be_read_closes_the_listener(options: dict[str, str], words: str) -> None:
    translation = translated(gateway_class(), gateway(listener(options)), GOOD)
    found = status_of(translation, "Gateway", GATEWAY.name)["listeners"][0]["conditions"]
    assert verdict(found, "Accepted") == ("False", "UnsupportedValue")
    assert words in message(found, "Accepted")
    assert translation.proxies[PROXY].listeners == ()


def test_options_of_others_are_left_alone_and_told() -> None:
    translation = translated(gateway_class(), gateway(listener({"example.com/option": "x"})), GOOD)
    found = status_of(translation, "Gateway", GATEWAY.name)["listeners"][0]["conditions"]
    assert verdict(found, "Accepted") == ("True", "Accepted")
    (notice,) = translation.notices
    assert (notice.regarding["kind"], notice.reason) == ("Gateway", "Ignored")
    assert notice.message == (
        "spec.listeners[https].tls.options[example.com/option]: has no effect; it is not an option of Roadstead"
    )


def test_options_hold_for_both_modes_of_tls() -> None:
    tls = {"mode": "Passthrough", "options": {"roadstead.dev/min-tls-version": "9"}}
    found = status_of(translated(gateway_class(), gateway(tls_listener(tls=tls))), "Gateway", GATEWAY.name)[
        "listeners"
    ][0]["conditions"]
    assert verdict(found, "Accepted") == ("False", "UnsupportedValue")


def test_a_demand_where_tls_is_passed_through_is_told_to_have_no_effect() -> None:
    tls = {"mode": "Passthrough", "options": {"roadstead.dev/min-tls-version": "1.3"}}
    (notice,) = translated(gateway_class(), gateway(tls_listener(tls=tls))).notices
    assert notice.message.endswith("[roadstead.dev/min-tls-version]: has no effect; TLS is passed through")


def test_what_is_no_mapping_is_no_option() -> None:
    assert not isinstance(read_tls_options({"options": ["roadstead.dev/min-tls-version"]}), Problem)
