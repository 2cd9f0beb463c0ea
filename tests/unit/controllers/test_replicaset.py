from datetime import UTC, datetime, timedelta

import pytest
from fake_cluster import named

from roadstead.controllers.actions import Create, Delete, Event, Patch, Requeue
from roadstead.controllers.replicaset import Observed, least_useful_first, plan
from roadstead.lib.clock import rfc3339

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds):
    return rfc3339(NOW - timedelta(seconds=seconds))


def pod(name="p", *, owner="rs", labels=None, ready_for=None, node="n", phase="Running", **more):
    metadata = {"uid": f"uid-{name}", "resourceVersion": "5", "labels": {"app": "web"} if labels is None else labels}
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": f"uid-{owner}"}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    metadata.update(more.pop("metadata", {}))
    status = {"phase": phase, **more.pop("status", {})}
    if ready_for is not None:
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": ago(ready_for)}]
    return named("Pod", name, metadata=metadata, spec={"nodeName": node} if node else {}, status=status)


def replica_set(replicas=2, status=None, metadata=None, **spec):
    template = {"metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}}, "spec": {"containers": []}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    about = {"uid": "uid-rs", "resourceVersion": "9", "generation": 4, **(metadata or {})}
    made = named("ReplicaSet", "rs", metadata=about, spec=spec)
    return {**made, "status": status} if status else made


def of(kind, actions):
    return [action for action in actions if isinstance(action, kind)]


def planned(made, pods=(), failure=""):
    return plan(Observed(made, pods, failure), NOW)


def test_missing_pods_are_created_from_the_template():
    creations = of(Create, planned(replica_set(2), [pod("a")]))
    assert [creation.object for creation in creations] == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "rs-",
                "namespace": "default",
                "labels": {"app": "web"},
                "annotations": {"a": "b"},
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "ReplicaSet",
                        "name": "rs",
                        "uid": "uid-rs",
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "spec": {"containers": []},
        }
    ]
    assert creations[0].announce.message == "Created pod: {name}"


def test_a_replication_controller_has_pods_by_its_plain_selector():
    made = {**replica_set(2, selector={"app": "web"}), "apiVersion": "v1", "kind": "ReplicationController"}
    actions = planned(made, [pod("a"), pod("orphan", owner=""), pod("other", owner="", labels={"app": "db"})])
    assert of(Create, actions) == []
    (adoption,) = [action for action in of(Patch, actions) if not action.subresource]
    assert adoption.object["metadata"]["name"] == "orphan"
    (owner,) = adoption.patch["metadata"]["ownerReferences"]
    assert (owner["apiVersion"], owner["kind"], owner["uid"]) == ("v1", "ReplicationController", "uid-rs")


@pytest.mark.parametrize(
    "useless",
    [
        pod("failed", phase="Failed"),
        pod("done", phase="Succeeded"),
        pod("going", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        pod("stranger", owner="other"),
    ],
)
def test_pods_that_do_not_count_are_replaced(useless):
    assert len(of(Create, planned(replica_set(1), [useless]))) == 1


def test_no_more_than_a_burst_is_created_at_once():
    assert len(of(Create, planned(replica_set(2000)))) == 500


def test_the_least_useful_go_first():
    pods = [
        pod("old-ready", ready_for=500),
        pod("new-ready", ready_for=5),
        pod("restarting", ready_for=5, status={"containerStatuses": [{"restartCount": 7}]}),
        pod("cheap", ready_for=900, metadata={"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}),
        pod("running", metadata={"creationTimestamp": ago(90)}),
        pod("younger", metadata={"creationTimestamp": ago(9)}),
        pod("pending", phase="Pending"),
        pod("unbound", phase="Pending", node=""),
    ]
    assert [entry["metadata"]["name"] for entry in least_useful_first(pods)] == [
        "unbound",
        "pending",
        "younger",
        "running",
        "cheap",
        "restarting",
        "new-ready",
        "old-ready",
    ]


def test_surplus_pods_are_deleted():
    deletions = of(Delete, planned(replica_set(1), [pod("a", ready_for=5), pod("b")]))
    assert [deletion.object["metadata"]["name"] for deletion in deletions] == ["b"]


def test_orphans_are_adopted_and_strays_released():
    orphan, stray = pod("orphan", owner=""), pod("stray", labels={"app": "debug"})
    actions = planned(replica_set(1), [orphan, stray])
    adopted, released = of(Patch, actions)[:2]
    assert adopted.patch["metadata"]["ownerReferences"][0]["uid"] == "uid-rs"
    assert adopted.patch["metadata"]["resourceVersion"] == "5"
    assert released.patch["metadata"] == {"uid": "uid-stray", "resourceVersion": "5", "ownerReferences": None}
    assert of(Create, actions) == []


def test_what_is_being_deleted_neither_adopts_nor_creates():
    ending = replica_set(3, metadata={"deletionTimestamp": ago(1)})
    actions = planned(ending, [pod("orphan", owner="")])
    assert [type(action) for action in actions] == [Patch]
    assert actions[0].subresource == "status"


def test_the_status_counts_and_is_written_only_when_it_changes():
    pods = [pod("a", ready_for=100), pod("b", ready_for=3, labels={"app": "web", "more": "x"}), pod("c")]
    actions = planned(replica_set(3, minReadySeconds=10), pods)
    (status,) = of(Patch, actions)
    assert status.subresource == "status"
    assert status.patch == {
        "metadata": {"uid": "uid-rs", "resourceVersion": "9"},
        "status": {
            "replicas": 3,
            "fullyLabeledReplicas": 3,
            "readyReplicas": 2,
            "availableReplicas": 1,
            "observedGeneration": 4,
        },
    }
    assert of(Requeue, actions) == [Requeue(7.0)]
    assert of(Patch, planned(replica_set(3, status.patch["status"], minReadySeconds=10), pods)) == []


def test_a_failure_is_a_condition_until_it_is_over():
    failing = planned(replica_set(1), failure="quota")
    (event,) = of(Event, failing)
    assert (event.type, event.reason, event.message) == ("Warning", "FailedCreate", "Error creating: quota")
    status = of(Patch, failing)[0].patch["status"]
    assert status["conditions"][0] == {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "quota",
        "lastTransitionTime": rfc3339(NOW),
    }
    mended = planned(replica_set(1, status), [pod("a")])
    assert of(Patch, mended)[0].patch["status"]["conditions"] is None
