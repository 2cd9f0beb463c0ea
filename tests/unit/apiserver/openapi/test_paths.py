"""Operations describe what comes back: lists as lists, failures as Status."""

from roadstead.api.resources import resource
from roadstead.apiserver.openapi.paths import SCALE, SCHEMAS, list_name, list_schema, paths

PODS = paths(resource("Pod"), "Pod")
DEPLOYMENTS = paths(resource("Deployment"), "Deployment")


def answered(operation, code):
    return operation["responses"][code]["content"]["application/json"]["schema"]


def test_lists_are_lists():
    collection = PODS["/api/v1/namespaces/{namespace}/pods"]
    assert answered(collection["get"], "200") == {"$ref": f"{SCHEMAS}PodList"}
    assert answered(collection["delete"], "200") == {"$ref": f"{SCHEMAS}PodList"}
    assert answered(PODS["/api/v1/pods"]["get"], "200") == {"$ref": f"{SCHEMAS}PodList"}
    assert list_name("Pod") == "PodList"
    schema = list_schema(resource("Pod"), "Pod")
    assert schema["properties"]["items"]["items"] == {"allOf": [{"$ref": f"{SCHEMAS}Pod"}]}
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "", "version": "v1", "kind": "PodList"}]


def test_every_operation_may_fail_with_a_status():
    operations = [o for item in PODS.values() for o in item.values() if isinstance(o, dict)]
    assert len(operations) > 8
    for operation in operations:
        assert answered(operation, "default")["$ref"].endswith("meta.v1.Status")


def test_what_is_made_is_created():
    collection = PODS["/api/v1/namespaces/{namespace}/pods"]
    assert answered(collection["post"], "201") == {"$ref": f"{SCHEMAS}Pod"}
    one = PODS["/api/v1/namespaces/{namespace}/pods/{name}"]
    assert {"200", "201"} <= one["patch"]["responses"].keys()
    assert answered(one["delete"], "200") == {"type": "object"}


def test_the_scale_is_a_kind_of_its_own():
    scale = DEPLOYMENTS["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert answered(scale["get"], "200") == {"$ref": SCHEMAS + SCALE}
    assert scale["put"]["x-kubernetes-group-version-kind"]["kind"] == "Scale"
    assert [parameter["name"] for parameter in scale["parameters"]] == ["name", "namespace"]
