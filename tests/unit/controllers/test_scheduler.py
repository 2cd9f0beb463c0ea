from datetime import UTC, datetime

import pytest
from fake_cluster import named

from roadstead.controllers.scheduler import Observed, plan, refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(name="n", *, ready=True, labels=None, **spec):
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return named("Node", name, metadata={"labels": labels or {}}, spec=spec, status=status)


def pod(name="p", **spec):
    return named("Pod", name, metadata={"uid": "u", "resourceVersion": "1"}, spec=spec)


def affinity(*terms):
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def term(key, operator, *values, of="matchExpressions"):
    return {of: [{"key": key, "operator": operator, "values": list(values)}]}


CORDON = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
ANY_K = {"key": "k", "operator": "Exists"}
TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


def test_a_pod_is_bound_to_the_least_loaded_node():
    (bind,) = plan(Observed(pod(), [node("a"), node("b"), node("c", ready=False)], {"a": 3, "b": 1}), NOW)
    assert (bind.node, bind.announce.message) == ("b", "Successfully assigned default/p to b")


@pytest.mark.parametrize(
    "not_ours",
    [
        pod(nodeName="a"),
        pod(schedulerName="mine"),
        {**pod(), "status": {"phase": "Failed"}},
        named("Pod", "p", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, spec={}),
    ],
)
def test_other_pods_are_left_alone(not_ours):
    assert plan(Observed(not_ours, [node()], {}), NOW) == []


@pytest.mark.parametrize(
    ("wanting", "offered", "why"),
    [
        (pod(), node(), ""),
        (pod(), node(ready=False), "not ready"),
        (pod(), node(unschedulable=True), "unschedulable"),
        (pod(tolerations=[CORDON]), node(unschedulable=True), ""),
        (pod(nodeSelector={"disk": "fast"}), node(labels={"disk": "slow"}), "affinity/selector"),
        (pod(nodeSelector={"disk": "fast"}), node(labels={"disk": "fast", "x": "y"}), ""),
        (pod(affinity=affinity(term("a", "In", "1"), term("b", "Exists"))), node(labels={"b": ""}), ""),
        (pod(affinity=affinity(term("a", "In", "1"))), node(labels={"a": "2"}), "affinity/selector"),
        (pod(affinity=affinity(term("metadata.name", "In", "n", of="matchFields"))), node("n"), ""),
        (pod(affinity=affinity({})), node(), "affinity/selector"),
        (pod(), node(taints=[TAINT]), "untolerated taint {k: v}"),
        (pod(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), ""),
        (pod(tolerations=[{"key": "k", "value": "v"}]), node(taints=[TAINT]), ""),
        (pod(tolerations=[{"key": "k", "value": "w"}]), node(taints=[TAINT]), "untolerated"),
        (pod(tolerations=[ANY_K]), node(taints=[TAINT]), ""),
        (pod(tolerations=[{**ANY_K, "effect": "NoExecute"}]), node(taints=[TAINT]), "untolerated"),
        (pod(tolerations=[{"operator": "Exists"}]), node(taints=[TAINT]), ""),
    ],
)  # fmt: skip
def test_what_a_pod_demands_of_a_node(wanting, offered, why):
    refused = refusal(wanting, offered)
    assert why in refused if why else refused == ""


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "no nodes available to schedule pods"),
        (
            [node("a", ready=False), node("b", unschedulable=True), node("c", unschedulable=True)],
            "0/3 nodes are available: 1 node(s) were not ready, 2 node(s) were unschedulable.",
        ),
    ],
)
def test_a_pod_that_nobody_takes_says_why_once(nodes, message):
    patch, event = plan(Observed(pod(), nodes, {}), NOW)
    assert (event.reason, event.message) == ("FailedScheduling", message)
    (condition,) = patch.patch["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert plan(Observed({**pod(), "status": patch.patch["status"]}, nodes, {}), NOW) == []


def test_a_gated_pod_waits():
    (patch,) = plan(Observed(pod(schedulingGates=[{"name": "g"}]), [node()], {}), NOW)
    assert patch.patch["status"]["conditions"][0]["reason"] == "SchedulingGated"


def test_a_pod_waits_for_one_that_has_its_claim_alone():
    alone = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOncePod"]}, "status": {"phase": "Bound"}}
    _, event = plan(Observed(pod(), [node()], {}, {"data": alone}, holders=[pod("other", nodeName="n")]), NOW)
    assert event.message == (
        "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod "
        "access mode."
    )
