"""The scheduler in a cluster: which changes have pods tried again, and claims that are for one pod alone."""

import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.objects import ObjectKey
from roadstead.controllers.actions import Bind
from roadstead.controllers.controller import Situation
from roadstead.controllers.scheduling import Scheduling, scheduling_controller

TAKEN = "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


class Cluster(FakeCluster):
    def __init__(self, *nodes):
        super().__init__(scheduling_controller())
        for name in nodes:
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.create({**named("Node", name, spec={}), "status": ready})

    def claim(self, name="data", mode="ReadWriteOncePod"):
        claim = named("PersistentVolumeClaim", name, spec={"accessModes": [mode], "volumeName": "v"})
        self.create({**claim, "status": {"phase": "Bound"}})

    def pod(self, name, claim="data", **spec):
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim}}
        self.create(named("Pod", name, spec={"volumes": [volume], **spec}))
        self.settle()

    def place_of(self, name):
        return self.get("Pod", ObjectKey("default", name))["spec"].get("nodeName")

    def why(self, name):
        (condition,) = self.get("Pod", ObjectKey("default", name))["status"]["conditions"]
        return condition["message"]


@pytest.fixture
def cluster():
    return Cluster("n")


def test_waiting_pods_are_tried_again_when_a_node_changes_but_not_at_its_heartbeats(cluster):
    cluster.create(named("Pod", "p", spec={"nodeSelector": {"disk": "fast"}}))
    cluster.settle()
    assert cluster.place_of("p") is None
    beat = [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:09Z"}]
    cluster.patch("Node", ObjectKey("", "n"), {"status": {"conditions": beat}}, "status")
    assert cluster.settle() == 0
    cluster.patch("Node", ObjectKey("", "n"), {"metadata": {"labels": {"disk": "fast"}}})
    cluster.settle()
    assert cluster.place_of("p") == "n"


def test_load_counts_only_where_there_is_a_choice():
    cluster = Cluster("a", "b")
    for number in range(6):
        cluster.create(named("Pod", f"p{number}", spec={}))
        cluster.settle()
    taken = [entry["spec"]["nodeName"] for entry in cluster.all("Pod")]
    assert sorted(taken) == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"])
def test_pods_share_a_claim(cluster, mode):
    cluster.claim(mode=mode)
    cluster.pod("one")
    cluster.pod("two")
    assert (cluster.place_of("one"), cluster.place_of("two")) == ("n", "n")


def test_a_claim_for_one_pod_alone_goes_from_one_to_the_next(cluster):
    cluster.claim()
    cluster.claim("other")
    cluster.pod("one")
    cluster.pod("two")
    cluster.pod("elsewhere", claim="other")
    assert [cluster.place_of(name) for name in ("one", "two", "elsewhere")] == ["n", None, "n"]
    assert cluster.why("two") == f"0/1 nodes are available: {TAKEN}."
    cluster.patch("Pod", ObjectKey("default", "one"), {"status": {"phase": "Succeeded"}}, "status")
    cluster.settle()
    assert cluster.place_of("two") == "n"
    cluster.pod("three")
    cluster.delete("Pod", "two", "default", grace=0)
    cluster.settle()
    assert cluster.place_of("three") == "n"


def test_a_pod_that_leaves_has_its_claim_until_it_is_gone(cluster):
    cluster.claim()
    cluster.pod("one")
    cluster.delete("Pod", "one", "default")
    cluster.pod("two")
    assert cluster.place_of("two") is None


def test_a_pod_that_no_node_takes_keeps_nobody_out(cluster):
    cluster.claim()
    cluster.pod("picky", nodeSelector={"disk": "fast"})
    cluster.pod("modest")
    assert cluster.place_of("modest") == "n"
    cluster.delete("Pod", "modest", "default", grace=0)
    cluster.patch("Node", ObjectKey("", "n"), {"metadata": {"labels": {"disk": "fast"}}})
    cluster.settle()
    assert cluster.place_of("picky") == "n"


class TestBindingsThatAreNotSeenYet:
    """Plans follow each other while the first one's binding is on its way."""

    @pytest.fixture
    def decided(self, cluster):
        cluster.claim()
        scheduling = Scheduling()
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
        for name in ("one", "two"):
            cluster.create(named("Pod", name, spec={"volumes": [volume]}))

        def is_bound(name):
            actions = scheduling.decide(Situation(cluster, ObjectKey("default", name), cluster.now))
            return any(isinstance(action, Bind) for action in actions)

        return is_bound

    @pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
    def test_the_second_pod_is_refused(self, decided, order):
        assert [decided(name) for name in order] == [True, False]

    def test_the_first_one_may_be_bound_again_if_that_failed(self, decided):
        assert [decided(name) for name in ("one", "two", "one")] == [True, False, True]

    def test_a_pod_that_is_gone_before_it_was_bound_has_nothing(self, cluster, decided):
        assert decided("one")
        cluster.delete("Pod", "one", "default", grace=0)
        assert decided("two")

    def test_a_pod_that_cannot_be_bound_any_more_has_nothing(self, cluster, decided):
        assert decided("one")
        cluster.patch("Node", ObjectKey("", "n"), {"spec": {"unschedulable": True}})
        assert not decided("one")
        cluster.patch("Node", ObjectKey("", "n"), {"spec": {"unschedulable": None}})
        assert decided("two")
