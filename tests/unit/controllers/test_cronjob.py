"""CronJobs by a clock that tests move."""

from datetime import timedelta

import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.objects import ObjectKey
from roadstead.controllers.actions import Create
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.controller import Situation
from roadstead.controllers.cronjob import SCHEDULED
from roadstead.lib.clock import rfc3339

(CONTROLLER,) = [entry for entry in all_controllers(ClusterFacts("PEM")) if entry.name == "cronjob-controller"]
KEY = ObjectKey("default", "tick")
TEMPLATE = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"backoffLimit": 0}}


@pytest.fixture
def cluster():
    return FakeCluster(CONTROLLER)


def start(cluster, schedule="*/5 * * * *", **spec):
    cluster.create(named("CronJob", "tick", spec={"schedule": schedule, "jobTemplate": TEMPLATE, **spec}))
    cluster.settle()


def after(cluster, minutes: float) -> None:
    """Let time pass, with a look at least once a minute."""
    end = cluster.now + timedelta(minutes=minutes)
    while cluster.now < end:
        cluster.pass_time(min(60.0, (end - cluster.now).total_seconds()))


def jobs(cluster) -> list[str]:
    return sorted(job["metadata"]["annotations"][SCHEDULED][11:16] for job in cluster.all("Job"))


def end(cluster, at: str, condition: str = "Complete") -> None:
    (job,) = [each for each in cluster.all("Job") if each["metadata"]["annotations"][SCHEDULED][11:16] == at]
    moment = rfc3339(cluster.now)
    met = {"type": condition, "status": "True", "lastTransitionTime": moment}
    status = {"conditions": [met], "startTime": job["metadata"]["creationTimestamp"], "completionTime": moment}
    cluster.patch("Job", ObjectKey("default", job["metadata"]["name"]), {"status": status}, "status")
    cluster.settle()


def status(cluster):
    return cluster.get("CronJob", KEY).get("status") or {}


def reasons(cluster) -> list[str]:
    return [reason for _, reason, _ in cluster.events]


def test_a_job_is_made_when_it_is_due(cluster):
    start(cluster)
    after(cluster, 4)
    assert jobs(cluster) == []
    after(cluster, 1)
    (job,) = cluster.all("Job")
    made = job["metadata"]
    assert made["name"] == f"tick-{int(cluster.now.timestamp()) // 60}"
    assert made["labels"] == {"a": "b"}
    assert made["annotations"] == {"c": "d", SCHEDULED: "2026-01-01T00:05:00Z"}
    assert job["spec"] == {"backoffLimit": 0}
    (owner,) = made["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "tick", True)
    assert status(cluster)["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert [each["name"] for each in status(cluster)["active"]] == [made["name"]]
    assert cluster.events == [("CronJob", "SuccessfulCreate", f"Created job {made['name']}")]


def test_a_job_that_has_ended_is_noted(cluster):
    start(cluster)
    after(cluster, 5)
    end(cluster, "00:05")
    assert status(cluster) == {
        "lastScheduleTime": "2026-01-01T00:05:00Z",
        "lastSuccessfulTime": "2026-01-01T00:05:00Z",
    }
    assert cluster.events[-1][1:] == ("SawCompletedJob", "Saw completed job: tick-29453765, condition: Complete")
    after(cluster, 5)
    assert jobs(cluster) == ["00:05", "00:10"]


@pytest.mark.parametrize(("policy", "there"), [
    ("Allow", ["00:05", "00:10"]),
    ("Forbid", ["00:05"]),
    ("Replace", ["00:10"]),
])  # fmt: skip
def test_what_becomes_of_a_job_that_still_runs(cluster, policy, there):
    start(cluster, concurrencyPolicy=policy)
    after(cluster, 10)
    assert jobs(cluster) == there
    assert ("JobAlreadyActive" in reasons(cluster)) is (policy == "Forbid")


def test_what_was_forbidden_is_made_up_for_when_the_other_ends(cluster):
    start(cluster, concurrencyPolicy="Forbid")
    after(cluster, 12)
    end(cluster, "00:05")
    assert jobs(cluster) == ["00:05", "00:10"]


def test_what_was_missed_is_made_up_for_once(cluster):
    start(cluster)
    cluster.pass_time(24 * 3600 + 60)
    assert jobs(cluster) == ["00:00"]
    assert status(cluster)["lastScheduleTime"] == "2026-01-02T00:00:00Z"


def test_unless_it_is_too_late(cluster):
    start(cluster, startingDeadlineSeconds=30)
    cluster.pass_time(3600 + 60)
    assert jobs(cluster) == []
    after(cluster, 4)
    assert jobs(cluster) == ["01:05"]


def test_one_that_is_suspended_makes_none(cluster):
    start(cluster, suspend=True)
    after(cluster, 10)
    assert jobs(cluster) == []
    cluster.patch("CronJob", KEY, {"spec": {"suspend": False}})
    cluster.settle()
    assert jobs(cluster) == ["00:10"]


def test_old_jobs_go(cluster):
    start(cluster, successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for minute in (5, 10, 15, 20, 25):
        after(cluster, 5)
        end(cluster, f"00:{minute:02}", "Failed" if minute < 15 else "Complete")
    assert jobs(cluster) == ["00:10", "00:20", "00:25"]


def test_by_the_clock_of_a_time_zone(cluster):
    start(cluster, schedule="30 9 * * *", timeZone="Asia/Tokyo")
    after(cluster, 45)
    assert jobs(cluster) == ["00:30"]


def test_every_so_often(cluster):
    start(cluster, schedule="@every 7m")
    after(cluster, 22)
    assert jobs(cluster) == ["00:07", "00:14", "00:21"]


@pytest.mark.parametrize("spec", [{"schedule": "nonsense"}, {"timeZone": "Middle/Earth"}])
def test_a_schedule_that_cannot_be_read_is_said(cluster, spec):
    start(cluster, **spec)
    assert reasons(cluster) == ["UnparseableSchedule"]


def test_a_job_of_that_name_is_taken_for_it(cluster):
    start(cluster)
    cluster.create(named("Job", "tick-29453765", spec={}))
    after(cluster, 6)
    assert len(cluster.all("Job")) == 1
    assert status(cluster)["lastScheduleTime"] == "2026-01-01T00:05:00Z"


def test_a_refusal_is_told_and_tried_again(cluster):
    start(cluster)
    cluster.refuse_creation["Job"] = "exceeded quota"
    after(cluster, 5)
    told = CONTROLLER.decide(Situation(cluster, KEY, cluster.now, "exceeded quota"))
    assert (told[0].reason, told[0].message) == ("FailedCreate", "Error creating job: exceeded quota")
    assert any(isinstance(action, Create) for action in told)


def test_jobs_of_others_are_not_counted(cluster):
    cluster.create(named("Job", "mine", spec={}))
    start(cluster, concurrencyPolicy="Forbid")
    after(cluster, 5)
    assert len(cluster.all("Job")) == 2
