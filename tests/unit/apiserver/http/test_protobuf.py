"""Protobuf bodies: written here by hand, field by field, as client-go writes them."""

import contextlib
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roadstead.api.errors import ApiError, BadRequest, UnsupportedMediaType
from roadstead.apiserver.http.protobuf import MAGIC, decode, go_duration


def varint(number):
    encoded = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def field(number, value):
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def envelope(api_version, kind, raw, encoding=b""):
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, encoding)


def entry(key, value):
    return field(1, key) + field(2, value)


META = field(1, "web") + field(3, "") + field(8, b"") + field(11, entry("app", "web"))


def test_a_deployment_with_a_zero_that_was_said_and_others_that_were_not():
    port = field(1, "grpc") + field(2, 0) + field(3, 8080) + field(4, "TCP")
    probe = field(1, field(4, field(1, 8080) + field(2, "svc"))) + field(2, 0) + field(3, 1)
    env = field(1, "A") + field(2, "")
    container = field(1, "web") + field(2, "web:1") + field(6, port) + field(7, env) + field(8, b"") + field(10, probe)
    template = field(1, b"") + field(2, field(2, container) + field(27, 0))
    selector = field(1, entry("app", "web"))
    spec = field(1, 0) + field(2, selector) + field(3, template) + field(4, b"") + field(5, 0) + field(7, 0)
    assert decode(envelope("apps/v1", "Deployment", field(1, META) + field(2, spec) + field(3, field(1, 0)))) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "web:1",
                            "ports": [{"name": "grpc", "containerPort": 8080, "protocol": "TCP"}],
                            "env": [{"name": "A"}],
                            "livenessProbe": {"grpc": {"port": 8080, "service": "svc"}, "timeoutSeconds": 1},
                        }
                    ],
                    "shareProcessNamespace": False,
                }
            },
        },
    }


def test_secrets_keep_their_bytes_and_service_ports_their_kind():
    secret = field(1, META) + field(2, entry("key", b"\x00\xff")) + field(3, "Opaque")
    assert decode(envelope("v1", "Secret", secret))["data"] == {"key": "AP8="}
    ports = [
        field(3, 80) + field(4, field(1, 1) + field(2, 0) + field(3, "grpc")),
        field(3, 81) + field(4, field(1, 0) + field(2, 8081) + field(3, "")),
        field(3, 82) + field(4, field(1, 0) + field(2, 0) + field(3, "")),
    ]
    service = field(1, META) + field(2, b"".join(field(1, port) for port in ports))
    decoded = decode(envelope("v1", "Service", service))["spec"]["ports"]
    assert [port.get("targetPort") for port in decoded] == ["grpc", 8081, None]


def test_times_durations_quantities_and_negative_numbers():
    lease = field(1, META) + field(2, field(1, "me") + field(4, field(1, 1_700_000_000) + field(2, 123_456_000)))
    assert decode(envelope("coordination.k8s.io/v1", "Lease", lease))["spec"] == {
        "holderIdentity": "me",
        "renewTime": "2023-11-14T22:13:20.123456Z",
    }
    limits = field(1, entry("cpu", field(1, "500m")))
    pod = field(1, META) + field(2, field(2, field(1, "a") + field(8, limits)) + field(25, -5))
    spec = decode(envelope("v1", "Pod", pod))["spec"]
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "500m"}}
    assert spec["priority"] == -5


@pytest.mark.parametrize("api_version", ["v1", "policy/v1", "apps/v1", "meta.k8s.io/v1"])
def test_delete_options_come_under_any_group(api_version):
    options = field(1, 0) + field(4, "Background") + field(2, field(1, "uid"))
    assert decode(envelope(api_version, "DeleteOptions", options)) == {
        "apiVersion": api_version,
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid"},
        "propagationPolicy": "Background",
    }


def test_reviews_with_named_lists():
    attributes = field(1, "default") + field(2, "create") + field(5, "pods")
    spec = field(1, attributes) + field(5, entry("scopes", field(1, "a") + field(1, "b"))) + field(3, "jane")
    decoded = decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", field(2, spec)))
    assert decoded["spec"] == {
        "resourceAttributes": {"namespace": "default", "verb": "create", "resource": "pods"},
        "extra": {"scopes": ["a", "b"]},
        "user": "jane",
    }


def test_a_definition_with_the_schemas_that_are_either_this_or_that():
    items = field(5, "array") + field(24, field(1, field(5, "string")))
    properties = field(29, entry("list", items)) + field(30, field(1, 1))
    schema = field(5, "object") + properties + field(8, field(1, b'{"a":1}'))
    version = field(1, "v1") + field(2, 1) + field(4, field(1, schema))
    crd = field(1, META) + field(2, field(1, "example.com") + field(7, version))
    decoded = decode(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", crd))
    assert decoded["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "default": {"a": 1},
        "properties": {"list": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": True,
    }


def test_refusals():
    with pytest.raises(BadRequest, match="magic"):
        decode(b"{}")
    with pytest.raises(BadRequest, match="no kind 'Nothing' is registered"):
        decode(envelope("v1", "Nothing", b""))
    with pytest.raises(BadRequest, match="unexpected end"):
        decode(envelope("v1", "Pod", field(1, META)[:-2]))
    with pytest.raises(UnsupportedMediaType):
        decode(envelope("v1", "Pod", b"", b"gzip"))


@settings(max_examples=300)
@given(st.sampled_from(["Pod", "Secret", "Deployment", "DeleteOptions", "Event"]), st.binary(max_size=60))
@example("Event", field(6, field(1, 2**63)))
@example("Pod", field(2, field(2, struct.pack("<d", 1.0))))
def test_random_bytes_raise_nothing_but_api_errors(kind, raw):
    api_version = "apps/v1" if kind == "Deployment" else "v1"
    for body in (envelope(api_version, kind, raw), MAGIC + raw):
        with contextlib.suppress(ApiError):
            decode(body)


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=8), st.integers(0, 80))
def test_a_damaged_deployment_raises_nothing_but_api_errors(noise, position):
    body = bytearray(envelope("apps/v1", "Deployment", field(1, META) + field(2, field(1, 3))))
    body[position : position + len(noise)] = noise
    with contextlib.suppress(ApiError):
        decode(bytes(body))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (2_000_000, "2ms"), (10**9, "1s"), (1_500_000_000, "1.5s"),
        (90 * 10**9, "1m30s"), (3600 * 10**9, "1h0m0s"), (-(10**9), "-1s"),
    ],
)  # fmt: skip
def test_durations_print_as_in_go(nanoseconds, text):
    assert go_duration(nanoseconds) == text
