"""The generated tables hold what the rest relies on."""

from roadstead.api.resources import BUILT_IN, resource
from roadstead.apiserver.schemas.tables import (
    ANYTHING,
    CustomResource,
    definition_names,
    descriptions,
    printer_columns,
    protobuf_messages,
    schema_of,
)

# Kubernetes' own OpenAPI has no schemas of these: another server serves them there.
SERVED_BESIDE_KUBERNETES = "metrics.k8s.io"


def test_every_built_in_kind_has_a_schema():
    served = [r for r in BUILT_IN if r.group != SERVED_BESIDE_KUBERNETES]
    assert [r.kind for r in served if schema_of(r) is ANYTHING] == []


def test_every_built_in_kind_but_the_gateway_apis_has_a_protobuf_form():
    kinds = [r for r in BUILT_IN if r.group not in ("gateway.networking.k8s.io", SERVED_BESIDE_KUBERNETES)]
    names = definition_names()
    assert [r.kind for r in kinds if names[(r.group, r.version, r.kind)] not in protobuf_messages()] == []


def test_bodies_of_subresources_are_there():
    for kind in (
        ("policy", "v1", "Eviction"),
        ("authentication.k8s.io", "v1", "TokenRequest"),
        ("autoscaling", "v1", "Scale"),
    ):
        assert definition_names()[kind] in protobuf_messages()


def test_what_users_of_grpc_and_kubectl_debug_need_is_there():
    pod = schema_of(resource("Pod")).properties["spec"]
    assert "ephemeralContainers" in pod.properties
    probe = pod.properties["containers"].items.properties["livenessProbe"]
    assert set(probe.properties["grpc"].properties) >= {"port", "service"}


def test_merge_keys_and_map_keys_are_there():
    containers = schema_of(resource("Pod")).properties["spec"].properties["containers"]
    assert (containers.patch_merge, containers.merge_key, containers.list_type, containers.map_keys) == (
        True, "name", "map", ("name",),
    )  # fmt: skip
    ports = containers.items.properties["ports"]
    assert (ports.merge_key, ports.map_keys) == ("containerPort", ("containerPort", "protocol"))
    assert ports.items.properties["protocol"].default == "TCP"
    strategy = schema_of(resource("Deployment")).properties["spec"].properties["strategy"]
    assert strategy.retain_keys


def test_the_gateway_apis_limits_and_columns_are_there():
    route = schema_of(resource("GRPCRoute")).properties["spec"]
    assert route.properties["rules"].limits["maxItems"] == 16
    assert [c["name"] for c in printer_columns(resource("Gateway"))] == ["Class", "Address", "Programmed", "Age"]
    assert printer_columns(resource("Pod")) == ()
    assert printer_columns(CustomResource("g", "v", "p", "K", columns=({"name": "A"},))) == ({"name": "A"},)


def test_descriptions_are_apart():
    assert "Pod is a collection" in descriptions()["io.k8s.api.core.v1.Pod"][""]
