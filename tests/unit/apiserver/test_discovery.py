"""Discovery documents, from a scheme."""

from typing import Any

import pytest

from roadstead.api.resources import BUILT_IN, Resource, Scheme
from roadstead.apiserver import discovery

SCHEME = Scheme()
KUBECTL = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [(KUBECTL, True), (KUBECTL.replace("v=v2", "v=v2beta1"), False), ("application/json", False), ("", False)],
)
def test_the_aggregated_document_is_for_those_who_ask_first(accept: str, expected: bool) -> None:
    assert discovery.wants_aggregated(accept) is expected


def aggregated(group: str, plural: str) -> dict[str, Any]:
    document = discovery.aggregated(SCHEME, core=not group)
    found = [item for item in document["items"] if item["metadata"].get("name", "") == group]
    resources = found[0]["versions"][0]["resources"]
    return next(entry for entry in resources if entry["resource"] == plural)


def test_a_resource_says_how_people_call_it_and_what_it_can_do() -> None:
    assert aggregated("apps", "deployments") == {
        "resource": "deployments",
        "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "scope": "Namespaced",
        "singularResource": "deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
        "subresources": [
            {
                "subresource": "scale",
                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                "verbs": ["get", "patch", "update"],
            },
            {
                "subresource": "status",
                "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "verbs": ["get", "patch", "update"],
            },
        ],
    }
    assert aggregated("", "nodes")["scope"] == "Cluster"


def test_both_forms_name_the_same_resources() -> None:
    whole = [discovery.aggregated(SCHEME, core=core) for core in (True, False)]
    listed = {
        (item["metadata"].get("name", ""), version["version"], entry["resource"])
        for document in whole
        for item in document["items"]
        for version in item["versions"]
        for entry in version["resources"]
    }
    assert listed == {(resource.group, resource.version, resource.plural) for resource in BUILT_IN}
    for group, version, plural in listed:
        plain = discovery.resource_list(SCHEME, group, version)
        assert plain is not None
        assert plural in {entry["name"] for entry in plain["resources"]}


def test_drain_finds_the_eviction_kind() -> None:
    core = discovery.resource_list(SCHEME, "", "v1")
    assert core is not None
    eviction = next(entry for entry in core["resources"] if entry["name"] == "pods/eviction")
    assert (eviction["kind"], eviction["group"], eviction["version"]) == ("Eviction", "policy", "v1")


def test_groups_prefer_their_newest_stable_version() -> None:
    versions = ["v1beta1", "v2", "v1", "v1alpha1", "v10", "foo"]
    assert sorted(versions, key=discovery.version_priority) == ["v10", "v2", "v1", "v1beta1", "v1alpha1", "foo"]
    found = discovery.group(SCHEME, "gateway.networking.k8s.io")
    assert found is not None
    assert found["preferredVersion"]["version"] == "v1"
    scheme = SCHEME.with_resources([Resource("example.com", "v1alpha1", "things", "Thing")])
    assert "example.com" in {entry["name"] for entry in discovery.group_list(scheme)["groups"]}


def test_what_is_not_there_is_none() -> None:
    assert discovery.group(SCHEME, "example.com") is None
    assert discovery.group(SCHEME, "") is None
    assert discovery.resource_list(SCHEME, "apps", "v9") is None
