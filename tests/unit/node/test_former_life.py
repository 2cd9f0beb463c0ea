"""What is written of pods whose node has ended."""

import pytest

from roadstead.node.former_life import status_after_end
from roadstead.node.pod_spec import MIRROR_ANNOTATION
from roadstead.node.pod_status import pod_status
from roadstead.node.records import new_record


def running_pod(**spec) -> dict:
    """A pod as a node has reported it, ready since second 60."""
    pod = {
        "metadata": {"name": "web", "uid": "u"},
        "spec": {"containers": [{"name": "main", "image": "i"}], **spec},
        "status": {},
    }
    record = new_record(pod, now=0)
    record.sandbox, record.address, record.host_address = True, "10.244.0.2", "100.64.0.1"
    record.containers["main"].run(1, 60, probed=False)
    pod["status"] = pod_status(pod, record, 60)
    return pod


def conditions(status: dict) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


@pytest.mark.parametrize(("policy", "phase"), [("Always", "Running"), ("Never", "Failed")])
def test_it_is_not_ready_and_has_no_address(policy: str, phase: str) -> None:
    status = status_after_end(running_pod(restartPolicy=policy), now=100)
    assert status is not None
    assert (status["phase"], status["podIP"], status["podIPs"]) == (phase, None, None)
    assert (conditions(status)["Ready"], conditions(status)["ContainersReady"]) == ("False", "False")
    [container] = status["containerStatuses"]
    assert container["state"]["terminated"]["message"] == "The node that ran this container ended"
    assert not container["ready"]


def test_who_takes_it_on_learns_from_it_what_he_would_have_learned_before() -> None:
    pod = running_pod()
    earlier = new_record(pod, now=100)
    told = {**pod, "status": status_after_end(pod, now=100)}
    assert new_record(told, now=101) == earlier
    assert status_after_end(told, now=102) is None, "once is enough"


def test_a_pod_that_claims_nothing_untrue_is_left_alone() -> None:
    assert status_after_end({"metadata": {"name": "new"}, "spec": {"containers": []}}, now=1) is None
    mirror = running_pod()
    mirror["metadata"]["annotations"] = {MIRROR_ANNOTATION: "roadstead"}
    assert status_after_end(mirror, now=100) is None
