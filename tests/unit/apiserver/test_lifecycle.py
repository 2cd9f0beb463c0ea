"""The rules that hold for every object: identity, versions, generations, deletion."""

from datetime import UTC, datetime
from typing import Any

import pytest

from roadstead.api.errors import BadRequest, Conflict, Invalid
from roadstead.api.resources import resource
from roadstead.apiserver import lifecycle
from roadstead.apiserver.http.parameters import DeleteOptions

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
POD, DEPLOYMENT, CONFIGMAP, NAMESPACE = (resource(kind) for kind in ("Pod", "Deployment", "ConfigMap", "Namespace"))


def stored(kind: str = "Deployment", **fields: Any) -> dict[str, Any]:
    metadata = {
        "name": "a",
        "namespace": "n",
        "uid": "u1",
        "resourceVersion": "5",
        "generation": 3,
        "creationTimestamp": "t",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"x": 1},
        "status": {"ok": 1},
        **fields,
    }


def with_metadata(obj: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], **metadata}}


def test_identity_is_filled_in_from_the_url() -> None:
    obj: dict[str, Any] = {"metadata": {}}
    lifecycle.check_identity(DEPLOYMENT, obj, "n", "a")
    assert obj == {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "n", "name": "a"}}


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "apps/v2"},
        {"kind": "Pod"},
        {"metadata": {"namespace": "other"}},
        {"metadata": {"name": "other"}},
        {"metadata": "text"},
    ],
)
def test_identity_must_agree_with_the_url(obj: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        lifecycle.check_identity(DEPLOYMENT, obj, "n", "a")


def test_a_new_object_gets_what_the_server_decides_and_loses_what_the_client_made_up() -> None:
    made_up = {"uid": "mine", "creationTimestamp": "mine", "deletionTimestamp": "mine", "generation": 9}
    obj = {"metadata": {"name": "a", **made_up}, "status": {"replicas": 9}}
    lifecycle.prepare_create(DEPLOYMENT, obj, now="now", uid="u")
    assert obj == {"metadata": {"name": "a", "uid": "u", "creationTimestamp": "now", "generation": 1}}


def test_a_generated_name_has_the_prefix_and_fits_a_label() -> None:
    obj: dict[str, Any] = {"metadata": {"generateName": "web-" * 30}}
    lifecycle.prepare_create(CONFIGMAP, obj, now="now", uid="u")
    assert len(obj["metadata"]["name"]) == 63
    assert obj["metadata"]["name"].startswith("web-web-")
    assert "generation" not in obj["metadata"]


def test_a_new_object_needs_a_name_and_no_version() -> None:
    with pytest.raises(Invalid, match="name or generateName is required"):
        lifecycle.prepare_create(CONFIGMAP, {"metadata": {}}, now="now", uid="u")
    with pytest.raises(BadRequest, match="resourceVersion should not be set"):
        lifecycle.prepare_create(CONFIGMAP, {"metadata": {"name": "a", "resourceVersion": "1"}}, now="now", uid="u")


def test_an_update_keeps_identity_and_status() -> None:
    claimed = {"name": "a", "namespace": "n", "creationTimestamp": "mine", "labels": {"x": "y"}}
    new = {**stored(), "metadata": claimed, "spec": {"x": 2}}
    changed = lifecycle.prepare_update(DEPLOYMENT, stored(), new, "")
    assert changed["status"] == {"ok": 1}
    expected = {**stored()["metadata"], "labels": {"x": "y"}}
    assert changed["metadata"] == expected


def test_a_status_update_changes_nothing_else() -> None:
    new = with_metadata(stored(spec={"x": 2}, status={"ok": 2}), labels={"x": "y"})
    changed = lifecycle.prepare_update(DEPLOYMENT, stored(), new, "status")
    assert changed == stored(status={"ok": 2})


def test_an_agent_may_label_its_pod_with_the_status() -> None:
    new = with_metadata(stored("Pod", status={"ok": 2}), labels={"x": "y"})
    changed = lifecycle.prepare_update(POD, stored("Pod"), new, "status")
    assert changed["metadata"]["labels"] == {"x": "y"}
    assert changed["spec"] == {"x": 1}


@pytest.mark.parametrize(
    ("metadata", "words"), [({"resourceVersion": "4"}, "has been modified"), ({"uid": "u0"}, "Precondition failed")]
)
def test_an_update_from_another_version_or_of_another_object_loses(metadata: dict[str, str], words: str) -> None:
    with pytest.raises(Conflict, match=words):
        lifecycle.prepare_update(DEPLOYMENT, stored(), with_metadata(stored(), **metadata), "")


def test_the_generation_counts_changes_of_the_specification_only() -> None:
    labelled, scaled = with_metadata(stored(), labels={"x": "y"}), stored(spec={"x": 2})
    lifecycle.count_generation(DEPLOYMENT, stored(), labelled)
    lifecycle.count_generation(DEPLOYMENT, stored(), scaled)
    assert labelled["metadata"]["generation"] == 3
    assert scaled["metadata"]["generation"] == 4


def test_a_write_is_none_if_only_the_time_of_a_manager_moved() -> None:
    before = with_metadata(stored(), managedFields=[{"manager": "m", "time": "1"}])
    after = with_metadata(stored(), managedFields=[{"manager": "m", "time": "2"}], resourceVersion="6", labels={})
    assert lifecycle.is_unchanged(before, after)
    assert not lifecycle.is_unchanged(before, with_metadata(before, labels={"x": "y"}))


def deletion(kind: Any, obj: dict[str, Any], **options: Any) -> lifecycle.Deletion:
    return lifecycle.plan_delete(kind, obj, DeleteOptions(**options), NOW)


def test_a_plain_object_is_removed_at_once() -> None:
    plan = deletion(DEPLOYMENT, stored())
    assert plan.action == "remove"
    assert plan.obj["metadata"]["generation"] == 4


def test_a_finalizer_keeps_a_deleting_object() -> None:
    plan = deletion(DEPLOYMENT, with_metadata(stored(), finalizers=["example.com/hold"]))
    assert plan.action == "mark"
    assert plan.obj["metadata"]["deletionTimestamp"] == "2026-03-01T12:00:00Z"
    assert plan.obj["metadata"]["deletionGracePeriodSeconds"] == 0
    assert not lifecycle.is_gone(DEPLOYMENT, plan.obj)
    assert lifecycle.is_gone(DEPLOYMENT, with_metadata(plan.obj, finalizers=[]))
    assert deletion(DEPLOYMENT, plan.obj).action == "wait"


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)],
)
def test_propagation_is_handed_to_the_garbage_collector_as_a_finalizer(propagation: str, finalizers: Any) -> None:
    plan = deletion(DEPLOYMENT, stored(), propagation=propagation)
    assert plan.obj["metadata"].get("finalizers") == finalizers
    assert plan.action == ("mark" if finalizers else "remove")


