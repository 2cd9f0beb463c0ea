"""How many replicas a load asks for: the cases of Kubernetes' replica calculator."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.controllers.replica_calculation import NotMeasured, Target, propose
from roadstead.lib.clock import rfc3339

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF = Target("cpu", 50)


def pod(name: str, request: str | None = "1", *, phase: str = "Running", ready: bool = True, age: float = 3600) -> dict:
    began = rfc3339(NOW - timedelta(seconds=age))
    resources = {"requests": {"cpu": request}} if request else {}
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": began}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "resources": resources}]},
        "status": {"phase": phase, "startTime": began, "conditions": [condition]},
    }


def pods(count: int, **options) -> list[dict]:
    return [pod(f"p{number}", **options) for number in range(count)]


def metrics(*cpu: str, window: float = 10) -> dict[str, dict]:
    def measured(number: int, used: str) -> dict:
        return {
            "metadata": {"name": f"p{number}"},
            "timestamp": rfc3339(NOW),
            "window": f"{window}s",
            "containers": [{"name": "main", "usage": {"cpu": used, "memory": "64Mi"}}],
        }

    return {f"p{number}": measured(number, used) for number, used in enumerate(cpu) if used}


def replicas(target: Target, found: list[dict], measured: dict[str, dict], current: int | None = None) -> int:
    return propose(target, found, measured, len(found) if current is None else current, NOW).replicas


@pytest.mark.parametrize(
    ("used", "wanted"),
    [
        (("500m", "500m"), 2),  # on target
        (("540m", "540m"), 2),  # within a tenth of it
        (("600m", "600m"), 3),
        (("1", "1"), 4),
        (("100m", "100m"), 1),
        (("900m", "100m"), 2),  # the average counts
        (("0", "0"), 0),
    ],
)
def test_replicas_follow_the_share_of_requests(used, wanted):
    assert replicas(HALF, pods(2), metrics(*used)) == wanted


def test_what_is_told_about_now():
    proposal = propose(HALF, pods(2), metrics("600m", "800m"), 2, NOW)
    assert (proposal.utilization, proposal.average) == (70, pytest.approx(0.7))


def test_an_average_value_needs_no_requests():
    target = Target("memory", None, 32 * 1024**2)
    assert replicas(target, pods(3, request=None), metrics("1", "1", "1")) == 6


def test_a_container_that_does_not_say_what_it_requests_stops_the_calculation():
    with pytest.raises(NotMeasured, match="missing request for cpu in container main of Pod p0"):
        replicas(HALF, pods(1, request=None), metrics("1"))


def test_one_container_of_several_counts_alone():
    found, measured = pods(1), metrics("250m")
    found[0]["spec"]["containers"].append({"name": "proxy"})
    measured["p0"]["containers"].append({"name": "proxy", "usage": {"cpu": "900m"}})
    assert replicas(Target("cpu", 50, container="main"), found, measured, 2) == 1
    with pytest.raises(NotMeasured, match="container other not present"):
        replicas(Target("cpu", 50, container="other"), found, measured)


def test_when_growing_pods_without_a_measurement_count_as_idle():
    assert replicas(HALF, pods(3), metrics("1", "1", "")) == 4


def test_when_shrinking_pods_without_a_measurement_count_as_fully_used():
    assert replicas(HALF, pods(4), metrics("100m", "100m", "100m", "")) == 3


def test_pods_that_are_not_ready_hold_back_growth():
    waiting = [pod("p0"), pod("p1"), pod("p2", ready=False, age=20)]
    assert replicas(HALF, waiting, metrics("700m", "700m", "1")) == 3


def test_the_cpu_of_a_start_is_not_counted():
    fresh = [pod("p0"), pod("p1", age=5)]  # ready for 5 s, measured over 10 s
    assert replicas(HALF, fresh, metrics("500m", "4")) == 2


def test_pods_that_end_are_left_out():
    ending = pod("p1")
    ending["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    found = [pod("p0"), ending, pod("p2", phase="Failed")]
    assert replicas(HALF, found, metrics("500m", "4", "4"), 1) == 1


def test_without_any_measurement_nothing_can_be_told():
    with pytest.raises(NotMeasured, match="did not receive metrics"):
        replicas(HALF, pods(2, phase="Pending"), metrics("1", "1"))


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=8), st.integers(1, 200), st.integers(1, 8))
def test_missing_measurements_never_turn_the_direction(used: list[int], percent: int, missing: int):
    texts = [f"{milli}m" for milli in used]
    everybody = pods(len(used) + missing)
    told = replicas(Target("cpu", percent), everybody[: len(used)], metrics(*texts))
    careful = replicas(Target("cpu", percent), everybody, metrics(*texts))
    if told > len(used):
        assert careful >= len(everybody)
    elif told < len(used):
        assert careful <= len(everybody)
    else:
        assert careful == len(everybody)
