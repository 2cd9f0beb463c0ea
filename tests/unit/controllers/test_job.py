import pytest
from fake_cluster import FakeCluster, merge, named

from roadstead.api.conditions import find_condition
from roadstead.api.objects import ObjectKey
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.job import INDEX
from roadstead.lib.clock import rfc3339

KEY = ObjectKey("default", "work")


@pytest.fixture
def cluster():
    return FakeCluster(*(entry for entry in all_controllers(ClusterFacts("")) if entry.name == "job-controller"))


def work(**spec):
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}}
    return named("Job", "work", spec={"template": template, **spec})


def start(cluster, **spec):
    cluster.create(work(**spec))
    cluster.settle()


def active(cluster):
    return [pod for pod in cluster.all("Pod") if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]


def end(cluster, pod, phase):
    terminated = {"state": {"terminated": {"finishedAt": rfc3339(cluster.now)}}}
    key = ObjectKey("default", pod["metadata"]["name"])
    cluster.patch("Pod", key, {"status": {"phase": phase, "containerStatuses": [terminated]}}, "status")
    cluster.settle()


def status(cluster):
    return cluster.get("Job", KEY)["status"]


def outcome(cluster):
    for type_ in ("Complete", "Failed"):
        found = find_condition(status(cluster).get("conditions"), type_)
        if found:
            return type_, found["reason"]
    return None


def test_one_pod_succeeds(cluster):
    start(cluster, completions=1)
    (pod,) = cluster.all("Pod")
    assert pod["metadata"]["labels"]["job-name"] == "work"
    assert status(cluster)["active"] == 1
    end(cluster, pod, "Succeeded")
    assert outcome(cluster) == ("Complete", "CompletionsReached")
    done = status(cluster)
    assert (done["succeeded"], done.get("active"), done["completionTime"]) == (1, None, rfc3339(cluster.now))
    assert find_condition(done["conditions"], "SuccessCriteriaMet")
    assert ("Job", "Completed", "Job completed") in cluster.events


def test_some_at_a_time_until_enough_have_succeeded(cluster):
    start(cluster, completions=5, parallelism=2)
    counts = []
    while outcome(cluster) is None:
        counts.append(len(active(cluster)))
        end(cluster, active(cluster)[0], "Succeeded")
    assert counts == [2, 2, 2, 2, 1]
    assert len(cluster.all("Pod")) == 5


def test_failures_are_repeated_later_and_later_until_the_limit(cluster):
    start(cluster, completions=1, backoffLimit=2)
    for wait in (10, 20):
        end(cluster, active(cluster)[0], "Failed")
        assert active(cluster) == []
        cluster.pass_time(wait - 1)
        assert active(cluster) == []
        cluster.pass_time(1)
        assert len(active(cluster)) == 1
    end(cluster, active(cluster)[0], "Failed")
    assert outcome(cluster) == ("Failed", "BackoffLimitExceeded")
    assert status(cluster)["failed"] == 3
    cluster.pass_time(1000)
    assert active(cluster) == []


def test_a_deadline_ends_what_still_runs(cluster):
    start(cluster, completions=3, parallelism=3, activeDeadlineSeconds=30)
    cluster.pass_time(29)
    assert outcome(cluster) is None
    cluster.pass_time(2)
    assert outcome(cluster) == ("Failed", "DeadlineExceeded")
    assert cluster.all("Pod") == []


def test_indexed_pods_know_their_index_and_failed_ones_are_repeated(cluster):
    start(cluster, completions=4, parallelism=4, completionMode="Indexed")
    pods = {pod["metadata"]["annotations"][INDEX]: pod for pod in cluster.all("Pod")}
    assert sorted(pods) == ["0", "1", "2", "3"]
    assert pods["2"]["spec"]["hostname"] == "work-2"
    assert pods["2"]["spec"]["containers"][0]["env"] == [{"name": "JOB_COMPLETION_INDEX", "value": "2"}]
    for index in "023":
        end(cluster, pods[index], "Succeeded")
    assert status(cluster)["completedIndexes"] == "0,2-3"
    end(cluster, pods["1"], "Failed")
    cluster.pass_time(10)
    (again,) = active(cluster)
    assert again["metadata"]["annotations"][INDEX] == "1"
    end(cluster, again, "Succeeded")
    assert outcome(cluster) == ("Complete", "CompletionsReached")
    assert status(cluster)["completedIndexes"] == "0-3"


def test_a_work_queue_is_done_when_one_succeeded_and_all_have_ended(cluster):
    start(cluster, parallelism=3)
    first, second, third = active(cluster)
    end(cluster, first, "Succeeded")
    assert len(active(cluster)) == 2
    end(cluster, second, "Failed")
    assert outcome(cluster) is None
    end(cluster, third, "Succeeded")
    assert outcome(cluster) == ("Complete", "CompletionsReached")


def test_a_suspended_job_has_no_pods_until_it_goes_on(cluster):
    start(cluster, completions=2, parallelism=2)
    cluster.patch("Job", KEY, {"spec": {"suspend": True}})
    cluster.settle()
    assert cluster.all("Pod") == []
    assert find_condition(status(cluster)["conditions"], "Suspended")["status"] == "True"
    assert "startTime" not in status(cluster)
    cluster.patch("Job", KEY, {"spec": {"suspend": False}})
    cluster.settle()
    assert len(active(cluster)) == 2
    assert find_condition(status(cluster)["conditions"], "Suspended")["status"] == "False"


def test_less_parallelism_takes_pods_away(cluster):
    start(cluster, completions=9, parallelism=4)
    cluster.patch("Job", KEY, {"spec": {"parallelism": 1}})
    cluster.settle()
    assert len(active(cluster)) == 1


def test_a_finished_job_goes_after_its_time(cluster):
    start(cluster, completions=1, ttlSecondsAfterFinished=60)
    end(cluster, active(cluster)[0], "Succeeded")
    cluster.pass_time(59)
    assert cluster.get("Job", KEY)
    cluster.pass_time(1)
    assert cluster.get("Job", KEY) is None


def test_a_job_with_a_selector_adopts(cluster):
    orphan = named("Pod", "orphan", metadata={"labels": {"app": "w"}}, spec={})
    cluster.create(orphan)
    cluster.create(merge(work(completions=1), {"spec": {"selector": {"matchLabels": {"app": "w"}}}}))
    cluster.settle()
    (pod,) = cluster.all("Pod")
    assert pod["metadata"]["ownerReferences"][0]["name"] == "work"
