from typing import Any

import pytest

from roadstead.api.errors import Forbidden
from roadstead.apiserver.admission.scheduling import fill_in_priority, keep_priority, tolerate_lost_nodes


def priority_class(name: str, value: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value, **more}


CLASSES = [
    priority_class("high", 1000, preemptionPolicy="Never"),
    priority_class("usual", 20, globalDefault=True),
    priority_class("spare", 10, globalDefault=True),
]


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "classes", "filled"),
    [
        ({}, [], {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}),
        ({}, CLASSES, {"priorityClassName": "spare", "priority": 10, "preemptionPolicy": "PreemptLowerPriority"}),
        (
            {"priorityClassName": "high"},
            CLASSES,
            {"priorityClassName": "high", "priority": 1000, "preemptionPolicy": "Never"},
        ),
    ],
)
def test_a_pod_has_the_priority_of_its_class(spec, classes, filled):
    made = pod(**spec)
    fill_in_priority(made, classes)
    assert made["spec"] == filled


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"priorityClassName": "low"}, "no PriorityClass with name low was found"),
        (
            {"priorityClassName": "high", "priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller "
            "computed 1000 from the given PriorityClass name",
        ),
        (
            {"preemptionPolicy": "Never"},
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission "
            "controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ],
)
def test_nobody_chooses_a_number_of_his_own(spec, problem):
    with pytest.raises(Forbidden) as refused:
        fill_in_priority(pod(**spec), CLASSES)
    assert refused.value.message == f'pods "a" is forbidden: {problem}'


def test_a_change_that_does_not_speak_of_the_priority_keeps_it():
    changed = pod(preemptionPolicy="Never")
    keep_priority(pod(priority=7, preemptionPolicy="PreemptLowerPriority"), changed)
    assert changed["spec"] == {"priority": 7, "preemptionPolicy": "Never"}


def tolerated(*given: dict[str, Any]) -> list[str]:
    made = pod(tolerations=list(given))
    tolerate_lost_nodes(made)
    assert made["spec"]["tolerations"][: len(given)] == list(given)
    return [one["key"].rpartition("/")[2] for one in made["spec"]["tolerations"][len(given) :]]


def test_pods_stay_on_a_lost_node_for_a_while_unless_they_say_otherwise():
    assert tolerated() == ["not-ready", "unreachable"]
    assert tolerated({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}) == [
        "unreachable"
    ]
    assert tolerated({"operator": "Exists"}) == []
    assert tolerated({"operator": "Exists", "effect": "NoSchedule"}) == ["not-ready", "unreachable"]
