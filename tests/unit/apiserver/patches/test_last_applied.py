"""From client-side to server-side apply and back, as kubectl does it."""

import json

import pytest

from roadstead.api.errors import Conflict
from roadstead.api.objects import clone
from roadstead.api.resources import resource
from roadstead.apiserver.patches.apply import server_side_apply, track_update
from roadstead.apiserver.patches.last_applied import ANNOTATION, keep_up_to_date, unclaimed
from roadstead.apiserver.schemas import schema_of

DEPLOYMENT = resource("Deployment")


def deployment(replicas):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": replicas}}


def client_side(replicas):
    """Return an object as `kubectl apply` without --server-side leaves it."""
    obj = deployment(replicas)
    obj["metadata"]["annotations"] = {ANNOTATION: json.dumps(deployment(replicas)) + "\n"}
    track_update(DEPLOYMENT, None, obj, manager="kubectl-client-side-apply", subresource="", now="t0")
    return obj


def apply(live, applied, manager="kubectl"):
    return server_side_apply(DEPLOYMENT, live, applied, manager=manager, force=False, subresource="", now="t1")


def test_kubectl_takes_over_what_it_applied_on_the_client_side():
    merged = apply(client_side(2), deployment(3))
    assert merged["spec"]["replicas"] == 3
    assert json.loads(merged["metadata"]["annotations"][ANNOTATION])["spec"] == {"replicas": 3}


def test_another_manager_does_not():
    with pytest.raises(Conflict, match="kubectl-client-side-apply"):
        apply(client_side(2), deployment(3), "other")


def test_what_somebody_changed_since_is_a_conflict():
    live = client_side(2)
    scaled = clone(live)
    scaled["spec"]["replicas"] = 5
    track_update(DEPLOYMENT, live, scaled, manager="kubectl-scale", subresource="scale", now="t1")
    with pytest.raises(Conflict, match="kubectl-scale"):
        apply(scaled, deployment(3))


def test_applying_again_changes_nothing():
    once = apply(client_side(2), deployment(3))
    assert apply(once, deployment(3)) == once


def test_without_the_annotation_nothing_is_written():
    merged = apply(None, deployment(1))
    assert "annotations" not in merged["metadata"]
    assert not keep_up_to_date(merged, deployment(1), "kubectl")


@pytest.mark.parametrize("text", ["", "not json", "[1]", "5"])
def test_an_annotation_that_cannot_be_read_allows_nothing(text):
    live = client_side(2)
    live["metadata"]["annotations"][ANNOTATION] = text
    assert unclaimed(live, schema_of(DEPLOYMENT), "kubectl") == {}
