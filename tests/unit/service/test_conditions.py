import pytest
from google.protobuf import struct_pb2, timestamp_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.conditions import Condition, describe, metadata_matches, request_matches
from roadstead.service.identity import Identity

ALICE = Identity("alice", "password")
CANARY = Condition(metadata=(("env", ("canary", "test")),))


@pytest.mark.parametrize(("metadata", "unmet"), [
    ([("env", "canary")], None),
    ([("x", "y"), ("env", "test")], None),
    ([("env", "canary"), ("env", "test")], None),
    ([], "metadata env is 'canary' or 'test'"),
    ([("env", "production")], "metadata env is 'canary' or 'test'"),
    ([("env", "canary"), ("env", "production")], "metadata env is 'canary' or 'test'"),
    ([("env", b"canary")], "metadata env is 'canary' or 'test'"),
])  # fmt: skip
def test_metadata(metadata, unmet):
    assert metadata_matches(CANARY, ALICE, metadata) == unmet


def test_several_conditions_must_all_hold():
    both = Condition(metadata=(("env", ("canary",)), ("team", ("{identity}",))))
    assert metadata_matches(both, ALICE, [("env", "canary"), ("team", "alice")]) is None
    assert metadata_matches(both, ALICE, [("env", "canary"), ("team", "bob")]) == "metadata team is 'alice'"


def holds(request, path: str, *wanted) -> bool:
    return request_matches(Condition(request=((path, wanted),)), ALICE, request) is None


NESTED = reflection_pb2.ServerReflectionRequest(
    host="alice", file_containing_extension=reflection_pb2.ExtensionRequest(containing_type="alice", extension_number=7)
)


@pytest.mark.parametrize(("request_", "path", "wanted", "answer"), [
    (NESTED, "host", ["{identity}"], True),
    (NESTED, "file_containing_extension.containing_type", ["{identity}"], True),
    (NESTED, "file_containing_extension.extension_number", [6, 7], True),
    (NESTED, "file_containing_extension.extension_number", ["7"], False),
    (NESTED, "host", ["bob"], False),
    (NESTED, "host.x", ["{identity}"], False),
    (NESTED, "hosts", ["{identity}"], False),
    (NESTED, "SerializeToString", ["{identity}"], False),
    (reflection_pb2.ServerReflectionRequest(), "file_containing_extension.containing_type", ["{identity}"], False),
    (health_pb2.HealthCheckResponse(status=1), "status", ["SERVING"], True),
    (health_pb2.HealthCheckResponse(status=1), "status", [1], True),
    (health_pb2.HealthCheckResponse(status=1), "status", ["NOT_SERVING"], False),
    (health_pb2.HealthCheckResponse(status=1), "status", [True], False),
    (struct_pb2.Value(bool_value=True), "bool_value", [True], True),
    (struct_pb2.Value(bool_value=True), "bool_value", [1], False),
    (struct_pb2.Struct(fields={"a": struct_pb2.Value(string_value="alice")}), "fields", ["{identity}"], False),
    (struct_pb2.Struct(fields={"a": struct_pb2.Value(string_value="alice")}), "fields.a", ["{identity}"], False),
    (timestamp_pb2.Timestamp(seconds=5), "seconds", [5], True),
    ({"user": {"id": "alice"}}, "user.id", ["{identity}"], True),
    ({"user": {"id": "bob"}}, "user.id", ["{identity}"], False),
    ({"user": "alice"}, "user.id", ["{identity}"], False),
    (b"alice", "user", ["{identity}"], False),
    (None, "user", ["{identity}"], False),
])  # fmt: skip
def test_request_fields(request_, path, wanted, answer):
    assert holds(request_, path, *wanted) is answer


def test_words_for_people():
    condition = Condition(request=(("user.id", ("{identity}",)), ("n", (1, 2))))
    assert describe(condition, ALICE) == "user.id is 'alice' and n is 1 or 2"
    assert request_matches(condition, ALICE, {"user": {"id": "alice"}, "n": 3}) == "request n is 1 or 2"


@given(st.text(max_size=30), st.text() | st.integers() | st.booleans() | st.floats())
def test_any_path_has_an_answer(path, wanted):
    assert holds(NESTED, path, wanted) in (True, False)
