"""Rollouts in a cluster in memory: Deployments, ReplicaSets and pods with the controllers' own plans."""

import copy
from datetime import timedelta

import pytest
from fake_cluster import FakeCluster, named
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.conditions import find_condition
from roadstead.api.objects import ObjectKey
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.pods import is_active, is_available, is_ready

WORKLOADS = [
    controller
    for controller in all_controllers(ClusterFacts(""))
    if controller.name in ("deployment-controller", "replicaset-controller")
]
WEB = ObjectKey("default", "web")


def web(image="one", replicas=3, **spec):
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }
    selector = {"matchLabels": {"app": "web"}}
    return named("Deployment", "web", spec={"replicas": replicas, "selector": selector, "template": template, **spec})


@pytest.fixture
def cluster():
    return FakeCluster(*WORKLOADS)


def image(cluster, name):
    containers = [{"name": "web", "image": name}]
    cluster.patch("Deployment", WEB, {"spec": {"template": {"spec": {"containers": containers}}}})


def sizes(cluster):
    """Return `{image: replicas}` of the ReplicaSets."""
    return {
        entry["spec"]["template"]["spec"]["containers"][0]["image"]: entry["spec"]["replicas"]
        for entry in cluster.all("ReplicaSet")
    }


def revisions(cluster):
    return {
        entry["spec"]["template"]["spec"]["containers"][0]["image"]: entry["metadata"]["annotations"][
            "deployment.kubernetes.io/revision"
        ]
        for entry in cluster.all("ReplicaSet")
    }


def status(cluster):
    return cluster.get("Deployment", WEB)["status"]


def reason(cluster, type_):
    found = find_condition(status(cluster)["conditions"], type_)
    return found and (found["status"], found["reason"])


def messages(cluster):
    return [message for kind, _, message in cluster.events if kind == "Deployment"]


