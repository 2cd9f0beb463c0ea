import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.objects import ObjectKey
from roadstead.controllers.catalog import ClusterFacts, all_controllers

KEY = ObjectKey("default", "agent")


@pytest.fixture
def cluster():
    names = ("daemonset-controller", "default-scheduler")
    cluster = FakeCluster(*(entry for entry in all_controllers(ClusterFacts("")) if entry.name in names))
    for name in ("a", "b", "c"):
        cluster.create(node(name))
    return cluster


def node(name, *, labels=None, **spec):
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return named("Node", name, metadata={"labels": labels or {}}, spec=spec, status=status)


def agent(image="one", **spec):
    pod = {"containers": [{"name": "c", "image": image}], **spec.pop("pod", {})}
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": pod}
    return named(
        "DaemonSet", "agent", spec={"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec}
    )


def places(cluster):
    return sorted(pod["spec"].get("nodeName", "") for pod in cluster.all("Pod"))


def images(cluster):
    return sorted(pod["spec"]["containers"][0]["image"] for pod in cluster.all("Pod"))


def status(cluster):
    return cluster.get("DaemonSet", KEY)["status"]


def test_every_node_has_one(cluster):
    cluster.create(agent())
    cluster.pods_start()
    assert places(cluster) == ["a", "b", "c"]
    expected = {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": 3}
    assert expected.items() <= status(cluster).items()
    assert (status(cluster)["updatedNumberScheduled"], status(cluster)["numberAvailable"]) == (3, 3)


def test_nodes_come_and_go(cluster):
    cluster.create(agent(pod={"nodeSelector": {"disk": "fast"}}))
    cluster.pods_start()
    assert places(cluster) == []
    cluster.patch("Node", ObjectKey("", "b"), {"metadata": {"labels": {"disk": "fast"}}})
    cluster.create(node("d", labels={"disk": "fast"}))
    cluster.pods_start()
    assert places(cluster) == ["b", "d"]
    cluster.patch("Node", ObjectKey("", "b"), {"metadata": {"labels": {"disk": None}}})
    cluster.pods_start()
    assert places(cluster) == ["d"]


def test_cordoned_and_unready_nodes_keep_theirs_and_tainted_ones_have_none(cluster):
    cluster.create(node("cordoned", unschedulable=True))
    cluster.create(node("tainted", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    cluster.create(agent())
    cluster.pods_start()
    assert places(cluster) == ["a", "b", "c", "cordoned"]
    unready = {"conditions": [{"type": "Ready", "status": "False"}]}
    cluster.patch("Node", ObjectKey("", "a"), {"status": unready}, "status")
    cluster.pods_start()
    assert places(cluster) == ["a", "b", "c", "cordoned"]


def test_an_update_takes_one_at_a_time(cluster):
    cluster.create(agent())
    cluster.pods_start()
    containers = [{"name": "c", "image": "two"}]
    cluster.patch("DaemonSet", KEY, {"spec": {"template": {"spec": {"containers": containers}}}})
    cluster.settle()
    going = [pod for pod in cluster.all("Pod") if pod["metadata"].get("deletionTimestamp")]
    assert len(going) == 1
    cluster.pods_start()
    assert images(cluster) == ["two"] * 3
    assert sorted(entry["revision"] for entry in cluster.all("ControllerRevision")) == [1, 2]


def test_an_update_that_breaks_takes_no_more(cluster):
    cluster.create(agent(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "34%"}}))
    cluster.pods_start()
    containers = [{"name": "c", "image": "broken"}]
    cluster.patch("DaemonSet", KEY, {"spec": {"template": {"spec": {"containers": containers}}}})
    cluster.pods_start(ready=False)
    assert images(cluster) == ["broken", "broken", "one"]
    assert status(cluster)["numberUnavailable"] == 2


def test_on_delete_leaves_pods_alone_and_ended_ones_are_replaced(cluster):
    cluster.create(agent(updateStrategy={"type": "OnDelete"}))
    cluster.pods_start()
    containers = [{"name": "c", "image": "two"}]
    cluster.patch("DaemonSet", KEY, {"spec": {"template": {"spec": {"containers": containers}}}})
    cluster.pods_start()
    assert images(cluster) == ["one"] * 3
    victim = cluster.all("Pod")[0]["metadata"]["name"]
    cluster.patch("Pod", ObjectKey("default", victim), {"status": {"phase": "Failed"}}, "status")
    cluster.pods_start()
    assert images(cluster) == ["one", "one", "two"]
    assert places(cluster) == ["a", "b", "c"]
