import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.objects import ObjectKey
from roadstead.controllers.actions import Delete, Patch
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.garbage import Observed, Owner, plan

NAMES = ("deployment-controller", "replicaset-controller", "garbage-collector")


def garbage_cluster():
    # The collector remembers uids, which clusters in memory give out again: each gets its own.
    return FakeCluster(*(entry for entry in all_controllers(ClusterFacts("")) if entry.name in NAMES))


def owned(name, *owners, finalizers=(), blocks=True, deleting=False):
    references = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "blockOwnerDeletion": blocks}
        for owner in owners
    ]
    metadata = {"uid": name, "resourceVersion": "1", "ownerReferences": references, "finalizers": list(finalizers)}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return named("Pod", name, metadata=metadata, spec={})


def planned(item, dependents=(), **owners):
    return plan(Observed(item, owners, dependents))


@pytest.mark.parametrize(
    ("owners", "action"),
    [
        ({}, None),
        ({"a": Owner.PRESENT}, None),
        ({"a": Owner.PRESENT, "b": Owner.PRESENT}, None),
        ({"a": Owner.ABSENT}, "Background"),
        ({"a": Owner.ABSENT, "b": Owner.ABSENT}, "Background"),
        ({"a": Owner.WAITING}, "Background"),
    ],
)
def test_an_object_goes_when_no_owner_is_left(owners, action):
    actions = planned(owned("x", *owners), **owners)
    assert [entry.propagation for entry in actions if isinstance(entry, Delete)] == ([action] if action else [])
    assert len(actions) == bool(action)


def test_it_forgets_owners_that_are_gone_while_another_stays():
    (patch,) = planned(owned("x", "a", "b"), a=Owner.ABSENT, b=Owner.PRESENT)
    assert [entry["uid"] for entry in patch.patch["metadata"]["ownerReferences"]] == ["b"]
    assert patch.patch["metadata"]["resourceVersion"] == "1"


def test_a_dependent_with_dependents_of_a_waiting_owner_goes_in_the_foreground_too():
    (delete,) = planned(owned("x", "a"), [owned("y", "x")], a=Owner.WAITING)
    assert delete.propagation == "Foreground"


def test_the_finalizer_for_the_foreground_stays_until_nothing_blocks():
    ending = owned("x", finalizers=["keep", "foregroundDeletion"], deleting=True)
    assert planned(ending, [owned("y", "x")]) == []
    (patch,) = planned(ending, [owned("y", "x", blocks=False)])
    assert patch.patch["metadata"]["finalizers"] == ["keep"]


def test_orphans_forget_their_owner_before_it_goes():
    ending = owned("x", finalizers=["orphan"], deleting=True)
    forgotten, released = planned(ending, [owned("y", "x", "z")])
    assert isinstance(forgotten, Patch)
    assert [entry["uid"] for entry in forgotten.patch["metadata"]["ownerReferences"]] == ["z"]
    assert released.patch["metadata"]["finalizers"] is None


def tree():
    cluster = garbage_cluster()
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    cluster.create(
        named("Deployment", "web", spec={"replicas": 2, "selector": {"matchLabels": labels}, "template": template})
    )
    cluster.pods_start()
    assert len(cluster.all("Pod")) == 2
    return cluster


def counts(cluster):
    return [len(cluster.all(kind)) for kind in ("Deployment", "ReplicaSet", "Pod")]


def test_background_takes_the_owner_first():
    cluster = tree()
    cluster.delete("Deployment", "web", "default", propagation="Background")
    assert counts(cluster) == [0, 1, 2]
    cluster.pods_start()
    assert counts(cluster) == [0, 0, 0]


def test_foreground_takes_the_owner_last():
    cluster = tree()
    for pod in cluster.all("Pod"):
        key = ObjectKey("default", pod["metadata"]["name"])
        cluster.patch("Pod", key, {"spec": {"nodeName": "n"}})
    cluster.delete("Deployment", "web", "default", propagation="Foreground")
    cluster.settle()
    assert counts(cluster) == [1, 1, 2]
    assert all(pod["metadata"].get("deletionTimestamp") for pod in cluster.all("Pod"))
    cluster.pods_start()
    assert counts(cluster) == [0, 0, 0]


def test_orphan_leaves_dependents_alone():
    cluster = tree()
    cluster.delete("Deployment", "web", "default", propagation="Orphan")
    cluster.pods_start()
    assert counts(cluster) == [0, 1, 2]
    assert not cluster.all("ReplicaSet")[0]["metadata"].get("ownerReferences")


def test_an_object_that_is_created_after_its_owner_went_goes_too():
    cluster = garbage_cluster()
    late = owned("late", "gone")
    cluster.create(late)
    cluster.settle()
    assert cluster.all("Pod") == []


def test_an_owner_of_an_unknown_kind_counts_as_present():
    cluster = garbage_cluster()
    late = owned("late", "gone")
    late["metadata"]["ownerReferences"][0]["apiVersion"] = "example.com/v1"
    cluster.create(late)
    cluster.settle()
    assert len(cluster.all("Pod")) == 1


def test_a_namesake_of_the_owner_is_not_the_owner():
    cluster = garbage_cluster()
    selector = {"matchLabels": {"app": "other"}}
    cluster.create(named("ReplicaSet", "gone", spec={"replicas": 0, "selector": selector, "template": {}}))
    cluster.create(owned("late", "gone"))
    cluster.settle()
    assert cluster.all("Pod") == []
