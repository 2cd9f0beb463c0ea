import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.objects import ObjectKey
from roadstead.controllers.catalog import ClusterFacts, all_controllers

KEY = ObjectKey("default", "db")


@pytest.fixture
def cluster():
    names = ("statefulset-controller",)
    return FakeCluster(*(entry for entry in all_controllers(ClusterFacts("")) if entry.name in names))


def database(image="one", replicas=3, **spec):
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    selector = {"matchLabels": {"app": "db"}}
    about = {"replicas": replicas, "serviceName": "db", "selector": selector, "template": template}
    return named("StatefulSet", "db", spec={**about, **spec})


def image(cluster, name):
    cluster.patch("StatefulSet", KEY, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name}]}}}})


def names(cluster):
    return sorted(pod["metadata"]["name"] for pod in cluster.all("Pod"))


def images(cluster):
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in cluster.all("Pod")}


def ready(cluster, name):
    pod = cluster.get("Pod", ObjectKey("default", name))
    condition = {"type": "Ready", "status": "True"}
    cluster.patch(
        "Pod", ObjectKey("default", pod["metadata"]["name"]), {"status": {"conditions": [condition]}}, "status"
    )
    cluster.settle()


def all_ready(cluster):
    for _ in range(30):
        cluster.settle()
        for pod in cluster.all("Pod"):
            if not pod.get("status"):
                ready(cluster, pod["metadata"]["name"])


def status(cluster):
    return cluster.get("StatefulSet", KEY)["status"]


def test_pods_come_one_after_another_and_know_their_names(cluster):
    cluster.create(database())
    for count in (1, 2, 3):
        cluster.settle()
        assert names(cluster) == [f"db-{number}" for number in range(count)]
        ready(cluster, f"db-{count - 1}")
    pod = cluster.get("Pod", ObjectKey("default", "db-1"))
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    assert status(cluster)["readyReplicas"] == status(cluster)["currentReplicas"] == 3


def test_parallel_pods_come_at_once(cluster):
    cluster.create(database(podManagementPolicy="Parallel"))
    cluster.settle()
    assert names(cluster) == ["db-0", "db-1", "db-2"]


def test_the_highest_goes_first_and_a_missing_one_comes_back(cluster):
    cluster.create(database())
    all_ready(cluster)
    cluster.delete("Pod", "db-1", "default")
    cluster.settle()
    assert names(cluster) == ["db-0", "db-1", "db-2"]
    all_ready(cluster)
    cluster.patch("StatefulSet", KEY, {"spec": {"replicas": 1}})
    cluster.settle()
    assert names(cluster) == ["db-0"]


def test_an_update_goes_from_the_highest_down_and_waits_for_each(cluster):
    cluster.create(database())
    all_ready(cluster)
    before = status(cluster)["currentRevision"]
    image(cluster, "two")
    cluster.settle()
    assert images(cluster) == {"db-0": "one", "db-1": "one", "db-2": "two"}
    assert status(cluster)["currentRevision"] == before != status(cluster)["updateRevision"]
    ready(cluster, "db-2")
    assert images(cluster) == {"db-0": "one", "db-1": "two", "db-2": "two"}
    all_ready(cluster)
    assert set(images(cluster).values()) == {"two"}
    assert status(cluster)["currentRevision"] == status(cluster)["updateRevision"]
    assert sorted(entry["revision"] for entry in cluster.all("ControllerRevision")) == [1, 2]


def test_a_partition_keeps_lower_ones_even_when_they_are_replaced(cluster):
    cluster.create(database(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}))
    all_ready(cluster)
    image(cluster, "two")
    all_ready(cluster)
    assert images(cluster) == {"db-0": "one", "db-1": "one", "db-2": "two"}
    cluster.delete("Pod", "db-0", "default")
    all_ready(cluster)
    assert images(cluster)["db-0"] == "one"


def test_an_earlier_template_is_an_earlier_revision_again(cluster):
    cluster.create(database(replicas=1))
    all_ready(cluster)
    image(cluster, "two")
    all_ready(cluster)
    image(cluster, "one")
    all_ready(cluster)
    assert images(cluster) == {"db-0": "one"}
    assert sorted(entry["revision"] for entry in cluster.all("ControllerRevision")) == [2, 3]


def test_on_delete_leaves_pods_alone(cluster):
    cluster.create(database(updateStrategy={"type": "OnDelete"}))
    all_ready(cluster)
    image(cluster, "two")
    all_ready(cluster)
    assert set(images(cluster).values()) == {"one"}


def test_history_is_kept_to_its_limit(cluster):
    cluster.create(database(replicas=1, revisionHistoryLimit=1))
    for number in range(4):
        image(cluster, f"v{number}")
        all_ready(cluster)
    assert len(cluster.all("ControllerRevision")) == 2


