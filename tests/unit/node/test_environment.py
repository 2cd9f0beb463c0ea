"""A container's environment, resolved as the kubelet resolves it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.node.environment import (
    ReferenceProblem,
    command_of,
    environment,
    expand,
    field_value,
    service_variables,
)

POD = {
    "metadata": {"name": "web-0", "namespace": "shop", "uid": "u-1", "labels": {"app": "web", "x": "1"}},
    "spec": {"nodeName": "n", "serviceAccountName": "robot"},
    "status": {"podIP": "10.244.0.7", "hostIP": "100.64.0.1"},
}
OBJECTS = {
    ("ConfigMap", "settings"): {"kind": "ConfigMap", "data": {"MODE": "slow", "not a name": "x"}},
    ("Secret", "login"): {"kind": "Secret", "data": {"password": base64.b64encode(b"sesame").decode()}},
}


def lookup(kind: str, name: str):
    return OBJECTS.get((kind, name))


def resolved(container, services=None, image=None):
    return environment(container, POD, lookup, services or {}, image or {})


def test_later_sources_win_and_refer_to_earlier_ones():
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "S_", "secretRef": {"name": "login"}}],
        "env": [
            {"name": "GREETING", "value": "$(MODE) $(S_password) $$(MODE) $(NEXT)"},
            {"name": "NEXT", "value": "$(GREETING)!"},
            {"name": "PATH", "value": "/own"},
        ],
    }
    assert resolved(container, services={"MODE": "service"}, image={"PATH": "/image"}) == {
        "MODE": "slow",
        "S_password": "sesame",
        "GREETING": "slow sesame $(MODE) $(NEXT)",
        "NEXT": "slow sesame $(MODE) $(NEXT)!",
        "PATH": "/own",
    }


def test_values_come_from_fields_resources_and_keys():
    sources = {
        "NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "ADDRESS": {"fieldRef": {"fieldPath": "status.podIP"}},
        "LABEL": {"fieldRef": {"fieldPath": "metadata.labels['app']"}},
        "CPU": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}},
        "PASSWORD": {"secretKeyRef": {"name": "login", "key": "password"}},
        "ABSENT": {"configMapKeyRef": {"name": "nothing", "key": "x", "optional": True}},
    }
    container = {
        "env": [{"name": name, "valueFrom": source} for name, source in sources.items()],
        "resources": {"limits": {"cpu": "1500m"}},
    }
    assert resolved(container) == {
        "NAME": "web-0",
        "ADDRESS": "10.244.0.7",
        "LABEL": "web",
        "CPU": "1500",
        "PASSWORD": "sesame",
    }


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"secretKeyRef": {"name": "nothing", "key": "x"}}, 'secret "nothing" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "x"}}, 'couldn\'t find key x in ConfigMap "settings"'),
        ({"fieldRef": {"fieldPath": "spec.containers"}}, "fieldPath 'spec.containers'"),
    ],
)
def test_what_is_missing_is_named(source, words: str):
    with pytest.raises(ReferenceProblem, match=words.replace('"', ".")):
        resolved({"env": [{"name": "X", "valueFrom": source}]})


def test_labels_are_listed_for_the_downward_api():
    assert field_value("metadata.labels", POD) == 'app="web"\nx="1"'


def test_services_are_told_as_the_kubelet_tells_them():
    def service(namespace, name, address, *ports):
        return {
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"clusterIP": address, "ports": list(ports)},
        }

    services = [
        service("shop", "foo-svc", "10.96.0.5", {"port": 50051, "name": "grpc"}, {"port": 9, "protocol": "UDP"}),
        service("shop", "headless", "None", {"port": 1}),
        service("other", "hidden", "10.96.0.6", {"port": 1}),
        service("default", "kubernetes", "10.96.0.1", {"port": 443, "name": "https"}),
    ]
    told = service_variables(services, "shop")
    assert told["FOO_SVC_SERVICE_HOST"] == "10.96.0.5"
    assert told["FOO_SVC_SERVICE_PORT"] == told["FOO_SVC_SERVICE_PORT_GRPC"] == "50051"
    assert told["FOO_SVC_PORT"] == told["FOO_SVC_PORT_50051_TCP"] == "tcp://10.96.0.5:50051"
    assert told["FOO_SVC_PORT_9_UDP_PROTO"] == "udp"
    assert told["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not any(name.startswith(("HEADLESS", "HIDDEN")) for name in told)
    assert not any(name.startswith("FOO") for name in service_variables(services, "shop", links=False))


def test_the_command_replaces_the_image_s_and_args_follow():
    variables = {"PORT": "80"}
    assert command_of({}, ["serve"], variables) == ["serve"]
    assert command_of({"args": ["--port=$(PORT)"]}, ["serve"], variables) == ["serve", "--port=80"]
    assert command_of({"command": ["other"], "args": ["x"]}, ["serve"], variables) == ["other", "x"]


@given(st.text())
def test_any_text_can_be_expanded(text: str):
    expanded = expand(text, {})
    assert len(expanded) <= len(text)
    if "$" not in text:
        assert expanded == text
