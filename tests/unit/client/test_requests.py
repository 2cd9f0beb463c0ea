import json

from roadstead.api.resources import resource
from roadstead.client import requests

POD, DEPLOYMENT = resource("Pod"), resource("Deployment")
WEB = {"metadata": {"name": "web", "namespace": "shop"}}


def test_paths_of_one_object_and_of_its_subresources():
    assert requests.get(POD, "shop", "web").target == "/api/v1/namespaces/shop/pods/web"
    assert requests.replace(DEPLOYMENT, WEB, subresource="status").target == (
        "/apis/apps/v1/namespaces/shop/deployments/web/status"
    )


def test_a_list_names_only_the_parameters_that_are_set():
    assert requests.list_all(POD).target == "/api/v1/pods"
    assert requests.list_all(POD, "shop", "app in (a,b)", "spec.nodeName=n").target == (
        "/api/v1/namespaces/shop/pods?labelSelector=app+in+%28a%2Cb%29&fieldSelector=spec.nodeName%3Dn"
    )


def test_a_watch_with_initial_events_says_so():
    assert requests.watch(POD, initial_events=True, timeout_seconds=9).target == (
        "/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=9"
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    )


def test_an_object_is_created_in_its_collection_and_bound_at_its_name():
    assert requests.create(POD, WEB, field_manager="me").target == "/api/v1/namespaces/shop/pods?fieldManager=me"
    assert requests.create(POD, WEB, subresource="binding").target == "/api/v1/namespaces/shop/pods/web/binding"


def test_each_kind_of_patch_has_its_content_type():
    kinds = {kind: requests.patch(POD, "web", "shop", {}, kind).content_type for kind in ("merge", "strategic", "json")}
    assert kinds == {
        "merge": "application/merge-patch+json",
        "strategic": "application/strategic-merge-patch+json",
        "json": "application/json-patch+json",
    }


def test_apply_sends_json_as_yaml_with_its_manager():
    request = requests.apply(POD, WEB, field_manager="me", force=False, field_validation="Strict")
    assert request.content_type == "application/apply-patch+yaml"
    assert request.target.endswith("/pods/web?fieldManager=me&force=false&fieldValidation=Strict")


def test_delete_carries_its_options():
    request = requests.delete(
        POD, "web", "shop", propagation="Foreground", grace_period_seconds=0, preconditions_uid="u"
    )
    assert json.loads(request.body) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
    }
