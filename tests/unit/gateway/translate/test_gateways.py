import re
from pathlib import Path

import pytest
from gateway_objects import (
    PROXY,
    endpoint_slice,
    gateway,
    gateway_class,
    http_listener,
    https_listener,
    message,
    resources,
    service,
    status_of,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway.ir import ProxyState, Rejection
from roadstead.gateway.statuses import StatusUpdate
from roadstead.gateway.translate import Translator, everything, translate
from roadstead.gateway.translate.gatewayclass import SUPPORTED_FEATURES

CONNECTED = ProxyState(connected=1)
PODS = endpoint_slice("example-gateway-roadstead", "10.244.0.9", port=10080)


def balancer(*ingress: Object, **metadata: Object) -> Object:
    obj = service("example-gateway-roadstead", port=80)
    obj["metadata"].update(metadata)
    return {**obj, "status": {"loadBalancer": {"ingress": list(ingress)}}}


RUNNING = (balancer({"ip": "127.1.0.1"}), PODS)


def update(*found: Object, state: ProxyState = CONNECTED) -> StatusUpdate:
    translation = translate(resources([gateway_class(), *found], proxy_states={PROXY: state}))
    return next(one for one in translation.statuses if one.kind == "Gateway")


def conditions(*found: Object, state: ProxyState = CONNECTED) -> list[Object]:
    conditions: list[Object] = update(*found, state=state).status["conditions"]
    return conditions


def test_a_gateway_with_an_address_and_a_ready_envoy_is_programmed() -> None:
    found = update(gateway(), *RUNNING)
    assert verdict(found.status["conditions"], "Accepted") == ("True", "Accepted")
    assert verdict(found.status["conditions"], "Programmed") == ("True", "Programmed")
    assert found.status["addresses"] == [{"type": "IPAddress", "value": "127.1.0.1"}]
    assert verdict(found.status["listeners"][0]["conditions"], "Programmed") == ("True", "Programmed")
    assert not found.held


def test_every_condition_is_of_this_generation() -> None:
    obj = gateway()
    obj["metadata"]["generation"] = 4
    status = update(obj, *RUNNING).status
    listed = [*status["conditions"], *(one for listener in status["listeners"] for one in listener["conditions"])]
    assert {one["observedGeneration"] for one in listed} == {4}


@pytest.mark.parametrize(
    ("found", "state", "reason", "words"),
    [
        ((), CONNECTED, "AddressNotAssigned", "Service user-platform/example-gateway-roadstead has no load balancer"),
        (RUNNING[:1], CONNECTED, "Pending", "no Envoy of this Gateway is ready yet"),
        (RUNNING[:1], ProxyState(), "Pending", "no Envoy of this Gateway is connected"),
        (
            RUNNING,
            ProxyState(1, True, (Rejection("listener 80", "bad"),)),
            "Invalid",
            "Envoy refused the configuration and keeps the one before: listener 80: bad",
        ),
        (
            (balancer({"ip": "127.1.0.1", "ports": [{"port": 80, "error": "port 8080 of this host is in use"}]}), PODS),
            CONNECTED,
            "AddressNotUsable",
            "port 80: port 8080 of this host is in use",
        ),
    ],
)
def test_what_stands_in_the_way_is_told(found: tuple[Object, ...], state: ProxyState, reason: str, words: str) -> None:
    told = conditions(gateway(), *found, state=state)
    assert verdict(told, "Programmed") == ("False", reason)
    assert words in message(told, "Programmed")


@pytest.mark.parametrize("state", [ProxyState(1, settled=False), ProxyState(0)])
def test_what_envoys_have_not_answered_to_is_held_back(state: ProxyState) -> None:
    assert update(gateway(), *RUNNING, state=state).held


def test_where_a_port_is_elsewhere_on_this_host_is_told() -> None:
    moved = balancer({"ip": "127.1.0.1"}, annotations={"roadstead.dev/host-ports": "443=8443,80=8080"})
    told = conditions(gateway(), moved, PODS)
    assert message(told, "Programmed") == "port 80 is 8080 on this host; port 443 is 8443 on this host"


def test_one_bad_listener_of_two_is_told_and_the_gateway_accepted() -> None:
    told = conditions(gateway(http_listener(), http_listener("bad", port=81, protocol="INVALID")), *RUNNING)
    assert verdict(told, "Accepted") == ("True", "ListenersNotValid")
    assert "bad: protocol 'INVALID'" in message(told, "Accepted")


def test_without_a_good_listener_the_gateway_is_not_accepted() -> None:
    told = conditions(gateway(http_listener(protocol="INVALID")), *RUNNING)
    assert verdict(told, "Accepted") == ("False", "ListenersNotValid")
    assert verdict(told, "Programmed") == ("False", "Invalid")


def test_a_missing_certificate_leaves_the_gateway_accepted_and_names_it() -> None:
    told = conditions(gateway(http_listener(), https_listener(secret="missing")), *RUNNING)
    assert verdict(told, "Accepted") == ("True", "Accepted")
    assert verdict(told, "Programmed") == ("True", "Programmed")
    assert "https: tls.certificateRefs[0]: Secret user-platform/missing does not exist" in message(told, "Accepted")


def test_unknown_parameters_are_not_accepted() -> None:
    reference = {"group": "example.com", "kind": "Parameters", "name": "mine"}
    told = conditions(gateway(infrastructure={"parametersRef": reference}), *RUNNING)
    assert verdict(told, "Accepted") == ("False", "InvalidParameters")


def test_addresses_of_unknown_types_are_not_accepted() -> None:
    told = conditions(gateway(addresses=[{"type": "test/fake-invalid-type", "value": "x"}]), *RUNNING)
    assert verdict(told, "Accepted") == ("False", "UnsupportedAddress")


def test_an_address_that_cannot_be_had_is_told() -> None:
    told = conditions(gateway(addresses=[{"type": "IPAddress", "value": "127.1.9.9"}]), *RUNNING)
    assert verdict(told, "Accepted") == ("True", "Accepted")
    assert verdict(told, "Programmed") == ("False", "AddressNotUsable")


def test_an_address_without_a_value_may_be_any() -> None:
    told = conditions(gateway(addresses=[{"type": "IPAddress"}]), *RUNNING)
    assert verdict(told, "Programmed") == ("True", "Programmed")


def test_a_class_of_ours_is_accepted_with_what_it_can_do() -> None:
    translation = translate(resources([gateway_class()]))
    status = status_of(translation, "GatewayClass", "roadstead")
    names = [feature["name"] for feature in status["supportedFeatures"]]
    assert verdict(status["conditions"], "Accepted") == ("True", "Accepted")
    assert names == sorted(names)
    assert "GRPCRoute" in names


def test_a_class_with_parameters_is_not_accepted() -> None:
    obj = gateway_class()
    obj["spec"]["parametersRef"] = {"group": "example.com", "kind": "Parameters", "name": "mine"}
    status = status_of(translate(resources([obj])), "GatewayClass", "roadstead")
    assert verdict(status["conditions"], "Accepted") == ("False", "InvalidParameters")


def test_what_envoys_answer_is_stated_without_translating_again() -> None:
    found = [gateway_class(), gateway(), *RUNNING]
    translator, known = Translator(), resources(found, proxy_states={PROXY: ProxyState(1, settled=False)})
    translator.advance(known, everything(known))
    before, _ = translator.proxies, translator.statuses()
    translator.advance(resources(found, proxy_states={PROXY: CONNECTED}), {"proxy_states": [PROXY]})
    again = translate(resources(found, proxy_states={PROXY: CONNECTED}))
    (said,) = (update for updates in translator.statuses().values() for update in updates)
    assert said in again.statuses
    assert said not in translate(known).statuses
    assert translator.proxies is before


def test_the_docs_claim_beside_other_gateways_what_the_class_claims() -> None:
    text = (Path(__file__).parents[4] / "docs/gateway.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (✓|–) \|(?: (?:✓|–) \|){4}$", text, re.MULTILINE)
    assert len(rows) > 20
    assert [name for name, mark in rows if (mark == "✓") != (name in SUPPORTED_FEATURES)] == []
