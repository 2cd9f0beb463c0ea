"""OpenAPI v2, made of v3: it says as much as it can, refers to nothing that is missing, and holds CRDs."""

import pytest

from roadstead.api.resources import Scheme
from roadstead.apiserver.crd import resources
from roadstead.apiserver.openapi.v2 import swagger

KINDS = "x-kubernetes-group-version-kind"
SHOWN = swagger(Scheme())


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for entry in value.values():
            yield from references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)


def test_every_reference_resolves():
    assert set(references(SHOWN)) <= {f"#/definitions/{name}" for name in SHOWN["definitions"]}


def test_nothing_is_said_that_v2_does_not_know():
    def keys(schema):
        yield from (key for key in schema if key not in ("properties", "items", "additionalProperties"))
        for child in schema.get("properties", {}).values():
            yield from keys(child)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                yield from keys(schema[key])

    used = {key for schema in SHOWN["definitions"].values() for key in keys(schema)}
    assert not used & {"oneOf", "anyOf", "not", "allOf", "nullable"}


def test_a_reference_keeps_its_description_and_nothing_else():
    spec = SHOWN["definitions"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]
    assert spec.keys() == {"$ref", "description"}
    assert spec["$ref"] == "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"


def test_patch_says_what_older_clients_look_for():
    path = SHOWN["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    patch = path["patch"]
    assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in patch["parameters"]}
    assert patch[KINDS] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "application/strategic-merge-patch+json" in patch["consumes"]
    assert patch["parameters"][0]["in"] == "body"
    assert {parameter["in"] for parameter in path["parameters"]} == {"path"}


@pytest.mark.parametrize("free", ["nullable", "x-kubernetes-preserve-unknown-fields"])
def test_what_a_client_could_refuse_wrongly_is_published_without_its_type(free):
    properties = {
        "spec": {
            "type": "object",
            free: True,
            "required": ["a"],
            "properties": {"a": {"type": "string"}},
            "oneOf": [{"required": ["a"]}],
        },
        "port": {"x-kubernetes-int-or-string": True},
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    crd = {
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        }
    }
    shown = swagger(Scheme().with_resources(resources(crd)))["definitions"]["com.example.v1.Thing"]
    spec = shown["properties"]["spec"]
    assert not spec.keys() & {"type", "properties", "required", "oneOf"}
    assert shown["properties"]["port"] == {"x-kubernetes-int-or-string": True}
    assert shown["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
    assert shown[KINDS] == [{"group": "example.com", "version": "v1", "kind": "Thing"}]