def bound_pod(**spec: Any) -> dict[str, Any]:
    return stored("Pod", spec={"nodeName": "n1", **spec}, status={"phase": "Running"})


@pytest.mark.parametrize(
    ("spec", "options", "seconds", "until"),
    [
        ({}, {}, 30, "2026-03-01T12:00:30Z"),
        ({"terminationGracePeriodSeconds": 5}, {}, 5, "2026-03-01T12:00:05Z"),
        ({"terminationGracePeriodSeconds": 5}, {"grace_period_seconds": 60}, 60, "2026-03-01T12:01:00Z"),
    ],
)
def test_a_pod_on_a_node_is_only_marked(spec: Any, options: Any, seconds: int, until: str) -> None:
    plan = deletion(POD, bound_pod(**spec), **options)
    assert plan.action == "mark"
    assert plan.obj["metadata"]["deletionGracePeriodSeconds"] == seconds
    assert plan.obj["metadata"]["deletionTimestamp"] == until


def test_the_node_agent_confirms_with_a_grace_period_of_zero() -> None:
    marked = deletion(POD, bound_pod()).obj
    assert deletion(POD, marked, grace_period_seconds=0).action == "remove"


def test_a_second_delete_may_shorten_the_grace_period_but_not_prolong_it() -> None:
    marked = deletion(POD, bound_pod()).obj
    assert deletion(POD, marked, grace_period_seconds=60).action == "wait"
    assert deletion(POD, marked, grace_period_seconds=10).obj["metadata"]["deletionGracePeriodSeconds"] == 10


def test_a_pod_that_runs_nowhere_or_has_ended_is_removed_at_once() -> None:
    assert deletion(POD, stored("Pod", spec={}, status={})).action == "remove"
    assert deletion(POD, {**bound_pod(), "status": {"phase": "Succeeded"}}).action == "remove"


def test_a_namespace_waits_until_its_content_is_gone() -> None:
    plan = deletion(NAMESPACE, stored("Namespace", spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"}))
    assert plan.action == "mark"
    assert plan.obj["status"]["phase"] == "Terminating"
    assert lifecycle.is_gone(NAMESPACE, {**plan.obj, "spec": {}})


@pytest.mark.parametrize("options", [{"uid": "other"}, {"resource_version": "1"}])
def test_preconditions_of_a_deletion_must_hold(options: dict[str, str]) -> None:
    with pytest.raises(Conflict, match="Precondition failed"):
        deletion(DEPLOYMENT, stored(), **options)
