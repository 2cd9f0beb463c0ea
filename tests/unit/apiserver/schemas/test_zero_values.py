"""What becomes of empty values; the expectations are what Go's encoding/json writes for Kubernetes' types."""

import pytest

from roadstead.api.resources import BUILT_IN, resource
from roadstead.apiserver.schemas.zero_values import definition_of, drop_empty, fill_in_zeros, nothing_set

TEMPLATE = {"metadata": {}, "spec": {"containers": None}}
ZEROS = {
    "ConfigMap": {"metadata": {}},
    "Pod": {"metadata": {}, "spec": {"containers": None}, "status": {}},
    "Service": {"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}},
    "Deployment": {
        "metadata": {},
        "spec": {"selector": None, "template": TEMPLATE, "strategy": {}},
        "status": {},
    },
    "CronJob": {
        "metadata": {},
        "spec": {"schedule": "", "jobTemplate": {"metadata": {}, "spec": {"template": TEMPLATE}}},
        "status": {},
    },
    "Event": {
        "metadata": {},
        "involvedObject": {},
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    "NetworkPolicy": {"metadata": {}, "spec": {"podSelector": {}}},
    "EndpointSlice": {"metadata": {}, "addressType": "", "endpoints": None, "ports": None},
    "RoleBinding": {"metadata": {}, "roleRef": {"apiGroup": "", "kind": "", "name": ""}},
}


@pytest.mark.parametrize("kind", ZEROS)
def test_an_object_of_which_nothing_is_set(kind):
    version = "v1" if kind == "Event" else resource(kind).api_version
    assert nothing_set(resource(kind, version)) == ZEROS[kind]


def test_custom_resources_have_no_zeros():
    assert nothing_set(resource("GRPCRoute")) == {}


@pytest.mark.parametrize("kind", [kind for kind in BUILT_IN if definition_of(kind)], ids=lambda kind: kind.plural)
def test_zeros_survive_another_round(kind):
    again = dict(nothing_set(kind))
    fill_in_zeros(again, definition_of(kind))
    assert again == nothing_set(kind)


def test_what_is_empty_goes_where_its_field_is_optional():
    policy = {
        "metadata": {"name": "a", "labels": {}, "finalizers": []},
        "spec": {"podSelector": {"matchLabels": {}}, "ingress": [], "egress": [{"to": [], "ports": [{}]}]},
    }
    drop_empty(policy, definition_of(resource("NetworkPolicy")))
    assert policy == {"metadata": {"name": "a"}, "spec": {"podSelector": {}, "egress": [{"ports": [{}]}]}}


def test_zeros_stay_where_a_pointer_says_them():
    spec = {"replicas": 0, "paused": False, "minReadySeconds": 0, "template": {"spec": {"hostUsers": False}}}
    drop_empty({"spec": spec}, definition_of(resource("Deployment")))
    assert spec == {"replicas": 0, "template": {"spec": {"hostUsers": False}}}


def test_structs_in_lists_are_filled_in():
    pod = {"spec": {"containers": [{"name": "a", "env": [{"name": "x"}]}], "volumes": [{"name": "v", "emptyDir": {}}]}}
    fill_in_zeros(pod, definition_of(resource("Pod")))
    assert pod["spec"]["containers"] == [{"name": "a", "env": [{"name": "x"}], "resources": {}}]
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_open_content_is_left_alone():
    schema = {"type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "", "enum": [""]}}}
    definition = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    drop_empty(definition, definition_of(resource("CustomResourceDefinition")))
    kept = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert kept == {
        "type": "object",
        "default": {},
        "properties": {"a": {"type": "string", "default": "", "enum": [""]}},
    }
