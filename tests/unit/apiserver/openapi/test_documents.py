"""OpenAPI v3 as kubectl reads it."""

import pytest

from roadstead.api.resources import Scheme
from roadstead.apiserver.crd import resources
from roadstead.apiserver.openapi import document, index

CRD = {
    "spec": {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A thing.",
                        "x-kubernetes-validations": [{"rule": "true"}],
                        "properties": {"spec": {"type": "object", "properties": {"$ref": {"type": "string"}}}},
                    }
                },
            }
        ],
    }
}
SCHEME = Scheme()


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for entry in value.values():
            yield from references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)


GROUPS = sorted({resource.api_version for resource in SCHEME.resources})


@pytest.mark.parametrize("group_version", GROUPS)
def test_every_reference_of_a_document_resolves(group_version):
    shown = document(SCHEME, group_version, [])
    known = {f"#/components/schemas/{name}" for name in shown["components"]["schemas"]}
    assert shown["paths"]
    assert set(references(shown)) <= known


def test_patch_says_that_it_takes_field_validation_and_dry_run():
    patch = document(SCHEME, "apps/v1", [])["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {p["name"] for p in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_operations_and_components_carry_the_kind_and_its_description():
    shown = document(SCHEME, "v1", [])
    pod = shown["components"]["schemas"]["io.k8s.api.core.v1.Pod"]
    assert {"group": "", "version": "v1", "kind": "Pod"} in pod["x-kubernetes-group-version-kind"]
    assert "collection of containers" in pod["description"]
    container = shown["components"]["schemas"]["io.k8s.api.core.v1.Container"]
    assert "Name of the container" in container["properties"]["name"]["description"]
    assert {"get", "post", "delete", "parameters"} == set(shown["paths"]["/api/v1/namespaces/{namespace}/pods"])
    assert "/api/v1/namespaces/{namespace}/pods/{name}/status" in shown["paths"]


def test_group_and_version_may_be_written_as_a_path():
    assert document(SCHEME, "api/v1", []) == document(SCHEME, "v1", [])
    assert document(SCHEME, "/apis/apps/v1", []) == document(SCHEME, "apps/v1", [])
    assert document(SCHEME, "nobody.example.com/v1", [])["paths"] == {}


def test_the_index_names_every_group_with_a_hash():
    paths = index(SCHEME, [])["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/gateway.networking.k8s.io/v1"} <= set(paths)
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert index(SCHEME, []) == index(Scheme(), [])


def test_custom_resources_appear_and_their_hash_follows_their_schema():
    extended = SCHEME.with_resources(resources(CRD))
    before = index(extended, [])["paths"]["apis/example.com/v1"]
    assert before == index(SCHEME, [CRD])["paths"]["apis/example.com/v1"]
    changed = {**CRD, "spec": {**CRD["spec"], "versions": [{**CRD["spec"]["versions"][0], "schema": {}}]}}
    assert index(SCHEME, [changed])["paths"]["apis/example.com/v1"] != before
    assert index(extended, [])["paths"]["apis/apps/v1"] == index(SCHEME, [])["paths"]["apis/apps/v1"]


def test_a_custom_schema_is_shown_without_rules_and_with_a_property_called_ref():
    shown = document(SCHEME.with_resources(resources(CRD)), "example.com/v1", [])
    thing = shown["components"]["schemas"]["com.example.v1.Thing"]
    assert thing["description"] == "A thing."
    assert "x-kubernetes-validations" not in thing
    assert thing["properties"]["spec"]["properties"] == {"$ref": {"type": "string"}}
    patch = shown["paths"]["/apis/example.com/v1/things/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" in shown["components"]["schemas"]
