"""HorizontalPodAutoscalers in a cluster whose load a test sets."""

import pytest
from fake_cluster import FakeCluster, named

from roadstead.api.conditions import find_condition
from roadstead.api.objects import ObjectKey
from roadstead.controllers.autoscaling import autoscaling_controller
from roadstead.lib.clock import rfc3339

KEY = ObjectKey("default", "web")


class Cluster(FakeCluster):
    def __init__(self):
        super().__init__(autoscaling_controller())

    def deploy(self, replicas: int) -> None:
        selector = {"matchLabels": {"app": "web"}}
        self.create(named("Deployment", "web", spec={"replicas": replicas, "selector": selector}))

    def load(self, *memory: str) -> None:
        """Have one ready pod for each amount of memory."""
        self.kinds["Pod"], self.kinds["PodMetrics"] = {}, {}
        began = rfc3339(self.now)
        for number, used in enumerate(memory):
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": began}
            labels, spec = {"labels": {"app": "web"}}, {"containers": [{"name": "c"}]}
            pod = named("Pod", f"web-{number}", metadata=labels, spec=spec)
            status = {"phase": "Running", "startTime": began, "conditions": [condition]}
            self.create({**pod, "status": status})
            usage = {"name": "c", "usage": {"memory": used, "cpu": "1"}}
            about = {"timestamp": began, "window": "10s", "containers": [usage]}
            self.create(named("PodMetrics", f"web-{number}", **about))

    def scale_by_memory(self, average: str = "100Mi", **spec) -> None:
        target = {"type": "AverageValue", "averageValue": average}
        metrics = [{"type": "Resource", "resource": {"name": "memory", "target": target}}]
        self.autoscale(**{"metrics": metrics, **spec})

    def autoscale(self, **spec) -> None:
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        whole = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 5, **spec}
        self.create(named("HorizontalPodAutoscaler", "web", spec=whole))
        self.settle()

    @property
    def replicas(self) -> int:
        return self.get("Deployment", KEY)["spec"]["replicas"]

    @property
    def status(self) -> dict:
        return self.get("HorizontalPodAutoscaler", KEY)["status"]

    def condition(self, type_: str) -> tuple[str, str]:
        found = find_condition(self.status["conditions"], type_)
        return found["status"], found["reason"]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_loaded_deployment_grows_and_is_told_of(cluster):
    cluster.deploy(2)
    cluster.load("180Mi", "120Mi")
    cluster.scale_by_memory()
    assert cluster.replicas == 3
    status = cluster.status
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 3)
    assert status["lastScaleTime"] == rfc3339(cluster.now)
    assert status["currentMetrics"] == [
        {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": str(150 * 1024**2)}}}
    ]
    assert cluster.condition("AbleToScale") == ("True", "SucceededRescale")
    assert cluster.condition("ScalingActive") == ("True", "ValidMetricFound")
    assert cluster.condition("ScalingLimited") == ("False", "DesiredWithinRange")
    told = ("HorizontalPodAutoscaler", "SuccessfulRescale", "New size: 3; reason: memory resource above target")
    assert told in cluster.events


def test_a_replication_controller_of_the_core_group_is_scaled(cluster):
    cluster.create(named("ReplicationController", "web", spec={"replicas": 2, "selector": {"app": "web"}}))
    cluster.load("180Mi", "120Mi")
    cluster.scale_by_memory(scaleTargetRef={"apiVersion": "v1", "kind": "ReplicationController", "name": "web"})
    assert cluster.get("ReplicationController", KEY)["spec"]["replicas"] == 3


@pytest.mark.parametrize("version", ["v1", "apps", "batch/v1"])
def test_a_target_of_another_group_is_none(cluster, version):
    cluster.deploy(2)
    cluster.load("180Mi", "120Mi")
    cluster.scale_by_memory(scaleTargetRef={"apiVersion": version, "kind": "Deployment", "name": "web"})
    assert cluster.replicas == 2
    assert cluster.condition("AbleToScale") == ("False", "FailedGetScale")


def test_it_looks_again_every_15_seconds(cluster):
    cluster.deploy(1)
    cluster.load("100Mi")
    cluster.scale_by_memory()
    assert cluster.replicas == 1
    assert cluster.condition("AbleToScale") == ("True", "ReadyForNewScale")
    cluster.load("200Mi")
    cluster.pass_time(14)
    assert cluster.replicas == 1
    cluster.pass_time(1)
    assert cluster.replicas == 2


def test_it_shrinks_five_minutes_after_the_load_has_gone(cluster):
    cluster.deploy(4)
    cluster.load(*["100Mi"] * 4)
    cluster.scale_by_memory()
    cluster.load(*["25Mi"] * 4)
    cluster.pass_time(15)
    assert cluster.replicas == 4
    assert cluster.condition("AbleToScale") == ("True", "ScaleDownStabilized")
    while cluster.replicas == 4:
        cluster.pass_time(15)
    assert cluster.replicas == 1
    assert 285 <= (cluster.now.minute * 60 + cluster.now.second) <= 315


def test_the_maximum_is_kept_and_named(cluster):
    cluster.deploy(4)
    cluster.load(*["900Mi"] * 4)
    cluster.scale_by_memory()
    assert cluster.replicas == 5
    assert cluster.condition("ScalingLimited") == ("True", "TooManyReplicas")


@pytest.mark.parametrize(("before", "after"), [(9, 5), (1, 2)])
def test_a_number_out_of_bounds_is_mended_whatever_the_load(cluster, before, after):
    cluster.deploy(before)
    cluster.load()
    cluster.scale_by_memory(minReplicas=2)
    assert cluster.replicas == after


def test_zero_replicas_turn_it_off(cluster):
    cluster.deploy(0)
    cluster.scale_by_memory()
    assert cluster.replicas == 0
    assert cluster.condition("ScalingActive") == ("False", "ScalingDisabled")


def test_a_missing_target_is_said_once(cluster):
    cluster.scale_by_memory()
    cluster.pass_time(15)
    assert cluster.condition("AbleToScale") == ("False", "FailedGetScale")
    assert [event[1] for event in cluster.events] == ["FailedGetScale"]


def test_what_is_missing_in_a_metric_is_named(cluster):
    cluster.deploy(1)
    cluster.load("1Mi")
    half = {"type": "Utilization", "averageUtilization": 50}
    cluster.autoscale(metrics=[{"type": "Resource", "resource": {"name": "memory", "target": half}}])
    assert cluster.condition("ScalingActive") == ("False", "FailedGetResourceMetric")
    message = find_condition(cluster.status["conditions"], "ScalingActive")["message"]
    assert message.endswith("missing request for memory in container c of Pod web-0")


def test_metrics_that_need_an_adapter_are_refused_in_words(cluster):
    cluster.deploy(1)
    cluster.load("1Mi")
    cluster.autoscale(metrics=[{"type": "External", "external": {}}])
    assert cluster.condition("ScalingActive") == ("False", "FailedGetExternalMetric")


def test_with_one_of_two_metrics_missing_it_grows_but_does_not_shrink(cluster):
    missing = {"type": "External", "external": {}}
    target = {"type": "AverageValue", "averageValue": "100Mi"}
    memory = {"type": "Resource", "resource": {"name": "memory", "target": target}}
    cluster.deploy(2)
    cluster.load("10Mi", "10Mi")
    cluster.autoscale(metrics=[missing, memory])
    assert cluster.replicas == 2
    cluster.load("200Mi", "200Mi")
    cluster.pass_time(15)
    assert cluster.replicas == 4


def test_a_deleted_autoscaler_is_forgotten(cluster):
    cluster.deploy(1)
    cluster.load("500Mi")
    cluster.scale_by_memory()
    cluster.delete("HorizontalPodAutoscaler", "web", "default")
    cluster.settle()
    before = cluster.replicas
    cluster.pass_time(60)
    assert cluster.replicas == before
