from roadstead.api.objects import ObjectKey
from roadstead.node.network.loadbalancer import (
    Changes,
    Listener,
    Outcome,
    Place,
    allocate,
    changes,
    host_ports_annotation,
    service_status,
    wanted_listeners,
)
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
KEY = ObjectKey("shop", "gateway")


def service(name="gateway", status=None, annotations=None, ports=None, **spec):
    return {
        "metadata": {"namespace": "shop", "name": name, **({"annotations": annotations} if annotations else {})},
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.7",
            "ports": ports or [{"port": 443}, {"port": 80}],
            **spec,
        },
        "status": status or {},
    }


def test_every_service_has_an_address_of_its_own_that_stays_the_same():
    services = [service(f"gateway-{number}") for number in range(300)]
    first = allocate(services, "dev")
    assert len(set(first.values())) == 300
    assert all(address.startswith("127.1.") for address in first.values())
    assert allocate(reversed(services), "dev") == first
    assert allocate(services[:1], "dev") != allocate(services[:1], "other")


def test_a_service_keeps_its_address_and_may_ask_for_a_free_one():
    kept = service("kept", {"loadBalancer": {"ingress": [{"ip": "127.1.0.9"}]}})
    assert (
        allocate([service("asks", loadBalancerIP="127.1.0.9"), kept], "dev")[ObjectKey("shop", "kept")] == "127.1.0.9"
    )
    assert allocate([service("asks", loadBalancerIP="127.1.0.9")], "dev") == {ObjectKey("shop", "asks"): "127.1.0.9"}
    assert allocate([service("asks", loadBalancerIP="192.0.2.1")], "dev")[ObjectKey("shop", "asks")].startswith(
        "127.1."
    )


def test_a_service_moves_to_the_address_that_it_asks_for_as_soon_as_that_is_free():
    here = {"loadBalancer": {"ingress": [{"ip": "127.1.0.9"}]}}
    there = service("holds", {"loadBalancer": {"ingress": [{"ip": "127.1.0.10"}]}})
    moves = service("moves", here, loadBalancerIP="127.1.0.10")
    cannot = service("moves", here, loadBalancerIP="192.0.2.1")
    assert allocate([moves], "dev") == {ObjectKey("shop", "moves"): "127.1.0.10"}
    assert allocate([moves, there], "dev")[ObjectKey("shop", "moves")] == "127.1.0.9"
    assert allocate([cannot], "dev") == {ObjectKey("shop", "moves"): "127.1.0.9"}


def test_services_of_others_are_left_alone():
    others = [
        service(loadBalancerClass="example.com/metal"),
        service(type="ClusterIP"),
        service(clusterIP="None"),
        service(clusterIP=""),
    ]
    assert allocate(others, "dev") == {}


def test_a_port_leads_to_the_cluster_address():
    wanted = wanted_listeners([service()], {KEY: "127.1.0.9"})
    assert wanted == {
        Place("127.1.0.9", 443): Listener((("10.96.0.7", 443),), ("Service", KEY)),
        Place("127.1.0.9", 80): Listener((("10.96.0.7", 80),), ("Service", KEY)),
    }


def test_without_a_node_network_ports_lead_to_endpoints_and_cluster_addresses_are_served():
    table = ServiceTable((ServicePort("10.96.0.7", "TCP", 443, "shop/gateway:https", (Endpoint("127.2.0.3", 10443),)),))
    wanted = wanted_listeners([service()], {KEY: "127.1.0.9"}, (), table)
    target = (("127.2.0.3", 10443),)
    assert wanted == {
        Place("127.1.0.9", 443): Listener(target, ("Service", KEY)),
        Place("127.1.0.9", 80): Listener((), ("Service", KEY)),
        Place("10.96.0.7", 443): Listener(target, ("Service", KEY), fallback=False),
    }


def test_host_ports_of_running_pods_are_opened_on_loopback():
    pod = {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "containers": [
                {"ports": [{"containerPort": 80, "hostPort": 8088, "hostIP": "0.0.0.0"}, {"containerPort": 81}]}
            ]
        },
        "status": {"podIP": "10.244.0.2", "phase": "Running"},
    }
    assert wanted_listeners([], {}, [pod]) == {
        Place("127.0.0.1", 8088): Listener((("10.244.0.2", 80),), ("Pod", ObjectKey("shop", "web")))
    }
    assert wanted_listeners([], {}, [{**pod, "status": {"podIP": "10.244.0.2", "phase": "Succeeded"}}]) == {}


