from datetime import UTC, datetime, timedelta

import pytest

from roadstead.controllers.pods import (
    is_active,
    is_available,
    is_over,
    is_ready,
    phase,
    pod_from_template,
    restarts,
    seconds_until_available,
)
from roadstead.lib.clock import rfc3339

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(phase="Running", ready=None, **metadata):
    conditions = []
    if ready is not None:
        conditions = [
            {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(NOW - timedelta(seconds=ready))}
        ]
    return {"metadata": metadata, "status": {"phase": phase, "conditions": conditions}}


@pytest.mark.parametrize(
    ("made", "facts"),
    [
        ({}, ("Pending", True, False)),
        (pod(), ("Running", True, False)),
        (pod("Succeeded"), ("Succeeded", False, True)),
        (pod("Failed"), ("Failed", False, True)),
        (pod(deletionTimestamp="x"), ("Running", False, False)),
    ],
)
def test_active_and_over(made, facts):
    assert (phase(made), is_active(made), is_over(made)) == facts


@pytest.mark.parametrize(
    ("made", "minimum", "wait"),
    [
        (pod(), 0, None),
        (pod(ready=0), 0, 0.0),
        (pod(ready=4), 10, 6.0),
        (pod(ready=10), 10, 0.0),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, 10, 10.0),
        (
            {"status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(NOW)}]}},
            0,
            None,
        ),
    ],
)
def test_a_pod_is_available_after_it_was_ready_long_enough(made, minimum, wait):
    assert seconds_until_available(made, minimum, NOW) == wait
    assert is_available(made, minimum, NOW) is (wait == 0.0)
    assert is_ready(made) is (wait is not None)


def test_the_container_that_restarted_most_counts():
    assert restarts({"status": {"containerStatuses": [{"restartCount": 2}, {}, {"restartCount": 5}]}}) == 5
    assert restarts({}) == 0


def test_a_template_may_be_empty():
    assert pod_from_template({}, "shop", {"uid": "u"}, "web-") == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-", "namespace": "shop", "ownerReferences": [{"uid": "u"}]},
        "spec": {},
    }
