"""What controllers say of pods that could not be created."""

import pytest

from roadstead.controllers.actions import Create, Event, Requeue, creating

REFUSAL = 'pods "web-0" is forbidden: exceeded quota: small'


def owner(kind):
    return {"kind": kind, "metadata": {"name": "web"}}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("Job", f"Error creating: {REFUSAL}"),
        ("StatefulSet", f"create Pod web-0 in StatefulSet web failed error: {REFUSAL}"),
    ],
)
def test_an_attempt_that_failed_is_told_when_it_is_made_again(kind, told):
    actions = [Create({"kind": "Pod", "metadata": {"name": "web-0"}})]
    found = creating(owner(kind), actions, REFUSAL)
    assert found == [*actions, Event(owner(kind), "Warning", "FailedCreate", told)]
    assert creating(owner(kind), actions, "") == actions, "nothing has failed"


def test_what_failed_and_is_not_tried_again_is_nobodys_business():
    actions = [Create({"kind": "PersistentVolumeClaim", "metadata": {"name": "a"}}), Requeue(1)]
    assert creating(owner("Job"), actions, REFUSAL) == actions
