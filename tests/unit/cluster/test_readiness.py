"""How objects stand, judged from the conditions and container states that the parts wrote."""

from roadstead.cluster.readiness import standings


def of(kind: str, obj, **more):
    [standing] = standings({kind: [obj], **more})
    return standing.state, standing.message


def condition(type_: str, status: str, reason: str = "R", message: str = ""):
    return {"type": type_, "status": status, "reason": reason, "message": message}


def gateway(*conditions, listeners=()):
    status = {"conditions": list(conditions), "listeners": list(listeners), "addresses": [{"value": "127.1.0.1"}]}
    return {"metadata": {"name": "edge", "namespace": "web"}, "status": status}


def test_a_gateway_is_ready_when_it_is_programmed() -> None:
    accepted = condition("Accepted", "True")
    assert of("Gateway", gateway(accepted, condition("Programmed", "True"))) == ("ready", "127.1.0.1")
    assert of("Gateway", gateway(accepted, condition("Programmed", "Unknown"))) == ("waiting", "waiting for Programmed")
    unassigned = condition("Programmed", "False", "AddressNotAssigned", "no address yet")
    assert of("Gateway", gateway(accepted, unassigned)) == ("waiting", "no address yet")
    unusable = condition("Programmed", "False", "AddressNotUsable", "port 443 is in use")
    assert of("Gateway", gateway(accepted, unusable)) == ("failed", "port 443 is in use")


def test_a_broken_listener_is_named() -> None:
    listener = {
        "name": "https",
        "conditions": [condition("ResolvedRefs", "False", "InvalidCertificateRef", "Secret web/tls does not exist")],
    }
    programmed = gateway(condition("Accepted", "True"), condition("Programmed", "True"), listeners=[listener])
    assert of("Gateway", programmed) == ("failed", "listener https: Secret web/tls does not exist")


def test_a_route_is_ready_when_every_parent_takes_it_whole() -> None:
    def route(*parents):
        statuses = [{"conditions": list(conditions)} for conditions in parents]
        return {"metadata": {"name": "foo", "namespace": "web"}, "status": {"parents": statuses}}

    good = (condition("Accepted", "True"), condition("ResolvedRefs", "True"))
    missing = (good[0], condition("ResolvedRefs", "False", "BackendNotFound", "Service web/nowhere does not exist"))
    assert of("GRPCRoute", route(good)) == ("ready", "accepted")
    assert of("GRPCRoute", route(good, missing)) == ("failed", "Service web/nowhere does not exist")
    assert of("GRPCRoute", route()) == ("waiting", "no Gateway has answered for it")


def test_an_ingress_is_ready_when_it_has_an_address() -> None:
    ingress = {"metadata": {"name": "greeter", "namespace": "web"}}
    assert of("Ingress", ingress) == ("waiting", "no address yet")
    served = {**ingress, "status": {"loadBalancer": {"ingress": [{"ip": "127.1.0.2"}]}}}
    assert of("Ingress", served) == ("ready", "127.1.0.2")
