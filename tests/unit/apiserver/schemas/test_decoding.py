"""The sentences of Go's decoder. Those of the first table were read off a real API server's source and its answers."""

import pytest

from roadstead.apiserver.schemas.decoding import decoding_problem

# ruff: noqa: E501 - a sentence of the decoder is one line
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
POD = "io.k8s.api.core.v1.Pod"
CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"
SERVICE = "io.k8s.api.core.v1.Service"


def container(**fields):
    return {"spec": {"containers": [fields]}}


@pytest.mark.parametrize(
    ("definition", "value", "problem"),
    [
        (DEPLOYMENT, {"spec": {"replicas": "3"}}, "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (DEPLOYMENT, {"spec": {"replicas": 1.5}}, "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (DEPLOYMENT, {"spec": {"replicas": 1 << 31}}, "number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (DEPLOYMENT, {"spec": []}, "array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        (POD, container(image=1), "number into Go struct field Container.spec.containers.image of type string"),
        (POD, container(ports={}), "object into Go struct field Container.spec.containers.ports of type []v1.ContainerPort"),
        (POD, container(env=[{"name": "A", "value": True}]), "bool into Go struct field EnvVar.spec.containers.env.value of type string"),
        (POD, container(stdin="yes"), "string into Go struct field Container.spec.containers.stdin of type bool"),
        (POD, container(livenessProbe={"httpGet": {"port": []}}), "array into Go value of type int32"),
        (CONFIG_MAP, {"data": {"port": 80}}, "number into Go struct field ConfigMap.data of type string"),
        (CONFIG_MAP, {"data": []}, "array into Go struct field ConfigMap.data of type map[string]string"),
        (CONFIG_MAP, {"metadata": {"labels": {"a": 1}}}, "number into Go struct field ObjectMeta.metadata.labels of type string"),
        (CONFIG_MAP, {"binaryData": {"a": 1}}, "number into Go struct field ConfigMap.binaryData of type []uint8"),
    ],
)  # fmt: skip
def test_values_of_other_types(definition, value, problem):
    assert decoding_problem(value, definition) == f"json: cannot unmarshal {problem}"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (container(resources={"limits": {"cpu": "two"}}), "quantities must match the regular expression"),
        ({"metadata": {"creationTimestamp": "today"}}, 'parsing time "today" as "2006-01-02T15:04:05Z07:00"'),
    ],
)
def test_values_that_are_written_wrongly(value, problem):
    assert problem in decoding_problem(value, POD)


def test_bytes_that_are_not_base64():
    assert (
        decoding_problem({"data": {"a": "ab!d"}}, "io.k8s.api.core.v1.Secret") == "illegal base64 data at input byte 2"
    )


def test_what_fits_has_no_problem():
    pod = container(name="a", ports=[{"containerPort": 80.0}], resources={"limits": {"cpu": 2, "memory": "1Gi"}})
    pod["metadata"] = {"creationTimestamp": None, "managedFields": [{"fieldsV1": {"f:a": {}}}]}
    assert decoding_problem(pod, POD) == ""
    assert decoding_problem({"spec": {"ports": [{"targetPort": "web"}]}}, SERVICE) == ""
    assert decoding_problem({"anything": 1}, "io.example.v1.Unknown") == ""


def test_embedded_structs_are_read_as_fields_of_their_own():
    volume = {"spec": {"volumes": [{"name": "a", "configMap": {"name": 5}}]}}
    assert decoding_problem(volume, POD).endswith("ConfigMapVolumeSource.spec.volumes.configMap.name of type string")


def test_schemas_of_definitions_are_read_where_they_stand_for_others():
    crd = {
        "spec": {"versions": [{"schema": {"openAPIV3Schema": {"items": [{"type": 5}], "additionalProperties": True}}}]}
    }
    problem = decoding_problem(crd, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition")
    assert problem.startswith("json: cannot unmarshal number into Go struct field JSONSchemaProps.")
