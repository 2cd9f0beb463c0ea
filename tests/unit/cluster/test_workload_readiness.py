"""How workloads stand, judged from their statuses and from the containers of their pods."""

import pytest

from roadstead.cluster.workload_readiness import workload_standings


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
    [standing] = workload_standings({kind: [obj], **more})
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


def workload(generation: int = 2, spec: dict | None = None, **status):
    return {
        "metadata": {"name": "foo", "namespace": "web", "generation": generation},
        "spec": {"selector": {"matchLabels": {"app": "foo"}}, **(spec or {})},
        "status": {"observedGeneration": 2, **status},
    }


PARTLY = {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}
BY_HAND = {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}


@pytest.mark.parametrize(("kind", "made", "answer"), [
    ("StatefulSet", workload(spec={"replicas": 3}, readyReplicas=3, updatedReplicas=3), ("ready", "3/3 ready")),
    ("StatefulSet", workload(spec={"replicas": 3}, readyReplicas=1, updatedReplicas=1), ("waiting", "1/3 ready")),
    ("StatefulSet", workload(spec={"replicas": 3}, readyReplicas=3, updatedReplicas=1), ("waiting", "3/3 ready")),
    ("StatefulSet", workload(spec=PARTLY, readyReplicas=3, updatedReplicas=1), ("ready", "3/3 ready")),
    ("StatefulSet", workload(spec=BY_HAND, readyReplicas=3), ("ready", "3/3 ready")),
    ("StatefulSet", workload(3, spec=BY_HAND, readyReplicas=3), ("waiting", "3/3 ready")),
    ("StatefulSet", workload(), ("waiting", "0/1 ready")),
    ("DaemonSet", workload(desiredNumberScheduled=3, numberReady=3, updatedNumberScheduled=3), ("ready", "3/3 ready")),
    ("DaemonSet", workload(desiredNumberScheduled=3, numberReady=3), ("waiting", "3/3 ready")),
    ("DaemonSet", workload(desiredNumberScheduled=0), ("ready", "0/0 ready")),
    ("DaemonSet", workload(3), ("waiting", "0/0 ready")),
    ("ReplicaSet", workload(spec={"replicas": 3}, readyReplicas=3), ("ready", "3/3 ready")),
    ("ReplicationController", workload(spec={"replicas": 3}, readyReplicas=3), ("ready", "3/3 ready")),
])  # fmt: skip
def test_everything_that_has_replicas(kind, made, answer) -> None:
    assert of(kind, made, Pod=ready_pods(3)) == answer


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"])
def test_each_says_what_keeps_its_pods(kind) -> None:
    made = workload(desiredNumberScheduled=1)
    broken = pod({"reason": "CreateContainerConfigError", "message": "secret not found"})
    unplaced = pod(conditions=(condition("PodScheduled", "False", "Unschedulable", "waits for claim data"),))
    assert of(kind, made, Pod=[broken]) == ("failed", "pod foo-1: CreateContainerConfigError: secret not found")
    assert of(kind, made, Pod=[unplaced]) == ("waiting", "pod foo-1: waits for claim data")


@pytest.mark.parametrize(("made", "answer"), [
    (workload(conditions=[{"type": "Complete", "status": "True"}]), ("ready", "completed")),
    (workload(conditions=[{"type": "Failed", "status": "True", "message": "no more attempts"}]),
     ("failed", "no more attempts")),
    (workload(conditions=[{"type": "Failed", "status": "False"}], active=1), ("waiting", "0/1 completed")),
    (workload(spec={"completions": 5}, succeeded=2), ("waiting", "2/5 completed")),
    (workload(spec={"suspend": True}), ("ready", "suspended")),
])  # fmt: skip
def test_a_job_is_up_when_it_has_completed(made, answer) -> None:
    assert of("Job", made, Pod=ready_pods(1)) == answer


@pytest.mark.parametrize(("status", "answer"), [
    ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, ("ready", "ready")),
    ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, ("waiting", "not ready")),
    ({"phase": "Pending"}, ("waiting", "pending")),
    ({}, ("waiting", "pending")),
    ({"phase": "Succeeded"}, ("ready", "completed")),
    ({"phase": "Failed"}, ("failed", "a container failed")),
    ({"phase": "Failed", "reason": "Evicted"}, ("failed", "Evicted")),
    ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "x"}}}]},
     ("failed", "pod foo: ErrImagePull: x")),
])  # fmt: skip
def test_a_pod_that_nobody_controls(status, answer) -> None:
    assert of("Pod", {"metadata": {"name": "foo", "namespace": "web"}, "status": status}) == answer


def test_what_others_control_is_judged_with_them() -> None:
    owned = workload()
    owned["metadata"]["ownerReferences"] = [{"controller": True, "kind": "Deployment", "name": "foo"}]
    of_the_node = {"metadata": {"name": "dns", "annotations": {"kubernetes.io/config.mirror": "x"}}}
    assert workload_standings({"ReplicaSet": [owned], "Job": [owned], "Pod": [*ready_pods(2), of_the_node]}) == []


def condition(type_: str, status: str, reason: str = "R", message: str = ""):
    return {"type": type_, "status": status, "reason": reason, "message": message}