def test_only_differences_and_failures_are_asked_of_the_relay():
    a, b, c, d = (Place("127.1.0.9", number) for number in (1, 2, 3, 4))
    same, other = Listener((("10.96.0.7", 1),), ("Service", KEY)), Listener((), ("Service", KEY))
    outcomes = {b: Outcome(2), c: Outcome(problem="in use"), d: Outcome(4)}
    assert changes({b: same, c: same, d: same}, outcomes, {a: same, b: same, c: same}) == Changes((d,), (a, c))
    assert changes({b: same}, outcomes, {b: other}) == Changes((), (b,))


BOUND = {Place("127.1.0.9", 443): Outcome(8443), Place("127.1.0.9", 80): Outcome(80)}


def test_a_bound_service_says_its_address_and_which_ports_moved():
    status = service_status(service(), "127.1.0.9", BOUND, NOW)
    assert status["loadBalancer"] == {"ingress": [{"ip": "127.1.0.9", "ipMode": "Proxy"}]}
    assert status["conditions"][0]["status"] == "True"
    assert host_ports_annotation(service(), "127.1.0.9", BOUND) == {"roadstead.dev/host-ports": "443=8443"}


def test_what_is_written_already_is_not_written_again():
    written = service(
        status=service_status(service(), "127.1.0.9", BOUND, NOW), annotations={"roadstead.dev/host-ports": "443=8443"}
    )
    assert service_status(written, "127.1.0.9", BOUND, LATER) is None
    assert host_ports_annotation(written, "127.1.0.9", BOUND) is None


def test_a_port_that_is_in_use_is_told_and_the_others_are_served():
    outcomes = {**BOUND, Place("127.1.0.9", 443): Outcome(problem="port 443 on 127.1.0.9 is in use")}
    status = service_status(service(), "127.1.0.9", outcomes, NOW)
    assert status["loadBalancer"]["ingress"][0]["ip"] == "127.1.0.9"
    assert status["conditions"] == [
        {
            "type": "roadstead.dev/PortsBound",
            "status": "False",
            "reason": "PortUnavailable",
            "message": "port 443 on 127.1.0.9 is in use",
            "lastTransitionTime": NOW,
        }
    ]


def test_a_service_without_any_port_has_no_address():
    outcomes = {place: Outcome(problem="in use") for place in BOUND}
    assert service_status(service(), "127.1.0.9", outcomes, NOW)["loadBalancer"] == {}


def test_a_protocol_that_is_not_relayed_is_told():
    mixed = service(ports=[{"port": 443}, {"port": 53, "protocol": "UDP"}])
    message = service_status(mixed, "127.1.0.9", BOUND, NOW)["conditions"][0]["message"]
    assert message == "port 53: protocol UDP does not reach the host; only TCP does"


def test_a_service_that_is_no_longer_balanced_loses_its_address_and_keeps_other_conditions():
    status = service_status(service(), "127.1.0.9", BOUND, NOW)
    status["conditions"].append({"type": "Other", "status": "True"})
    former = service(status=status, annotations={"roadstead.dev/host-ports": "443=8443"}, type="ClusterIP")
    assert service_status(former, None, {}, LATER) == {
        "loadBalancer": None,
        "conditions": [{"type": "Other", "status": "True"}],
    }
    assert host_ports_annotation(former, None, {}) == {"roadstead.dev/host-ports": None}
    assert service_status(service(type="ClusterIP"), None, {}, LATER) is None


def test_a_mapped_node_port_is_opened_where_the_configuration_says_and_nowhere_else():
    mapped = service(type="NodePort", ports=[{"port": 443, "nodePort": 30443}, {"port": 80, "nodePort": 30080}])
    here = Place("127.0.0.1", 8443)
    target = Listener((("10.96.0.7", 443),), ("Service", KEY), fallback=False)
    assert wanted_listeners([mapped], {}, node_ports={30443: here}) == {here: target}
    assert wanted_listeners([mapped], {}) == {}
