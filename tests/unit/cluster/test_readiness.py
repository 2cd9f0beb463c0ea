"""How objects stand, judged from the conditions and container states that the parts wrote."""

from roadstead.cluster.readiness import standings


def deployment(ready: int, replicas: int = 3, **status):
    return {
        "metadata": {"name": "foo", "namespace": "web", "generation": 2},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "foo"}}},
        "status": {"observedGeneration": 2, "readyReplicas": ready, "updatedReplicas": replicas, **status},
    }


def ready_pods(count: int) -> list:
    return [pod(conditions=({"type": "Ready", "status": "True"},)) for _ in range(count)]


def pod(waiting: dict | None = None, conditions: tuple = ()):
    return {
        "metadata": {
            "name": "foo-1", "namespace": "web", "labels": {"app": "foo"},
            "ownerReferences": [{"controller": True, "kind": "ReplicaSet", "name": "foo-abc"}],
        },
        "status": {
            "conditions": list(conditions),
            "containerStatuses": [{"state": {"waiting": waiting} if waiting else {"running": {}}}],
        },
    }  # fmt: skip


def of(kind: str, obj, **more):
    [standing] = standings({kind: [obj], **more})
    return standing.state, standing.message


def test_a_deployment_is_ready_when_every_updated_replica_is() -> None:
    assert of("Deployment", deployment(3), Pod=ready_pods(3)) == ("ready", "3/3 ready")
    assert of("Deployment", deployment(2), Pod=ready_pods(3)) == ("waiting", "2/3 ready")
    assert of("Deployment", deployment(0, replicas=0)) == ("ready", "0/0 ready")


def test_the_status_of_an_older_generation_does_not_count() -> None:
    assert of("Deployment", deployment(3, observedGeneration=1), Pod=ready_pods(3)) == ("waiting", "3/3 ready")


def test_a_status_that_tells_of_pods_which_have_ended_does_not_count() -> None:
    ended = pod(conditions=({"type": "Ready", "status": "False"},))
    assert of("Deployment", deployment(3), Pod=[*ready_pods(2), ended]) == ("waiting", "2/3 ready")


def test_a_pod_that_cannot_start_says_why() -> None:
    broken = pod({"reason": "ErrImagePull", "message": 'add [images."x"] to roadstead.toml'})
    assert of("Deployment", deployment(2), Pod=[broken]) == (
        "failed", 'pod foo-1: ErrImagePull: add [images."x"] to roadstead.toml',
    )  # fmt: skip


def test_a_pod_that_cannot_be_placed_waits_and_says_why() -> None:
    unplaced = pod(conditions=({"type": "PodScheduled", "status": "False", "message": "no node has label disk=ssd"},))
    assert of("Deployment", deployment(2), Pod=[unplaced]) == ("waiting", "pod foo-1: no node has label disk=ssd")


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
