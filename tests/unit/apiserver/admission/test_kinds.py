"""What particular kinds get from the server when they are created."""

from typing import Any

from roadstead.api.resources import resource
from roadstead.apiserver.admission.kinds import admit_new

NOW = "2026-03-01T12:00:00Z"


def admitted(obj: dict[str, Any]) -> dict[str, Any]:
    obj["metadata"] = {"name": "one", "uid": "u-1", **obj.get("metadata", {})}
    admit_new(resource(obj["kind"]), obj, NOW)
    return obj


def job(**spec: Any) -> dict[str, Any]:
    return {"kind": "Job", "spec": {"template": {"spec": {"containers": []}}, **spec}}


def test_a_job_selects_its_own_pods() -> None:
    made = admitted(job())
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "u-1", "batch.kubernetes.io/job-name": "one",
        "controller-uid": "u-1", "job-name": "one",
    }  # fmt: skip


def test_a_job_with_a_selector_of_its_own_is_left_alone() -> None:
    made = admitted(job(manualSelector=True, selector={"matchLabels": {"a": "b"}}))
    assert made["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    assert "metadata" not in made["spec"]["template"]


def test_claims_and_volumes_are_held_while_they_are_used() -> None:
    claim = admitted({"kind": "PersistentVolumeClaim", "metadata": {"finalizers": ["example.com/mine"]}})
    assert claim["metadata"]["finalizers"] == ["example.com/mine", "kubernetes.io/pvc-protection"]
    assert claim["status"] == {"phase": "Pending"}
    volume = admitted({"kind": "PersistentVolume"})
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert volume["status"] == {"phase": "Pending", "lastPhaseTransitionTime": NOW}
