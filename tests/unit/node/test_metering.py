"""metrics.k8s.io objects from two readings."""

from roadstead.node.metering import Reading, node_metrics, pod_metrics
from roadstead.node.records import new_record
from roadstead.node.usage import Usage

POD = {
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "uid": "1"},
    "spec": {"containers": [{"name": "main"}, {"name": "proxy"}]},
}
NOW = 1_700_000_000.0


def running(**started: float):
    record = new_record(POD, NOW)
    for number, (name, at) in enumerate(started.items(), start=7):
        record.containers[name].run(number, at, probed=False)
    return record


def reading(at: float, machine: Usage | None = None, **used: Usage) -> Reading:
    numbers = {"main": 7, "proxy": 8}
    return Reading(at, {numbers[name]: usage for name, usage in used.items()}, machine or Usage())


def test_cpu_is_the_average_since_the_last_reading_and_memory_that_of_now():
    before = reading(NOW - 10, main=Usage(5.0, 99))
    made = pod_metrics(POD, running(main=NOW - 100), before, reading(NOW, main=Usage(7.5, 4096)))
    assert made == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "labels": {"app": "web"},
        },
        "timestamp": "2023-11-14T22:13:20Z",
        "window": "10.000s",
        "containers": [{"name": "main", "usage": {"cpu": "250000000n", "memory": "4Ki"}}],
    }


def test_a_container_that_started_since_is_judged_from_its_start():
    before = reading(NOW - 10, main=Usage(5.0, 0))
    now = reading(NOW, main=Usage(5.0, 0), proxy=Usage(1.0, 0))
    made = pod_metrics(POD, running(main=NOW - 100, proxy=NOW - 2), before, now)
    assert [entry["usage"]["cpu"] for entry in made["containers"]] == ["0n", "500000000n"]


def test_a_pod_that_does_not_run_has_no_metrics():
    assert pod_metrics(POD, running(), None, reading(NOW)) is None


def test_a_reading_that_went_back_is_no_negative_use():
    before = reading(NOW - 10, main=Usage(5.0, 0))
    made = pod_metrics(POD, running(main=NOW - 100), before, reading(NOW, main=Usage(4.0, 0)))
    assert made["containers"][0]["usage"]["cpu"] == "0n"


def test_the_node_is_the_machine():
    before, now = reading(NOW - 20, Usage(100.0, 1)), reading(NOW, Usage(110.0, 2048))
    made = node_metrics("here", before, now)
    assert (made["metadata"]["name"], made["window"], made["usage"]) == (
        "here", "20.000s", {"cpu": "500000000n", "memory": "2Ki"},
    )  # fmt: skip