def test_a_new_deployment_has_its_replica_set_and_pods(cluster):
    cluster.create(web())
    cluster.settle()
    (replica_set,) = cluster.all("ReplicaSet")
    hash_ = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{hash_}"
    assert replica_set["spec"]["selector"] == {"matchLabels": {"app": "web", "pod-template-hash": hash_}}
    pods = cluster.all("Pod")
    assert len(pods) == 3
    assert all(pod["metadata"]["name"].startswith(f"web-{hash_}-") for pod in pods)
    assert all(pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": hash_} for pod in pods)
    assert reason(cluster, "Available") == ("False", "MinimumReplicasUnavailable")
    # As in Kubernetes, the first look at the pods replaces the reason NewReplicaSetCreated.
    assert reason(cluster, "Progressing") == ("True", "ReplicaSetUpdated")
    assert messages(cluster) == [f"Scaled up replica set web-{hash_} from 0 to 3"]


def test_it_is_complete_when_all_pods_are_available(cluster):
    cluster.create(web())
    cluster.pods_start()
    (replica_set,) = cluster.all("ReplicaSet")
    assert status(cluster) == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "conditions": status(cluster)["conditions"],
    }
    assert reason(cluster, "Available") == ("True", "MinimumReplicasAvailable")
    progressing = find_condition(status(cluster)["conditions"], "Progressing")
    assert progressing["reason"] == "NewReplicaSetAvailable"
    assert progressing["message"] == f'ReplicaSet "{replica_set["metadata"]["name"]}" has successfully progressed.'
    assert cluster.get("Deployment", WEB)["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}


def test_nothing_happens_when_nothing_changes(cluster):
    cluster.create(web())
    cluster.pods_start()
    before = copy.deepcopy(cluster.kinds)
    for number in range(len(WORKLOADS)):
        for kind in ("Deployment", "ReplicaSet"):
            for key in cluster.kinds[kind]:
                cluster._queue[number, key] = None
    cluster.settle()
    assert cluster.kinds == before


def test_a_new_template_rolls_and_undo_rolls_back_with_a_new_revision(cluster):
    cluster.create(web())
    cluster.pods_start()
    image(cluster, "two")
    cluster.pods_start()
    assert sizes(cluster) == {"one": 0, "two": 3}
    assert revisions(cluster) == {"one": "1", "two": "2"}
    image(cluster, "one")
    cluster.pods_start()
    assert sizes(cluster) == {"one": 3, "two": 0}
    assert revisions(cluster) == {"one": "3", "two": "2"}
    old = next(entry for entry in cluster.all("ReplicaSet") if entry["spec"]["replicas"])
    assert old["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert cluster.get("Deployment", WEB)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_history_is_kept_to_its_limit(cluster):
    cluster.create(web(revisionHistoryLimit=2))
    for number in range(6):
        cluster.now += timedelta(seconds=1)
        image(cluster, f"v{number}")
        cluster.pods_start()
    assert sizes(cluster) == {"v3": 0, "v4": 0, "v5": 3}


def test_scaling_does_not_wait_for_anything(cluster):
    cluster.create(web())
    cluster.pods_start()
    cluster.patch("Deployment", WEB, {"spec": {"replicas": 5}})
    cluster.settle()
    assert len(cluster.all("Pod")) == 5
    cluster.patch("Deployment", WEB, {"spec": {"replicas": 0}})
    cluster.pods_start()
    assert cluster.all("Pod") == []
    assert status(cluster).get("replicas") is None
    assert reason(cluster, "Available") == ("True", "MinimumReplicasAvailable")


def test_scaling_in_the_middle_of_a_rollout_keeps_shares(cluster):
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    cluster.create(web(replicas=10, strategy=rolling))
    cluster.pods_start()
    image(cluster, "two")
    cluster.settle()
    assert sizes(cluster) == {"one": 8, "two": 5}
    cluster.patch("Deployment", WEB, {"spec": {"replicas": 15}})
    cluster.settle()
    assert sizes(cluster) == {"one": 11, "two": 7}
    cluster.pods_start()
    assert sizes(cluster) == {"one": 0, "two": 15}


def test_a_paused_deployment_scales_but_does_not_roll(cluster):
    cluster.create(web())
    cluster.pods_start()
    cluster.patch("Deployment", WEB, {"spec": {"paused": True}})
    image(cluster, "two")
    cluster.patch("Deployment", WEB, {"spec": {"replicas": 4}})
    cluster.pods_start()
    assert sizes(cluster) == {"one": 4}
    assert reason(cluster, "Progressing") == ("Unknown", "DeploymentPaused")
    cluster.patch("Deployment", WEB, {"spec": {"paused": False}})
    cluster.pods_start()
    assert sizes(cluster) == {"one": 0, "two": 4}
    assert reason(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")


def test_recreate_waits_until_the_last_old_pod_is_gone(cluster):
    cluster.create(web(strategy={"type": "Recreate"}))
    for _ in range(2):
        cluster.settle()
        for pod in cluster.all("Pod"):
            cluster.patch("Pod", ObjectKey("default", pod["metadata"]["name"]), {"spec": {"nodeName": "n"}})
    cluster.pods_start()
    image(cluster, "two")
    cluster.settle()
    assert sizes(cluster) == {"one": 0}
    olds = [pod["metadata"]["name"] for pod in cluster.all("Pod")]
    assert len(olds) == 3
    for name in olds:
        assert sizes(cluster) == {"one": 0}
        cluster.end(name)
        cluster.settle()
    assert sizes(cluster) == {"one": 0, "two": 3}


def test_a_rollout_that_stands_still_misses_its_deadline_and_recovers(cluster):
    cluster.create(web(progressDeadlineSeconds=60))
    cluster.pods_start()
    image(cluster, "broken")
    cluster.pods_start(ready=False)
    assert reason(cluster, "Progressing") == ("True", "ReplicaSetUpdated")
    cluster.pass_time(50)
    assert reason(cluster, "Progressing") == ("True", "ReplicaSetUpdated")
    cluster.pass_time(20)
    assert reason(cluster, "Progressing") == ("False", "ProgressDeadlineExceeded")
    assert status(cluster)["availableReplicas"] == 3
    image(cluster, "mended")
    cluster.pods_start()
    assert reason(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")


def test_pods_must_stay_ready_for_as_long_as_asked(cluster):
    cluster.create(web(minReadySeconds=10))
    cluster.pods_start()
    assert "availableReplicas" not in status(cluster)
    cluster.pass_time(9)
    assert "availableReplicas" not in status(cluster)
    cluster.pass_time(1)
    assert status(cluster)["availableReplicas"] == 3


def test_another_template_with_the_same_hash_is_counted_in(cluster):
    cluster.create(web())
    cluster.settle()
    (replica_set,) = cluster.all("ReplicaSet")
    name = replica_set["metadata"]["name"]
    other = FakeCluster(*WORKLOADS)
    stranger = named("ReplicaSet", name, spec={"replicas": 0, "selector": {"matchLabels": {"x": "y"}}, "template": {}})
    other.create(stranger)
    other.create(web())
    other.settle()
    assert status(other)["collisionCount"] == 1
    names = {entry["metadata"]["name"] for entry in other.all("ReplicaSet")}
    assert len(names) == 2
    assert len(other.all("Pod")) == 3


def test_replica_sets_are_adopted(cluster):
    cluster.create(web())
    cluster.settle()
    (made,) = cluster.all("ReplicaSet")
    orphan = copy.deepcopy(made)
    orphan["metadata"].pop("ownerReferences")
    orphan["metadata"].pop("uid")
    other = FakeCluster(*WORKLOADS)
    other.create(orphan)
    other.create(web())
    other.settle()
    (adopted,) = other.all("ReplicaSet")
    assert adopted["metadata"]["ownerReferences"][0]["name"] == "web"
    assert len(other.all("Pod")) == 3


def test_what_cannot_be_created_is_a_condition_and_is_tried_again(cluster):
    cluster.refuse_creation["Pod"] = 'pods "web" is forbidden: exceeded quota'
    cluster.create(web())
    cluster.settle()
    cluster.retry()
    failure = find_condition(status(cluster)["conditions"], "ReplicaFailure")
    assert (failure["reason"], failure["message"]) == ("FailedCreate", 'pods "web" is forbidden: exceeded quota')
    assert ("ReplicaSet", "FailedCreate", 'Error creating: pods "web" is forbidden: exceeded quota') in cluster.events
    cluster.refuse_creation.clear()
    cluster.retry()
    cluster.pods_start()
    assert find_condition(status(cluster)["conditions"], "ReplicaFailure") is None
    assert status(cluster)["availableReplicas"] == 3


def test_an_empty_selector_is_refused(cluster):
    broken = web()
    broken["spec"]["selector"] = {}
    cluster.create(broken)
    cluster.settle()
    assert cluster.all("ReplicaSet") == []
    assert cluster.events[0][1] == "SelectingAll"


def test_annotations_reach_the_replica_set_but_not_what_kubectl_keeps(cluster):
    made = web()
    made["metadata"]["annotations"] = {
        "kubernetes.io/change-cause": "first",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    cluster.create(made)
    cluster.settle()
    cluster.patch("Deployment", WEB, {"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}})
    cluster.settle()
    (replica_set,) = cluster.all("ReplicaSet")
    assert replica_set["metadata"]["annotations"] == {
        "kubernetes.io/change-cause": "second",
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }


steps = st.lists(
    st.tuples(
        st.sampled_from(["ready", "ready", "ready", "unready", "end", "image", "time"]),
        st.integers(0, 99),
        st.sampled_from([0, 1, 2, 3, 5, 8, 100]),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(
    replicas=st.integers(1, 6),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    min_ready=st.sampled_from([0, 0, 5]),
    walk=steps,
)
def test_a_rolling_update_keeps_its_promises_in_whatever_order_pods_become_ready(
    replicas, surge, unavailable, min_ready, walk
):
    if surge == unavailable == 0:
        surge = 1
    cluster = FakeCluster(*WORKLOADS)
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    cluster.create(web("v0", replicas, minReadySeconds=min_ready, strategy={"rollingUpdate": rolling}))
    cluster.pods_start()
    cluster.pass_time(10)
    bounds = (replicas + surge, replicas - min(unavailable, replicas), min_ready)
    image(cluster, "v1")
    lost = 0
    for action, number, plans in walk:
        # A pod that fails after a decision was made, and before it was carried out, is not of our own doing.
        lost = lost + (action == "unready") if cluster._queue else 0
        _take(cluster, action, number)
        for _ in range(plans):
            _plan(cluster, bounds, lost)
    for _ in range(20 * replicas):
        while cluster._queue:
            _plan(cluster, bounds)
        for pod in cluster.all("Pod"):
            _take(cluster, "end" if pod["metadata"].get("deletionTimestamp") else "ready", 0, pod)
        cluster.pass_time(10)
    assert status(cluster)["availableReplicas"] == replicas == len(cluster.all("Pod"))
    assert reason(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert sorted(sizes(cluster).values(), reverse=True)[1:] == [0] * (len(sizes(cluster)) - 1)


def _take(cluster, action, number, pod=None):
    pods = sorted(cluster.all("Pod"), key=lambda pod: pod["metadata"]["name"])
    pod = pod or (pods[number % len(pods)] if pods else None)
    if action == "image":
        image(cluster, f"v{number % 3}")
    elif action == "time":
        cluster.now += timedelta(seconds=number % 10)
    elif pod and pod["metadata"].get("deletionTimestamp"):
        cluster.end(pod["metadata"]["name"])
    elif pod and action != "end" and is_ready(pod) is not (action == "ready"):
        cluster.set_ready(pod["metadata"]["name"], action == "ready")


def _plan(cluster, bounds, lost=0):
    """Let one plan be carried out: it may not exceed the surge, nor take an available pod below the minimum."""
    most, fewest, min_ready = bounds
    before = _available(cluster, min_ready)
    if cluster._queue:
        cluster.step()
    after = _available(cluster, min_ready)
    assert after >= min(before, fewest - lost)
    active = [pod for pod in cluster.all("Pod") if not pod["metadata"].get("deletionTimestamp")]
    assert len(active) <= most


def _available(cluster, min_ready):
    return sum(is_active(pod) and is_available(pod, min_ready, cluster.now) for pod in cluster.all("Pod"))
