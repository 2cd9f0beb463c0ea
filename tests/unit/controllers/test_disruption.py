"""Statuses of disruption budgets."""

import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.conditions import find_condition
from roadstead.api.objects import ObjectKey, owner_reference
from roadstead.controllers.catalog import ClusterFacts, all_controllers

KEY = ObjectKey("default", "web")


@pytest.fixture
def cluster():
    made = FakeCluster(*(entry for entry in all_controllers(ClusterFacts("")) if entry.name == "disruption-controller"))
    made.create(named("ReplicaSet", "web", spec={"replicas": 4}))
    return made


def budget(cluster, **spec) -> None:
    cluster.create(named("PodDisruptionBudget", "web", spec={"selector": {"matchLabels": {"app": "web"}}, **spec}))
    cluster.settle()


def pods(cluster, count: int) -> None:
    owner = cluster.get("ReplicaSet", KEY)
    for number in range(count):
        metadata = {"labels": {"app": "web"}, "ownerReferences": [owner_reference(owner)]}
        cluster.create(named("Pod", f"web-{number:05}", metadata=metadata, spec={"nodeName": "here"}))
        cluster.set_ready(f"web-{number:05}")
    cluster.settle()


def standing(cluster) -> tuple[int, ...]:
    status = cluster.get("PodDisruptionBudget", KEY)["status"]
    return tuple(status[name] for name in ("currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 3}, (4, 3, 4, 1)),
        ({"minAvailable": "30%"}, (4, 2, 4, 2)),
        ({"maxUnavailable": 1}, (4, 3, 4, 1)),
        ({"maxUnavailable": "50%"}, (4, 2, 4, 2)),
        ({}, (4, 1, 4, 3)),
        ({"minAvailable": 9}, (4, 9, 4, 0)),
    ],
)
def test_what_a_budget_allows(cluster, spec, expected):
    budget(cluster, **spec)
    pods(cluster, 4)
    assert standing(cluster) == expected


def test_it_follows_its_pods(cluster):
    budget(cluster, minAvailable=3)
    assert standing(cluster) == (0, 3, 0, 0)
    pods(cluster, 4)
    cluster.set_ready("web-00002", ready=False)
    cluster.settle()
    assert standing(cluster) == (3, 3, 4, 0)
    condition = find_condition(cluster.get("PodDisruptionBudget", KEY)["status"]["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")
    cluster.delete("Pod", "web-00003", "default")
    cluster.settle()
    assert standing(cluster) == (2, 3, 4, 0)


def test_it_follows_the_number_of_replicas(cluster):
    budget(cluster, maxUnavailable=1)
    pods(cluster, 4)
    cluster.patch("ReplicaSet", KEY, {"spec": {"replicas": 6}})
    cluster.settle()
    assert standing(cluster) == (4, 5, 6, 0)