def test_claims_are_made_once_and_mounted(cluster):
    template = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    cluster.create(database(replicas=1, volumeClaimTemplates=[template]))
    all_ready(cluster)
    (claim,) = cluster.all("PersistentVolumeClaim")
    assert claim["metadata"]["name"] == "data-db-0"
    (pod,) = cluster.all("Pod")
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]
    cluster.delete("Pod", "db-0", "default")
    all_ready(cluster)
    assert len(cluster.all("PersistentVolumeClaim")) == len(cluster.all("Pod")) == 1


def test_a_claim_has_all_that_its_template_says(cluster):
    about = {"name": "data", "labels": {"tier": "db"}, "annotations": {"a": "b"}, "finalizers": ["example.com/backup"]}
    cluster.create(database(replicas=1, volumeClaimTemplates=[{"metadata": about, "spec": {}}]))
    all_ready(cluster)
    made = cluster.all("PersistentVolumeClaim")[0]["metadata"]
    assert made["labels"] == {"tier": "db", "app": "db"}
    assert (made["annotations"], made["finalizers"]) == ({"a": "b"}, ["example.com/backup"])


def test_a_claim_that_somebody_else_controls_is_left_to_them(cluster):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "o", "controller": True}
    taken = named("PersistentVolumeClaim", "data-db-0", spec={})
    taken["metadata"]["ownerReferences"] = [owner]
    cluster.create(taken)
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    cluster.create(database(replicas=1, volumeClaimTemplates=TEMPLATES, persistentVolumeClaimRetentionPolicy=policy))
    all_ready(cluster)
    assert names(cluster) == ["db-0"]
    assert cluster.all("PersistentVolumeClaim")[0]["metadata"]["ownerReferences"] == [owner]


def test_numbers_may_start_elsewhere(cluster):
    cluster.create(database(replicas=2, ordinals={"start": 5}))
    all_ready(cluster)
    assert names(cluster) == ["db-5", "db-6"]


TEMPLATES = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]


def test_a_claim_that_somebody_deleted_is_made_again_while_its_pod_waits_for_it(cluster):
    cluster.create(database(replicas=1, volumeClaimTemplates=TEMPLATES))
    cluster.settle()
    cluster.delete("PersistentVolumeClaim", "data-db-0", "default")
    cluster.settle()
    assert [claim["metadata"]["name"] for claim in cluster.all("PersistentVolumeClaim")] == ["data-db-0"]
    cluster.patch("Pod", ObjectKey("default", "db-0"), {"spec": {"nodeName": "n"}})
    cluster.delete("PersistentVolumeClaim", "data-db-0", "default")
    cluster.settle()
    assert cluster.all("PersistentVolumeClaim") == [], "a pod that runs keeps what it has"


def owners(cluster) -> dict[str, list[str]]:
    return {
        claim["metadata"]["name"]: [each["name"] for each in claim["metadata"].get("ownerReferences") or ()]
        for claim in cluster.all("PersistentVolumeClaim")
    }


@pytest.mark.parametrize(("when_deleted", "when_scaled", "before", "after"), [
    ("Retain", "Retain", [], []),
    ("Delete", "Retain", ["db"], ["db"]),
    ("Retain", "Delete", [], ["db-1"]),
    ("Delete", "Delete", ["db"], ["db-1"]),
])  # fmt: skip
def test_claims_go_with_the_set_or_with_a_surplus_pod(cluster, when_deleted, when_scaled, before, after):
    policy = {"whenDeleted": when_deleted, "whenScaled": when_scaled}
    spec = {"volumeClaimTemplates": TEMPLATES, "persistentVolumeClaimRetentionPolicy": policy}
    cluster.create(database(replicas=2, **spec))
    all_ready(cluster)
    assert owners(cluster) == {"data-db-0": before, "data-db-1": before}
    cluster.patch("Pod", ObjectKey("default", "db-1"), {"metadata": {"finalizers": ["example.com/slow"]}})
    cluster.patch("StatefulSet", KEY, {"spec": {"replicas": 1}})
    cluster.settle()
    assert cluster.get("Pod", ObjectKey("default", "db-1"))["metadata"]["deletionTimestamp"]
    assert owners(cluster) == {"data-db-0": before, "data-db-1": after}


def test_owners_of_others_are_left_alone(cluster):
    policy = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    cluster.create(database(replicas=1, volumeClaimTemplates=TEMPLATES, persistentVolumeClaimRetentionPolicy=policy))
    cluster.settle()
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "u"}
    key = ObjectKey("default", "data-db-0")
    cluster.patch("PersistentVolumeClaim", key, {"metadata": {"ownerReferences": [other]}})
    cluster.settle()
    assert owners(cluster) == {"data-db-0": ["other", "db"]}
    policy = {"whenDeleted": "Retain"}
    cluster.patch("StatefulSet", KEY, {"spec": {"persistentVolumeClaimRetentionPolicy": policy}})
    cluster.settle()
    assert owners(cluster) == {"data-db-0": ["other"]}
